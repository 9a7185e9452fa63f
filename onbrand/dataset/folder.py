"""What is in a studio's folder: pictures, captions, and what is neither. Nothing is changed, nothing is followed out.

Names are compared in Unicode's NFC form and without upper and lower case, as on the Mac and on Windows: what two
systems would confuse is refused here.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from onbrand.dataset.findings import Finding, listed, shown
from onbrand.errors import DatasetRefused

CAPTIONS = "captions.csv"
REPORT = "report.html"  # `onbrand dataset check --fix` writes it beside the pictures
MOST_BYTES = 256 * 1024 * 1024  # of one file
MOST_FILES = 2000  # in one folder; a wrong folder, such as a home, must not be read for hours
_PICTURES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".gif", ".bmp", ".avif", ".apng"}
_VECTORS = {".svg", ".svgz", ".ai", ".eps", ".pdf", ".cdr", ".emf", ".wmf", ".dxf"}
_SOURCES = {".psd", ".psb", ".fig", ".sketch", ".xd", ".afdesign", ".afphoto", ".af", ".indd", ".xcf", ".kra", ".clip"}
_UNSUPPORTED = {
    ".heic",
    ".heif",
    ".jxl",
    ".jp2",
    ".j2k",
    ".tga",
    ".exr",
    ".hdr",
    ".dng",
    ".cr2",
    ".nef",
    ".arw",
    ".ico",
}
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")  # with WebP and AVIF, all that is read
_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin"}


@dataclass(frozen=True)
class Entry:
    """One file. `name` is its name in NFC and printable; `path` is where it is, with every link followed."""

    name: str
    path: Path

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return os.path.splitext(self.name)[0]

    @property
    def ending(self) -> str:
        """The ending, with its dot, in lower case."""
        return os.path.splitext(self.name)[1].lower()


@dataclass
class Contents:
    """A folder, sorted by name."""

    pictures: list[Entry] = field(default_factory=list)
    texts: list[Entry] = field(default_factory=list)
    table: Entry | None = None
    findings: list[Finding] = field(default_factory=list)


def key(name: str) -> str:
    """What two names have in common if a Mac or Windows would take them for the same."""
    return unicodedata.normalize("NFC", name.casefold())


def begins_as_picture(head: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a picture that can be read here."""
    return head.startswith(_BEGINNINGS) or head[8:12] == b"WEBP" or head[4:12] in (b"ftypavif", b"ftypavis")


def look_into(folder: Path) -> Contents:
    """Sort the files of a folder by their names. Only of a file without an ending the first bytes are read.

    Raises:
        DatasetRefused: it is no folder, it cannot be read, or it has more files than a data set ever has.
    """
    contents, ignored = Contents(), list[str]()
    sources: list[Entry] = []
    for name, path in _names(folder, contents):
        kind = key(name)
        if kind in _SYSTEM or name.startswith((".", "~$")):
            ignored.append(shown(name))
            continue
        entry = _entry(folder, name, path, contents)
        if entry is None:
            continue
        if kind == CAPTIONS:
            contents.table = entry
        elif entry.ending == ".txt":
            contents.texts.append(entry)
        elif entry.ending in _PICTURES:
            contents.pictures.append(entry)
        elif entry.ending in _VECTORS | _SOURCES | _UNSUPPORTED:
            sources.append(entry)
        elif (entry.ending == "" or entry.ending[1:].isdigit()) and begins_as_picture(_head(entry.path)):
            contents.pictures.append(entry)  # `mug` and `mug v1.2` are pictures, `LICENSE` is none
        elif kind != REPORT:
            ignored.append(entry.name)
    stems = {key(picture.stem) for picture in contents.pictures}
    for source in sources:
        if key(source.stem) in stems:
            ignored.append(source.name)  # the picture was made from it
        else:
            contents.findings.append(_no_pixels(source))
    if ignored:
        what = f"Not a picture or a caption, so it was left out: {listed(sorted(ignored), 8)}."
        contents.findings.append(Finding("ignored_files", None, what, "", tuple(sorted(ignored))))
    contents.findings.extend(_taken(contents.pictures))
    return contents


