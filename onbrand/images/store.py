"""The finished images in the object store: written whole or not at all, and checked before they are shown.

An image is a PNG and, beside it, its rendition for tiles: `jobs/{job id}/{attempt}/{n}.png` and `{n}-512.webp`
(`jobs.models.image_key`, `rendition_key`). The job row says which attempt counts, and `maintenance` decides what is
deleted. Every other object in the store belongs to somebody else: this module neither
lists nor changes it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from onbrand.config import AzureContainer, Settings
from onbrand.errors import ImageCorrupt, ImageStoreUnavailable, ObjectStoreUnreachable
from onbrand.images.keys import FOLDER, HALF_WRITTEN, KEY, UUID_PATTERN, StoredKey, parse
from onbrand.jobs.models import IMAGES_PER_JOB, StoredImage, StoredRendition, image_key, rendition_key
from onbrand.storage import local_disk
from onbrand.storage.check import PROBES, check
from onbrand.storage.container import create_container
from onbrand.storage.failures import ContainerMissing, ObjectExists, ObjectMissing, StoreFailed, failure
from onbrand.storage.object_store import Listed, ObjectStore, open_storage

logger = logging.getLogger(__name__)

READ_SECONDS = 2.0  # the API must have answered after three, whatever else it waits for
WRITE_SECONDS = 20.0  # waiting is cheaper than drawing four pictures again on a GPU, as the next attempt would
DELETE_SECONDS = 10.0  # one request that lists or deletes
_AT_ONCE = 32  # calls, and with them connections and images in memory
_DELETED_AT_ONCE = 256  # https://learn.microsoft.com/rest/api/storageservices/blob-batch
_LONGEST_PAUSE_SECONDS = 2.0
_RETRY_AFTER_SECONDS = 5
_PROBE = re.compile(rf"{PROBES}/{UUID_PATTERN}")  # a process was killed in `check`


class ImageStore:
    """The images in one object store. All waiting is bounded, and at most 32 calls run at the same time."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._is_lost = False

    @classmethod
    def open(cls, settings: Settings) -> ImageStore:
        """The store that the settings name. It is not asked anything yet: see `prepare`.

        Raises:
            DataDirUnwritable: it is a folder and cannot be made.
        """
        return cls(open_storage(settings.storage))

    @classmethod
    def on_disk(cls, directory: Path) -> ImageStore:
        """Images below a local directory, which is made if it is missing.

        Raises:
            DataDirUnwritable: the directory cannot be made.
        """
        return cls(open_storage(directory))

    async def check(self) -> None:
        """Write, read and delete a small object that is no image. A missing container is made if we may make it.

        Raises:
            ObjectStoreRefused: the store will not work until somebody changes something.
            ObjectStoreUnreachable: the store does not work at this moment.
        """
        if self._objects.place is not None:
            await check(self._objects)

    async def prepare(self) -> None:
        """Check the store when a process starts. A store that does not answer is no error: later calls wait for it.

        Raises:
            ObjectStoreRefused: the store will not work until somebody changes something.
        """
        try:
            await self.check()
        except ObjectStoreUnreachable as error:
            self._is_lost = True
            logger.warning("%s", error.message, extra={"action": "store_lost"})

    async def put(self, job_id: UUID, attempt: int, n: int, png: bytes, rendition: bytes | None = None) -> StoredImage:
        """Store image `n` of an attempt, durably, with its rendition if there is one.

        Storing the same bytes again is no error.

        Raises:
            ImageCorrupt: other bytes are stored under this key. They are not replaced.
            ImageStoreUnavailable: the store did not take the image in time.
        """
        sha256 = await self._store(image_key(job_id, attempt, n), png)
        if rendition is None:
            return StoredImage(n, sha256, len(png))
        beside = StoredRendition(await self._store(rendition_key(job_id, attempt, n), rendition), len(rendition))
        return StoredImage(n, sha256, len(png), beside)

    async def _store(self, key: str, content: bytes) -> str:
        """Store these bytes under a new key, durably; their SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            async with self._within(WRITE_SECONDS):
                await self._put(key, content)
        except ObjectExists:  # perhaps we stored it, and the reply was lost
            await self._get(key, sha256, len(content))
        if self._objects.folder is not None:
            async with self._within(WRITE_SECONDS):
                await self._objects.make_durable(key)
        return sha256

    async def _put(self, key: str, content: bytes) -> None:
        deadline, pause = time.monotonic() + WRITE_SECONDS, 0.25
        while True:
            try:
                await self._objects.put(key, content, is_new=True)
                return
            except ContainerMissing:
                if not await create_container(self._objects.place):
                    raise
            except StoreFailed as failed:
                # obstore does not repeat a request that may have been done already. If it was, we get ObjectExists.
                may_retry = isinstance(self._objects.place, AzureContainer) and not failed.is_denied
                if not may_retry or time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, 2 * pause)

    async def get(self, job_id: UUID, attempt: int, image: StoredImage) -> bytes:
        """The whole PNG, checked against the row's size and SHA-256.

        Raises:
            ImageCorrupt: missing, incomplete or altered.
            ImageStoreUnavailable: no answer in time, or the whole container or folder is missing.
        """
        return await self._get(image_key(job_id, attempt, image.n), image.sha256, image.size)

    async def get_rendition(self, job_id: UUID, attempt: int, image: StoredImage) -> bytes | None:
        """The whole rendition, checked as `get` checks the PNG; None if there is none. Raises what `get` does."""
        if image.rendition is None:
            return None
        key = rendition_key(job_id, attempt, image.n)
        return await self._get(key, image.rendition.sha256, image.rendition.size)

    async def require_whole(self, job_id: UUID, attempt: int, image: StoredImage) -> None:
        """Read all that is stored of an image, and raise what `get` does if it is not whole."""
        await self.get(job_id, attempt, image)
        await self.get_rendition(job_id, attempt, image)

    async def _get(self, key: str, sha256: str, size: int) -> bytes:
        try:
            async with self._within(READ_SECONDS):
                content = await self._objects.get(key)
        except ObjectMissing:
            raise ImageCorrupt from None
        if len(content) != size or hashlib.sha256(content).hexdigest() != sha256:
            raise ImageCorrupt
        return content

    async def discard(self, job_id: UUID, attempt: int) -> None:
        """Delete the images of an attempt that is not the result. Images that are not there are no error.

        Raises:
            ImageStoreUnavailable: the store did not do it in time.
        """
        numbers = range(1, IMAGES_PER_JOB + 1)
        await self._delete([key(job_id, attempt, n) for key in (image_key, rendition_key) for n in numbers])

    async def stored(self) -> AsyncIterator[list[StoredKey]]:
        """All PNGs and renditions in the store, in batches of at most 1,000, in no order, without foreign objects.

        Raises:
            ImageStoreUnavailable: the list is not complete. An image that was not listed may still be in the store.
        """
        async for batch in self._list("jobs"):
            if found := [key for listed in batch if (key := parse(listed)) is not None]:
                yield found

    async def delete(self, keys: Sequence[StoredKey]) -> int:
        """Delete these images, on Azure 256 with each request. How many are gone now: missing ones count too.

        Raises:
            ImageStoreUnavailable: the store did not do it in time; some may be deleted.
        """
        await self._delete([key.key for key in keys])
        return len(keys)

    async def delete_job(self, job_id: UUID) -> None:
        """Delete all images of a job, of every attempt; on disk its half-written files and its folders too.

        A foreign file in these folders stays. Images that are not there are no error.

        Raises:
            ImageStoreUnavailable: the store did not do it in time; some may be deleted.
        """
        found: list[str] = []
        async for batch in self._list(f"jobs/{job_id}"):
            keys = (listed.key for listed in batch)
            found += [key for key in keys if KEY.fullmatch(key) or HALF_WRITTEN.fullmatch(key)]
        await self._delete(found)
        if self._objects.folder is not None:
            await asyncio.to_thread(_remove_empty_folders, self._objects.folder, f"jobs/{job_id}", None)
            await asyncio.to_thread(local_disk.remove_empty, self._objects.folder / "jobs" / str(job_id))

    async def sweep_leftovers(self, older_than: timedelta) -> int:
        """Delete what killed processes left: probes of `check`, and on disk half-written files and empty folders.

        Returns how many files it deleted. Azure keeps no half-written images: a put that creates is one request there,
        without blocks, and Azure would drop uncommitted blocks after a week
        (https://learn.microsoft.com/rest/api/storageservices/put-block#remarks).

        Raises:
            ImageStoreUnavailable: the store cannot be read or written.
        """
        before = time.time() - older_than.total_seconds()
        deleted = await self._delete_old(PROBES, _PROBE, before)
        if self._objects.folder is not None:
            deleted += await self._delete_old("jobs", HALF_WRITTEN, before)
            await asyncio.to_thread(_remove_empty_folders, self._objects.folder, "jobs", before)
        return deleted

    async def _delete_old(self, folder: str, names: re.Pattern[str], before: float) -> int:
        found: list[str] = []
        async for batch in self._list(folder):
            found += [one.key for one in batch if names.fullmatch(one.key) and one.modified.timestamp() < before]
        await self._delete(found)
        return len(found)

    async def _list(self, prefix: str) -> AsyncIterator[list[Listed]]:
        """Every object below a prefix, ours or not."""
        batches = self._objects.batches(prefix)
        while True:
            async with self._within(DELETE_SECONDS):
                batch = await anext(batches, None)
            if batch is None:
                return
            yield batch

    async def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            batch = keys[start : start + _DELETED_AT_ONCE]
            try:
                async with self._within(DELETE_SECONDS):
                    await self._objects.delete(batch)
            except ObjectMissing:
                # The store reports the first missing key, and may not report after it a key that it refused.
                for key in batch:
                    await self._delete_one(key)

    async def _delete_one(self, key: str) -> None:
        try:
            async with self._within(DELETE_SECONDS):
                await self._objects.delete_one(key)
        except ObjectMissing:
            return

    @asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        """A bounded call to the store. `ObjectExists` and `ObjectMissing` pass; any other error is an outage."""
        try:
            async with asyncio.timeout(seconds), self._gate:
                yield
        except (StoreFailed, TimeoutError) as error:
            failed = error if isinstance(error, StoreFailed) else failure(error)
            raise self._unavailable(failed) from None
        else:
            if self._is_lost:
                logger.info("The object store answers again", extra={"action": "store_back"})
            self._is_lost = False

    def _unavailable(self, failed: StoreFailed) -> ImageStoreUnavailable:
        if not self._is_lost:
            logger.warning("The object store is unavailable (%s)", failed.reason, extra={"action": "store_lost"})
        self._is_lost = True
        return ImageStoreUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS)


def _remove_empty_folders(root: Path, folder: str, before: float | None) -> None:
    """Remove the empty folders of jobs below `folder`, but not young ones: a writer may be about to use them."""
    for key, modified in local_disk.empty_folders(root, folder):
        if FOLDER.fullmatch(key) and (before is None or modified < before):
            local_disk.remove_empty(root / key)
