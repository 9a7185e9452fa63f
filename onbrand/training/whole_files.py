"""Files that are there whole or not at all, on a disk that may be full and in a process that may be killed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under another name, force it to the disk, and give it its name.

    Raises:
        OSError: the file can't be written; what was at `path` is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    put_whole(path, lambda partly: partly.write_bytes(data))


def put_whole(path: Path, write: Callable[[Path], object]) -> None:
    """As `write_whole`, with a function that writes the file it is given.

    On one file system a rename either happens or doesn't. What a killed process left under the other name is written
    over by the next one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partly = path.with_name(f"{path.name}.partial")
    try:
        write(partly)
        with partly.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partly, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partly.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Force the folder's list of files to the disk, where the system can (Windows can't open a folder)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
