"""The finished PNGs in the object store: written whole or not at all, and checked before they are shown.

Keys are `jobs/{job id}/{attempt}/{n}.png` (`job.image_key`); which attempt counts is decided by the job row.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from uuid import UUID

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from onbrand.errors import DataDirUnwritable, ImageCorrupt, StoreUnavailable
from onbrand.job import IMAGES_PER_JOB, StoredImage, image_key

_READ_SECONDS = 5.0
_WRITE_SECONDS = 20.0


class ImageStore:
    """The images in one object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def on_disk(cls, directory: Path) -> ImageStore:
        """Images below a local directory, which is made if it is missing.

        obstore writes to a temporary name beside the target and renames it, so that a reader never sees half a file.

        Raises:
            DataDirUnwritable: the directory cannot be made.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(directory))
        except OSError:
            raise DataDirUnwritable(
                "The images' directory can't be made. Point ONBRAND_DATA_DIR to a folder that you may write."
            ) from None

    async def put(self, job_id: UUID, attempt: int, n: int, png: bytes) -> StoredImage:
        """Store image `n` of an attempt. Repeating it with the same bytes is no error; other bytes never replace it.

        Raises:
            ImageCorrupt: there are other bytes already.
            StoreUnavailable: the store did not take it in time.
        """
        stored = StoredImage(n, hashlib.sha256(png).hexdigest(), len(png))
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                await self._store.put_async(image_key(job_id, attempt, n), png, mode="create")
        except AlreadyExistsError:
            await self.get(job_id, attempt, stored)
        except (BaseError, OSError, TimeoutError) as error:
            raise StoreUnavailable from error
        return stored

    async def get(self, job_id: UUID, attempt: int, image: StoredImage) -> bytes:
        """The whole PNG, checked against the row's size and SHA-256.

        Raises:
            ImageCorrupt: missing, torn or altered.
            StoreUnavailable: no answer in time.
        """
        try:
            async with asyncio.timeout(_READ_SECONDS):
                result = await self._store.get_async(image_key(job_id, attempt, image.n))
                png = bytes(await result.bytes_async())
        except FileNotFoundError:
            raise ImageCorrupt from None
        except (BaseError, OSError, TimeoutError) as error:
            raise StoreUnavailable(retry_after_seconds=5) from error
        if len(png) != image.size or hashlib.sha256(png).hexdigest() != image.sha256:
            raise ImageCorrupt
        return png

    async def discard(self, job_id: UUID, attempt: int) -> None:
        """Delete whatever an attempt that is not the result has written; what is not there is no error."""
        for n in range(1, IMAGES_PER_JOB + 1):
            try:
                async with asyncio.timeout(_WRITE_SECONDS):
                    await self._store.delete_async(image_key(job_id, attempt, n))
            except FileNotFoundError:
                continue
            except (BaseError, OSError, TimeoutError) as error:
                raise StoreUnavailable from error
