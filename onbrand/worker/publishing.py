"""The last part of an attempt: the images are checked and stored, and become the job's result in one transaction."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from onbrand.database.pool import Database
from onbrand.errors import BadImage, DatabaseUnavailable, ImagesNotStored, ImageStoreUnavailable, OnbrandError
from onbrand.images.png import check
from onbrand.images.rendition import render
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts
from onbrand.jobs.models import IMAGES_PER_JOB, Claim, StoredImage
from onbrand.worker.drawing import Drawn
from onbrand.worker.interruptions import NoLongerOurs, Stopping
from onbrand.worker.retries import commit_with_retries

_RETRY_SECONDS = 0.5
# Finished images are worth waiting for an image store that does not answer. A longer wait would leave a GPU idle.
_STORE_PATIENCE_SECONDS = 30.0


class PublishingStage:
    """Stores the images of an attempt and publishes them. When `must_stop` is set, it no longer waits for the store."""

    def __init__(
        self,
        database: Database,
        images: ImageStore,
        must_stop: asyncio.Event,
        *,
        lease_seconds: float,
        retention_hours: int,
    ) -> None:
        self._database = database
        self._images = images
        self._must_stop = must_stop
        self._lease_seconds = lease_seconds
        self._retention_hours = retention_hours

    async def publish(self, claim: Claim, drawn: Drawn) -> None:
        """Make the images the job's result.

        Raises:
            BadImage: they are not four images that may be published.
            ImagesNotStored: the image store did not take them.
            NoLongerOurs: the job was cancelled, or another attempt has taken over.
            Stopping: the worker must stop while the image store does not answer.
            DatabaseUnavailable: whether they were published is unknown.
        """
        if len(drawn.pngs) != IMAGES_PER_JOB or {n for n, _ in drawn.pngs} != set(range(1, IMAGES_PER_JOB + 1)):
            raise BadImage
        # Wait for all four, even after one has failed: an image that is still being written could not be deleted.
        outcomes = await asyncio.gather(*(self._store(claim, n, png) for n, png in drawn.pngs), return_exceptions=True)
        stored = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            stored.append(outcome)
        is_published = await commit_with_retries(
            self._database,
            lambda connection: attempts.publish(
                connection,
                claim,
                stored,
                prompt_ignored=drawn.prompt_ignored,
                retention_hours=self._retention_hours,
            ),
            must_stop=self._must_stop,
        )
        if not is_published:
            raise NoLongerOurs

    async def discard(self, claim: Claim) -> None:
        """Delete what the attempt has stored, as far as the store answers.

        Whatever remains is deleted by `maintenance`, because its attempt is not the job's result.
        """
        with suppress(ImageStoreUnavailable):
            await self._images.discard(claim.job_id, claim.attempt)

    async def _store(self, claim: Claim, n: int, png: bytes) -> StoredImage:
        """Check an image, store it with its rendition, and read both back to compare their checksums."""
        pixels = await asyncio.to_thread(check, png)
        rendition = await asyncio.to_thread(render, pixels)
        started = time.monotonic()
        while True:
            try:
                image = await self._images.put(claim.job_id, claim.attempt, n, png, rendition)
                await self._images.require_whole(claim.job_id, claim.attempt, image)
                return image
            except ImageStoreUnavailable as error:
                if time.monotonic() - started > _STORE_PATIENCE_SECONDS:
                    raise ImagesNotStored from error
            except OnbrandError as error:
                raise ImagesNotStored from error
            if self._must_stop.is_set():
                raise Stopping
            await self._renew(claim)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _renew(self, claim: Claim) -> None:
        with suppress(DatabaseUnavailable):  # `publish` checks the attempt anyway
            async with self._database.transaction() as connection:
                is_ours = await attempts.renew(connection, claim, lease_seconds=self._lease_seconds)
            if not is_ours:
                raise NoLongerOurs
