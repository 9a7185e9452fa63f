"""The finished PNGs in the object store: written whole or not at all, and checked before they are shown.

Keys are `jobs/{job id}/{attempt}/{n}.png` (`job.image_key`); which attempt counts is decided by the job row, and what
may be deleted by `upkeep.py`. Whatever else lies in the store is somebody else's: it is neither listed nor touched.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore

from onbrand.config import AzureContainer, Settings
from onbrand.errors import ImageCorrupt, ImageStoreUnavailable, ObjectStoreUnreachable
from onbrand.jobs.models import IMAGES_PER_JOB, StoredImage, image_key
from onbrand.storage import local_disk, object_store

logger = logging.getLogger(__name__)

READ_SECONDS = 2.0  # the API must have answered after three, whatever else it waits for
WRITE_SECONDS = 20.0  # four drawn pictures are worth some waiting; with the next attempt a GPU draws them again
DELETE_SECONDS = 10.0  # one listing or one request that deletes
BATCH = 1000
_AT_ONCE = 32  # calls, and with them connections and images in memory
_DELETED_AT_ONCE = 256  # https://learn.microsoft.com/rest/api/storageservices/blob-batch
_LONGEST_PAUSE_SECONDS = 2.0
_RETRY_AFTER_SECONDS = 5
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_KEY = re.compile(rf"jobs/({_UUID})/([1-9][0-9]{{0,8}})/([1-{IMAGES_PER_JOB}])\.png")
_LEFTOVER = re.compile(rf"{_KEY.pattern}#[0-9]+")  # what obstore renames or links when a file is whole
_PROBE = re.compile(rf"checks/{_UUID}")  # of `check`, when a process was killed in it
_FOLDER = re.compile(rf"jobs/{_UUID}(/[1-9][0-9]{{0,8}})?")


@dataclass(frozen=True)
class StoredKey:
    """One image that lies in the store, whether or not it is anybody's result."""

    job_id: UUID
    attempt: int
    n: int  # 1–4
    modified: datetime  # when it was stored, by the store's clock

    @property
    def key(self) -> str:
        """The object's key."""
        return image_key(self.job_id, self.attempt, self.n)


