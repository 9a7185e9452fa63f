"""`--fix OUT`: a usable folder, written anew with normalised pictures; whole or not at all.

Everything is written into a folder beside OUT, made durable, and renamed. The studio's folder is only read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onbrand.dataset.check import Checked
from onbrand.dataset.findings import shown
from onbrand.dataset.folder import REPORT
from onbrand.dataset.survey import Tell
from onbrand.errors import DataDirUnwritable, DatasetRefused


def require_free(out: Path, folder: Path) -> None:
    """Raise if OUT is not a place where a new folder can appear without touching anything that is there.

    Raises:
        DatasetRefused: something is there, or one folder is inside the other.
    """
    if is_inside(out, folder) or is_inside(folder, out):
        raise DatasetRefused(
            f"{shown(str(out))} and {shown(str(folder))} are inside each other, and the illustrations are never"
            " touched. Name a folder elsewhere."
        )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DatasetRefused(f"{shown(str(out))} is there already, and is no folder. Name a new folder.")
    if out.is_dir() and any(out.iterdir()):
        raise DatasetRefused(f"{shown(str(out))} holds something already. Name a new folder; nothing was written.")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is a folder, or is below it, with all links followed."""
    return path.resolve().is_relative_to(folder.resolve())


def write_fixed(checked: Checked, out: Path, report: str | None, tell: Tell = lambda *_: None) -> None:
    """Write the pictures as PNG (1024×1024, sRGB, opaque), their captions as text files, and the report.

    The folder must be usable, and checked with `keep_pictures`. No file of it is read again: what is written is what
    was checked.

    Raises:
        DatasetRefused: OUT is not free.
        DataDirUnwritable: the disk is full or may not be written.
    """
    require_free(out, checked.folder)
    with _folder_that_appears_whole(out) as partly:
        for done, (name, seen) in enumerate(checked.survey.seen.items(), 1):
            stem = os.path.splitext(name)[0]
            if seen.look.png is None:
                raise ValueError("the pictures were not kept")
            _write(partly / f"{stem}.png", seen.look.png)
            _write(partly / f"{stem}.txt", f"{checked.survey.captions[name]}\n".encode())
            tell("Writing pictures", done, len(checked.survey.seen))
        if report is not None:
            _write(partly / REPORT, report.encode())


def write_report(path: Path, report: str) -> None:
    """Write the page whole, in place of one that is there.

    Raises:
        DataDirUnwritable: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as part:
            try:
                part.write(report.encode())
                part.flush()
                os.fchmod(part.fileno(), 0o644)
                Path(part.name).replace(path)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise _unwritable(path, error) from None


@contextmanager
def _folder_that_appears_whole(out: Path) -> Iterator[Path]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partly = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name[:40]}.partial-"))
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        yield partly
        partly.chmod(0o755)
        _sync(partly)
        os.rename(partly, out)  # onto nothing, or onto an empty folder
        _sync(out.parent)
    except OSError as error:
        raise _unwritable(out, error) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(partly)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> DataDirUnwritable:
    return DataDirUnwritable(
        f"{shown(str(path))} can't be written ({error.strerror}), and nothing was left there. Free some room, make it"
        " writable, or name another place."
    )