def _names(folder: Path, contents: Contents) -> Iterator[tuple[str, Path]]:
    try:
        names = sorted(os.listdir(folder), key=lambda name: (unicodedata.normalize("NFC", name), name))
    except NotADirectoryError:
        raise DatasetRefused(f"{shown(str(folder))} is a file. Name the folder with the illustrations.") from None
    except FileNotFoundError:
        raise DatasetRefused(
            f"There is no folder {shown(str(folder))}. Name the folder with the illustrations."
        ) from None
    except OSError as error:
        raise DatasetRefused(
            f"The folder {shown(str(folder))} can't be read ({error.strerror}). Make it readable, or copy it."
        ) from None
    if len(names) > MOST_FILES:
        raise DatasetRefused(
            f"The folder {shown(str(folder))} has {len(names):,} files, and a data set has 30 to 50 pictures. Put these"
            " into a folder of their own."
        )
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            legible = shown(os.fsencode(name).decode("utf-8", "replace"))
            cause = "The file's name is not in Unicode, so it looks different on each computer."
            contents.findings.append(Finding("name_unreadable", legible, cause, "Rename the file."))
        else:
            yield unicodedata.normalize("NFC", name), folder / name


def _entry(folder: Path, name: str, path: Path, contents: Contents) -> Entry | None:
    """The file, if it is one that may be read."""
    legible = shown(name)
    if legible != name:
        cause = "The file's name has a character that can't be shown, such as a line break."
        contents.findings.append(Finding("name_unreadable", legible, cause, "Rename the file."))
        return None
    try:
        real = path.resolve(strict=True)
        mode = real.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: a circle of links, before Python 3.13
        is_link = path.is_symlink()
        kind, what = (
            ("link_broken", "It is a link to a file that isn't there.")
            if is_link
            else ("file_unreadable", "The file can't be read.")
        )
        contents.findings.append(Finding(kind, name, what, "Copy the picture itself into the folder."))
        return None
    if stat.S_ISDIR(mode):
        cause = "It is a folder, and only the files directly in the data set's own folder are read."
        remedy = "If pictures of the data set are in it, move them up."
        contents.findings.append(Finding("ignored_folder", name, cause, remedy))
        return None
    if real.parent != folder.resolve():
        cause = "It is a link to a file outside the folder. Such a file can change without the folder changing."
        contents.findings.append(Finding("link_leaves_folder", name, cause, "Copy the file itself into the folder."))
        return None
    if not stat.S_ISREG(mode):
        cause = "It is no file, but something of the operating system, such as a pipe."
        contents.findings.append(Finding("file_unreadable", name, cause, "Remove it from the folder."))
        return None
    return Entry(name, real)


def _head(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return file.read(12)
    except OSError:
        return b""


def _no_pixels(entry: Entry) -> Finding:
    size = "with 1024 pixels or more on its longer side, in sRGB"
    if entry.ending in _VECTORS:
        cause = "It is a vector file. It has no pixels yet, and each program would draw it a little differently."
        return Finding("vector", entry.name, cause, f"Export it as PNG {size}.")
    if entry.ending in _SOURCES:
        cause = "It is a drawing program's own file, with layers that only that program puts together."
        return Finding("format_unsupported", entry.name, cause, f"Export it as PNG {size}.")
    cause = f"Pictures of the kind {entry.ending[1:].upper()} can't be read here."
    return Finding("format_unsupported", entry.name, cause, f"Save it as PNG {size}.")


def _taken(pictures: list[Entry]) -> Iterator[Finding]:
    first: dict[str, Entry] = {}
    for picture in pictures:
        other = first.setdefault(key(picture.stem), picture)
        if other is not picture:
            cause = f"{other.name} and {picture.name} have the same name but for its ending or its capitals."
            remedy = "Keep one of them, or rename one together with its caption."
            yield Finding("name_taken", picture.name, cause, remedy, (other.name,))
