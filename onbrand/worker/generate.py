"""One delivery, from claim to result: what the worker does with a job id.

Every write names the attempt. A worker that was too slow, was cancelled or came back from the dead finds no row to
change, stops the model, deletes what it stored, and takes the next delivery.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from onbrand import attempts, logs
from onbrand.config import Settings
from onbrand.errors import (
    BadImage,
    Cancelled,
    DatabaseUnavailable,
    JobFailure,
    ModelFailed,
    OnbrandError,
    SetupError,
    StorageUnavailable,
    StoreUnavailable,
    job_failure,
)
from onbrand.images import ImageStore
from onbrand.job import IMAGES_PER_JOB, Claim, Pack, Phase, Progress, Status, StoredImage
from onbrand.png import check
from onbrand.postgres import Connection, Database
from onbrand.worker.model_process import ModelProcess

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_HOLD_SECONDS = 0.25  # how often a running attempt is checked for a cancel between two steps
_RETRY_SECONDS = 0.5
_CLAIM_PATIENCE_SECONDS = 60.0


class NoLongerOurs(OnbrandError):
    """The job was cancelled, or another attempt has taken over."""


class Stopping(OnbrandError):
    """This worker must stop before the drawing is done."""


class Drawer:
    """Draws one job at a time with one model process."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        images: ImageStore,
        model: ModelProcess,
        pack: Pack,
        worker_id: str,
    ) -> None:
        self._settings = settings
        self._database = database
        self._images = images
        self._model = model
        self._pack = pack
        self._worker_id = worker_id
        self._must_stop = asyncio.Event()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # fails when no model can load

    def hand_back(self) -> None:
        """Give the running attempt back now instead of finishing it."""
        self._must_stop.set()

    async def draw(self, job_id: UUID) -> None:
        """Claim the job, have it drawn and publish the images; or end the attempt with its reason."""
        token = logs.job_id.set(str(job_id))
        try:
            try:
                await self._model.ensure_ready()
            except SetupError as error:
                # Nothing was claimed: the sweep delivers the job again, to a worker that can draw.
                if not self.broken.done():
                    self.broken.set_exception(error)
                return
            claim = await self._claim(job_id)
            if claim is None:
                logger.debug("Nothing to claim: done, cancelled or taken", extra={"action": "claim_job"})
                return
            logger.info("Drawing, attempt %d", claim.attempt, extra={"action": "claim_job", "attempt": claim.attempt})
            await self._attempt(claim)
        finally:
            logs.job_id.reset(token)

    async def _claim(self, job_id: UUID) -> Claim | None:
        settings = self._settings
        return await self._patiently(
            lambda connection: attempts.claim(
                connection,
                job_id,
                self._worker_id,
                pack=self._pack,
                lease_seconds=settings.lease_seconds,
                max_attempts=settings.max_attempts,
            ),
            _CLAIM_PATIENCE_SECONDS,
        )

    async def _attempt(self, claim: Claim) -> None:
        started = time.monotonic()
        try:
            pngs, prompt_truncated = await self._watched(claim)
            await self._publish(claim, pngs, prompt_truncated)
        except NoLongerOurs:
            logger.info("The job was cancelled or taken over", extra={"action": "worker_stale"})
            await self._discard(claim)
        except Stopping:
            await self._patiently(lambda connection: attempts.give_back(connection, claim), _CLAIM_PATIENCE_SECONDS)
            logger.info("Handed back, the worker stops", extra={"action": "give_back", "attempt": claim.attempt})
        except JobFailure as failure:
            await self._discard(claim)
            await self._end(claim, failure)
        except DatabaseUnavailable:
            logger.error("The database stayed away; the sweep will find the job", extra={"action": "database_lost"})
        except Exception as error:  # nobody foresaw it: it costs this attempt, and its traceback is in the log
            logger.exception("The attempt failed: %s", type(error).__name__, extra={"action": "fail_attempt"})
            await self._end(claim, ModelFailed())
        else:
            seconds = round(time.monotonic() - started, 2)
            logger.info("Four images in %.1f s", seconds, extra={"action": "publish_job", "seconds": seconds})

    async def _watched(self, claim: Claim) -> tuple[dict[int, bytes], bool]:
        """Draw, and stop the model within a step when the attempt is no longer ours or the worker must stop."""
        drawing = asyncio.create_task(self._drawn(claim))
        ending = asyncio.create_task(self._reason_to_end(claim))
        await asyncio.wait({drawing, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not drawing.done():
            await self._model.stop_drawing(claim)
            with suppress(OnbrandError):  # the reason to end counts, not how the drawing took it
                await drawing
            raise ending.result()
        ending.cancel()
        return drawing.result()

    async def _reason_to_end(self, claim: Claim) -> OnbrandError:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_HOLD_SECONDS):
                    await self._must_stop.wait()
                    return Stopping()
            with suppress(DatabaseUnavailable):
                async with self._database.transaction() as connection:
                    if not await attempts.holds(connection, claim):
                        return NoLongerOurs()

    async def _drawn(self, claim: Claim) -> tuple[dict[int, bytes], bool]:
        pngs: dict[int, bytes] = {}
        progress = Progress(Phase.ENCODING)
        async for frame in self._model.draw(claim, patience_seconds=self._settings.lease_seconds):
            fields = frame.fields
            match frame.kind:
                case "progress":
                    progress = Progress(Phase(fields["phase"]), fields["step"], fields["steps"])
                    await self._record(claim, progress)
                case "image":
                    pngs[fields["n"]] = frame.payload
                case "failed" if fields["code"] == Cancelled.code:  # we asked for it, in `_record`
                    raise NoLongerOurs
                case "failed":
                    reason = fields["reason"]
                    logger.warning("The model failed: %s", reason, extra={"action": "fail_attempt", "reason": reason})
                    raise job_failure(fields["code"])
                case "drawn":
                    await self._record(claim, replace(progress, phase=Phase.SAVING))
                    return pngs, fields["prompt_truncated"]
        raise ModelFailed

    async def _record(self, claim: Claim, progress: Progress) -> None:
        try:
            async with self._database.transaction() as connection:
                held = await attempts.record_progress(
                    connection, claim, progress, lease_seconds=self._settings.lease_seconds
                )
        except DatabaseUnavailable:
            # The drawing goes on: the lease outlives a short outage, and publishing decides in the end.
            logger.warning("The database does not answer; drawing on", extra={"action": "database_lost"})
            return
        if not held:
            await self._model.stop_drawing(claim)

    async def _publish(self, claim: Claim, pngs: dict[int, bytes], prompt_truncated: bool) -> None:
        if sorted(pngs) != list(range(1, IMAGES_PER_JOB + 1)):
            raise BadImage
        stored = [await self._store(claim, n, png) for n, png in sorted(pngs.items())]
        published = await self._patiently(
            lambda connection: attempts.publish(
                connection,
                claim,
                stored,
                prompt_truncated=prompt_truncated,
                retention_hours=self._settings.retention_hours,
            ),
            self._settings.lease_seconds,
        )
        if not published:
            raise NoLongerOurs

    async def _store(self, claim: Claim, n: int, png: bytes) -> StoredImage:
        await asyncio.to_thread(check, png)
        try:
            image = await self._images.put(claim.job_id, claim.attempt, n, png)
            await self._images.get(claim.job_id, claim.attempt, image)
        except OnbrandError as error:
            raise StorageUnavailable from error
        return image

    async def _end(self, claim: Claim, failure: JobFailure) -> None:
        settings = self._settings
        status = await self._patiently(
            lambda connection: attempts.end_attempt(
                connection,
                claim,
                type(failure),
                max_attempts=settings.max_attempts,
                retention_hours=settings.retention_hours,
            ),
            settings.lease_seconds,
        )
        outcome = {Status.QUEUED: "it is tried again", Status.FAILED: "the job failed", None: "the job had ended"}
        logger.warning(
            "Attempt %d failed (%s): %s",
            claim.attempt,
            failure.code,
            outcome[status],
            extra={"action": "fail_attempt", "attempt": claim.attempt, "code": failure.code},
        )

    async def _discard(self, claim: Claim) -> None:
        with suppress(StoreUnavailable):  # what stays is found by its attempt, which is not the result's
            await self._images.discard(claim.job_id, claim.attempt)

    async def _patiently(self, change: Callable[[Connection], Awaitable[Result]], patience_seconds: float) -> Result:
        """Repeat a change in its own transaction until the database takes it.

        Raises:
            DatabaseUnavailable: it did not within `patience_seconds`; the sweep will deal with the job.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                async with self._database.transaction() as connection:
                    return await change(connection)
            except DatabaseUnavailable:
                if time.monotonic() > deadline:
                    raise
                logger.warning("The database does not answer; trying again", extra={"action": "database_lost"})
                await asyncio.sleep(_RETRY_SECONDS)
