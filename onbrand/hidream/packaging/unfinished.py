"""A folder that appears complete or not at all, also if the process is killed while it is written.

It is written under a hidden name beside its destination, and locked: the kernel releases the lock when the process
ends. So the next build knows which hidden folders nobody writes any more, and deletes them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4


@contextmanager
def unfinished_folder(destination: Path) -> Iterator[Path]:
    """A new, empty folder that the `with` block fills and renames to `destination`; otherwise it is deleted.

    Raises:
        OSError: the folder cannot be made.
    """
    if destination.parent.is_dir():
        _delete_abandoned(destination)
    folder, lock = _make_locked(destination)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_locked(destination: Path) -> tuple[Path, int]:
    while True:
        folder = destination.with_name(f".{destination.name}.{uuid4().hex}")
        folder.mkdir(parents=True)
        lock = os.open(folder, os.O_RDONLY)
        with suppress(OSError):  # a file system without locks: then nobody else gets the lock, and nothing is deleted
            fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # another build has deleted it between the two lines above


def _delete_abandoned(destination: Path) -> None:
    name = re.compile(rf"\.{re.escape(destination.name)}\.[0-9a-f]{{32}}")
    for folder in destination.parent.iterdir():
        if name.fullmatch(folder.name) is None:
            continue
        with suppress(OSError):  # somebody writes it, or it is no folder
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
