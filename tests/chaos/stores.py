"""The image store of the chaos run, a folder or Azurite: outages, and its content at the end.

Files are read here without `onbrand.images.store`, because the run must not trust the code under test.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol
from unittest import mock

from onbrand.config import Settings
from onbrand.jobs import retention
from onbrand.storage.object_store import open_storage
from tests.azurite import Azurite, settings_with

_RENAME_EXCHANGE = 2  # linux/fs.h
_AT_FDCWD = -100  # linux/fcntl.h
_CONTAINER = "chaos"


class Store(Protocol):
    """One image store."""

    def settings(self) -> dict[str, str]:
        """The settings with which Onbrand uses it, their names without `ONBRAND_`."""

    async def away(self, seconds: float, *, silent: bool) -> None:
        """An outage of so many seconds: calls fail at once or, if `silent` and possible, get no answer."""

    async def files(self) -> dict[str, bytes]:
        """All files in it by key, including half-written ones."""

    def aged(self) -> AbstractContextManager[object]:
        """A context in which all files count as old enough to be deleted."""

    def close(self) -> None:
        """Stop what was started."""


class Folder:
    """A local directory."""

    def __init__(self, folder: Path) -> None:
        self._images = folder / "images"

    def settings(self) -> dict[str, str]:
        return {"STORAGE_URL": f"file://{self._images}"}

    async def away(self, seconds: float, *, silent: bool) -> None:  # noqa: ARG002  (a folder always answers)
        # A file takes the folder's place, so that nobody creates a new folder there. Permissions do not stop root.
        stand_in = self._images.with_name("images-away")
        stand_in.touch()
        _exchange(stand_in, self._images)
        try:
            await asyncio.sleep(seconds)
        finally:
            _exchange(stand_in, self._images)

    async def files(self) -> dict[str, bytes]:
        paths = [path for path in self._images.rglob("*") if path.is_file()]
        return {path.relative_to(self._images).as_posix(): path.read_bytes() for path in paths}

    def aged(self) -> AbstractContextManager[object]:
        for path in sorted(self._images.rglob("*"), reverse=True):
            os.utime(path, (time.time() - 86_400,) * 2)
        return mock.patch.object(retention, "ORPHAN_HOURS", retention.ORPHAN_HOURS)

    def close(self) -> None:
        """Nothing was started."""


class Container:
    """A container on an Azurite of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._azurite = Azurite(folder)
        self._azurite.start()

    def settings(self) -> dict[str, str]:
        return self._azurite.settings(_CONTAINER)

    async def away(self, seconds: float, *, silent: bool) -> None:
        outage = self._azurite.frozen() if silent else self._azurite.stopped()
        await asyncio.to_thread(outage.__enter__)
        try:
            await asyncio.sleep(seconds)
        finally:
            await asyncio.to_thread(outage.__exit__, None, None, None)

    async def files(self) -> dict[str, bytes]:
        store = open_storage(settings_with(Settings(), **self.settings()).storage).store
        names = [one["path"] for one in await store.list().collect_async()]
        return {name: bytes(await (await store.get_async(name)).bytes_async()) for name in names}

    def aged(self) -> AbstractContextManager[object]:
        return mock.patch.object(retention, "ORPHAN_HOURS", 0)  # the time of a blob cannot be set

    def close(self) -> None:
        self._azurite.stop()


def _exchange(one: Path, other: Path) -> None:
    """Swap two names in one step (renameat2)."""
    names = os.fsencode(one), os.fsencode(other)
    if ctypes.CDLL(None, use_errno=True).renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "cannot exchange the folder")