class ImageStore:
    """The images in one object store. `place` is where that is; None for one that is neither a folder nor Azure."""

    def __init__(self, objects: ObjectStore, place: Path | AzureContainer | None = None) -> None:
        self._objects = objects
        self._place = place
        self._folder = place if isinstance(place, Path) else None
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._is_lost = False

    @classmethod
    def open(cls, settings: Settings) -> ImageStore:
        """The store that the settings name. It is not asked anything yet: see `prepare`.

        Raises:
            DataDirUnwritable: it is a folder and cannot be made.
        """
        return cls(object_store.open_storage(settings.storage), settings.storage)

    @classmethod
    def on_disk(cls, directory: Path) -> ImageStore:
        """Images below a local directory, which is made if it is missing.

        obstore writes to a temporary name beside the target and links it, so that a reader never sees half a file.

        Raises:
            DataDirUnwritable: the directory cannot be made.
        """
        return cls(object_store.open_storage(directory), directory)

    async def check(self) -> None:
        """Write, read and delete a small object that is no image; a missing container is made if we may.

        Raises:
            ObjectStoreRefused: it will not work until somebody changes something.
            ObjectStoreUnreachable: it does not work at this moment.
        """
        if self._place is not None:
            await object_store.check(self._objects, self._place)

    async def prepare(self) -> None:
        """The check of a process that starts: a store that is only away is waited for later, call by call.

        Raises:
            ObjectStoreRefused: it will not work until somebody changes something.
        """
        try:
            await self.check()
        except ObjectStoreUnreachable as error:
            self._is_lost = True
            logger.warning("%s", error.message, extra={"action": "store_lost"})

    async def put(self, job_id: UUID, attempt: int, n: int, png: bytes) -> StoredImage:
        """Store image `n` of an attempt, durably. Repeating it with the same bytes is no error; other bytes never
        replace it.

        Raises:
            ImageCorrupt: there are other bytes already.
            ImageStoreUnavailable: the store did not take it in time.
        """
        stored = StoredImage(n, hashlib.sha256(png).hexdigest(), len(png))
        key = image_key(job_id, attempt, n)
        try:
            async with self._within(WRITE_SECONDS):
                await self._put(key, png)
        except AlreadyExistsError:  # perhaps by us, and the reply was lost
            await self.get(job_id, attempt, stored)
        except FileNotFoundError as error:
            raise self._unavailable(error) from None
        if self._folder is not None:
            async with self._within(WRITE_SECONDS, absent_is_lost=True):
                await asyncio.to_thread(local_disk.sync, self._folder, key)
        return stored

    async def _put(self, key: str, png: bytes) -> None:
        deadline, pause = time.monotonic() + WRITE_SECONDS, 0.25
        while True:
            try:
                await self._objects.put_async(key, png, mode="create")
                return
            except (AlreadyExistsError, PermissionDeniedError, UnauthenticatedError):
                raise
            except FileNotFoundError as error:
                if not (object_store.is_missing_container(error) and await object_store.create_container(self._place)):
                    raise
            except BaseError:
                # obstore repeats nothing that may have been done already; here that comes to light as AlreadyExists.
                if not isinstance(self._place, AzureContainer) or time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)

    async def get(self, job_id: UUID, attempt: int, image: StoredImage) -> bytes:
        """The whole PNG, checked against the row's size and SHA-256.

        Raises:
            ImageCorrupt: missing, torn or altered.
            ImageStoreUnavailable: no answer in time.
        """
        try:
            async with self._within(READ_SECONDS):
                result = await self._objects.get_async(image_key(job_id, attempt, image.n))
                png = bytes(await result.bytes_async())
        except FileNotFoundError as error:
            if object_store.is_missing_container(error) or (self._folder is not None and not self._folder.is_dir()):
                raise self._unavailable(error) from None
            raise ImageCorrupt from None
        if len(png) != image.size or hashlib.sha256(png).hexdigest() != image.sha256:
            raise ImageCorrupt
        return png

    async def discard(self, job_id: UUID, attempt: int) -> None:
        """Delete whatever an attempt that is not the result has written; what is not there is no error.

        Raises:
            ImageStoreUnavailable: the store did not do it in time.
        """
        await self._delete([image_key(job_id, attempt, n) for n in range(1, IMAGES_PER_JOB + 1)])

    async def stored(self) -> AsyncIterator[list[StoredKey]]:
        """All images in the store, in batches of at most 1,000, in no order. A foreign object is never among them.

        Raises:
            ImageStoreUnavailable: the store did not list them all; what is missing so far may yet be there.
        """
        async for batch in self._list("jobs"):
            if found := [key for name, modified in batch if (key := _parse(name, modified)) is not None]:
                yield found

    async def delete(self, keys: Sequence[StoredKey]) -> int:
        """Delete these images, on Azure 256 with each request. How many are gone now: what was not there counts too.

        Raises:
            ImageStoreUnavailable: the store did not do it in time; some may be deleted.
        """
        await self._delete([key.key for key in keys])
        return len(keys)

    async def delete_job(self, job_id: UUID) -> None:
        """Delete all images of a job, of whichever attempt, on disk with what was half written and with the folders.

        A foreign file in them stays. What is not there is no error.

        Raises:
            ImageStoreUnavailable: the store did not do it in time; some may be deleted.
        """
        found: list[str] = []
        async for batch in self._list(f"jobs/{job_id}"):
            found += [name for name, _ in batch if _KEY.fullmatch(name) or _LEFTOVER.fullmatch(name)]
        await self._delete(found)
        if self._folder is not None:
            await asyncio.to_thread(self._remove_empty, f"jobs/{job_id}", None)
            await asyncio.to_thread(local_disk.remove_empty, self._folder / "jobs" / str(job_id))

    async def sweep_leftovers(self, older_than: timedelta) -> int:
        """Delete what killed processes leave: probes of `check`, and on disk half-written files and empty folders.

        How many files that were. Azure keeps no half-written ones: a put that creates is one request there, never
        blocks, and blocks that are never committed would be dropped after a week
        (https://learn.microsoft.com/rest/api/storageservices/put-block#remarks).

        Raises:
            ImageStoreUnavailable: the store cannot be read or written.
        """
        before = time.time() - older_than.total_seconds()
        deleted = await self._delete_old("checks", _PROBE, before)
        if self._folder is not None:
            deleted += await self._delete_old("jobs", _LEFTOVER, before)
            await asyncio.to_thread(self._remove_empty, "jobs", before)
        return deleted

    async def _delete_old(self, folder: str, names: re.Pattern[str], before: float) -> int:
        found: list[str] = []
        async for batch in self._list(folder):
            found += [name for name, modified in batch if names.fullmatch(name) and modified.timestamp() < before]
        await self._delete(found)
        return len(found)

    def _remove_empty(self, folder: str, before: float | None) -> None:
        # Not the fresh ones, which somebody is about to write into.
        assert self._folder is not None
        for key, modified in local_disk.empty_folders(self._folder, folder):
            if _FOLDER.fullmatch(key) and (before is None or modified < before):
                local_disk.remove_empty(self._folder / key)

    async def _list(self, prefix: str) -> AsyncIterator[list[tuple[str, datetime]]]:
        """Key and time of change of every object below a prefix, ours or not."""
        if self._folder is not None:
            walk = local_disk.files(self._folder, prefix)
            while True:
                async with self._within(DELETE_SECONDS, absent_is_lost=True):
                    batch = await asyncio.to_thread(_next_files, walk)
                if not batch:
                    return
                yield batch
        listing = self._objects.list(prefix, chunk_size=BATCH)
        while True:
            async with self._within(DELETE_SECONDS, absent_is_lost=True):
                chunk = await anext(listing, None)
            if chunk is None:
                return
            yield [(one["path"], one["last_modified"]) for one in chunk]

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = list(keys[start : start + _DELETED_AT_ONCE])
            try:
                async with self._within(DELETE_SECONDS):
                    if self._folder is not None:
                        await asyncio.to_thread(local_disk.remove, self._folder, batch)
                    else:
                        await self._objects.delete_async(batch)
            except FileNotFoundError:
                # One was not there. The store says so of the first such, and may hide behind it what it refused.
                for key in batch:
                    await self._delete_one(key)

    async def _delete_one(self, key: str) -> None:
        try:
            async with self._within(DELETE_SECONDS):
                await self._objects.delete_async(key)
        except FileNotFoundError:
            return

    @asynccontextmanager
    async def _within(self, seconds: float, *, absent_is_lost: bool = False) -> AsyncIterator[None]:
        """A bounded call to the store. What says that an object is there, or is not, passes; the rest is an outage."""
        try:
            async with asyncio.timeout(seconds), self._gate:
                yield
        except AlreadyExistsError:
            raise
        except (BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and not absent_is_lost:
                raise
            raise self._unavailable(error) from None  # its text has addresses in it
        else:
            if self._is_lost:
                logger.info("The object store answers again", extra={"action": "store_back"})
            self._is_lost = False

    def _unavailable(self, error: Exception) -> ImageStoreUnavailable:
        if not self._is_lost:
            logger.warning(
                "The object store is unavailable (%s)", object_store.reason(error), extra={"action": "store_lost"}
            )
        self._is_lost = True
        return ImageStoreUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS)


def _parse(name: str, modified: datetime) -> StoredKey | None:
    """The image that a key names; None if it is not exactly as we write them."""
    found = _KEY.fullmatch(name)
    return StoredKey(UUID(found[1]), int(found[2]), int(found[3]), modified) if found else None


def _next_files(walk: Iterator[tuple[str, float]]) -> list[tuple[str, datetime]]:
    return [(key, datetime.fromtimestamp(changed, UTC)) for key, changed in islice(walk, BATCH)]
