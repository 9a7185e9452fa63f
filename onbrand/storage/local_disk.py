"""Calls for a folder that serves as the object store: durable files, a complete listing, no empty folders.

obstore's own `LocalStore` syncs nothing, follows symbolic links when it lists, hides its half-written files, and can
fail a put into a folder that it removes at the same time. Nothing here knows what the files are; `images.store` does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def sync(root: Path, key: str) -> None:
    """Make a written file, and the folders that lead to it, survive a power cut.

    obstore never does (seen with strace). The Rust library below it made that an option, off by default, in
    https://github.com/apache/arrow-rs-object-store/pull/643, and obstore 0.12 does not offer the option.
    """
    path = root / key
    while True:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if path == root:
            return
        path = path.parent


def files(root: Path, folder: str) -> Iterator[tuple[str, float]]:
    """Key and time of change (seconds since 1970) of each regular file below a folder of the root.

    Symbolic links are neither followed nor listed. One directly below the root is followed: an operator may have moved
    the images to another disk. A file that vanishes during the listing is left out. A missing folder is an empty list.

    Raises:
        OSError: something cannot be read, or the root is missing.
    """
    if not root.is_dir():
        raise FileNotFoundError("the store's folder is gone")
    if not _leads_elsewhere(root, folder):
        yield from _files(root / folder, folder)


def _leads_elsewhere(root: Path, folder: str) -> bool:
    return "/" in folder and (root / folder).is_symlink()


def _files(path: Path, key: str) -> Iterator[tuple[str, float]]:
    try:
        entries = os.scandir(path)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            below = f"{key}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files(path / entry.name, below)
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    yield below, entry.stat(follow_symlinks=False).st_mtime


def remove(root: Path, keys: Iterable[str]) -> None:
    """Delete files, and each folder that contained one and is empty now. A missing file is no error.

    Only the innermost folder is deleted: another writer may be making a folder in one further up at this moment.

    Raises:
        OSError: something cannot be deleted.
    """
    folders = set()
    for key in keys:
        path = root / key
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
        folders.add(path.parent)
    for folder in folders:
        remove_empty(folder)


def empty_folders(root: Path, folder: str) -> Iterator[tuple[str, float]]:
    """Key and time of change (seconds since 1970) of each empty folder below a folder of the root."""
    if _leads_elsewhere(root, folder):
        return
    for path, folders, names in os.walk(root / folder, topdown=False):
        if not folders and not names and path != str(root / folder):
            with suppress(FileNotFoundError):
                yield Path(path).relative_to(root).as_posix(), os.lstat(path).st_mtime


def remove_empty(folder: Path) -> None:
    """Delete a folder if it is empty and no symbolic link."""
    with suppress(OSError):
        folder.rmdir()
