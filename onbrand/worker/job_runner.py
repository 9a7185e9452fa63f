"""One delivery, from claim to result: what the worker does when it is told that there is work.

Every write names the attempt. A worker that was too slow, was cancelled or came back from the dead finds no row to
change, stops the model, deletes what it stored, and takes the next delivery.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, TypeVar

from onbrand import logs
from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.errors import (
    BadImage,
    Cancelled,
    DatabaseUnavailable,
    ImagesNotStored,
    ImageStoreUnavailable,
    JobFailure,
    ModelFailed,
    OnbrandError,
    SetupError,
    job_failure,
)
from onbrand.images.png import check
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts
from onbrand.jobs.attempts import Rules
from onbrand.jobs.models import IMAGES_PER_JOB, Claim, Phase, Progress, Status, StoredImage
from onbrand.worker.model_process import ModelProcess
from onbrand.worker.reports import from_frame
from onbrand.worker.switching import PackInUse

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_HOLD_SECONDS = 0.25  # how often a running attempt is checked for a cancel between two steps
_RETRY_SECONDS = 0.5
_PATIENCE_SECONDS = 300.0  # with a database that is away: four finished pictures are worth waiting for
_STORE_PATIENCE_SECONDS = 30.0  # with an image store that is away, for the same reason; longer, and a GPU stands idle
_STORE_CHECK_SECONDS = 5.0
_STOPPING_PATIENCE_SECONDS = 5.0  # the same, for a worker that should be gone by now


class NoLongerOurs(OnbrandError):
    """The job was cancelled, or another attempt has taken over."""


class Stopping(OnbrandError):
    """This worker must stop before the drawing is done."""


class PackMoved(OnbrandError):
    """Another brand pack is live than the one that is loaded."""


class JobRunner:
    """Draws one job at a time with one model process, whose pack is `in_use`. After `stop` it loads no model."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        images: ImageStore,
        model: ModelProcess,
        in_use: PackInUse,
        worker_id: str,
        stop: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._rules = Rules.of(settings)
        self._database = database
        self._images = images
        self._model = model
        self._in_use = in_use
        self._worker_id = worker_id
        self._stop = stop
        self._must_stop = asyncio.Event()
        self._store_failed = False
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # fails when no model can load

    def hand_back(self) -> None:
        """Give the running attempt back now instead of finishing it."""
        self._must_stop.set()

    async def draw(self) -> None:
        """Claim the job whose turn it is, have it drawn and publish the images; or end the attempt with its reason."""
        if not await unless_set(self._stop, self._in_use.turn.acquire()):
            return  # the worker stops; the sweep makes another delivery for the job
        token = logs.job_id.set(None)
        try:
            if await self._has_store() and await self._has_model() and (claim := await self._claim()) is not None:
                logs.job_id.set(str(claim.job_id))
                logger.info(
                    "Drawing, attempt %d", claim.attempt, extra={"action": "claim_job", "attempt": claim.attempt}
                )
                await self._attempt(claim)
                await self._has_model()  # not with the next delivery in hand: another worker could draw that one now
        except DatabaseUnavailable:
            logger.error("The database stayed away; the sweep will find the job", extra={"action": "database_lost"})
        except Exception as error:  # the queue's engine would swallow it; the sweep delivers the job again
            logger.exception("The delivery failed: %s", type(error).__name__, extra={"action": "fail_attempt"})
        finally:
            logs.job_id.reset(token)
            self._in_use.turn.release()

    async def _has_model(self) -> bool:
        """Load the model if its process is gone, or another pack is live. False: not any more, or in vain."""
        try:
            return await unless_set(self._stop, self._in_use.ensure_ready())
        except SetupError as error:
            if not self.broken.done():
                self.broken.set_exception(error)
            return False

    async def _has_store(self) -> bool:
        """Wait for a store that refused the last images: what is claimed meanwhile would be drawn in vain.

        False: the worker stops. The delivery in hand is not missed; the sweep makes another for other workers.
        """
        while self._store_failed and not self._stop.is_set():
            try:
                await self._images.check()
                self._store_failed = False
            except SetupError:
                await unless_set(self._stop, asyncio.sleep(_STORE_CHECK_SECONDS))
        return not self._store_failed

    async def _claim(self) -> Claim | None:
        """The next attempt at the job whose turn it is; the delivery said only that there is one."""

        async def take(connection: Connection) -> Claim | None:
            await attempts.drop_lost_claims(connection, self._worker_id, self._rules)
            job_id = await attempts.next_job(connection)
            if job_id is None:
                return None
            if await self._in_use.must_change(connection):
                raise PackMoved
            return await attempts.claim(
                connection,
                job_id,
                self._worker_id,
                pack=self._in_use.pack.pack,
                lease_seconds=self._settings.lease_seconds,
            )

        while True:
            try:
                return await self._patiently(take)
            except PackMoved:  # since it was last looked at; the delivery in hand serves afterwards
                if not await self._has_model():
                    return None

    async def _attempt(self, claim: Claim) -> None:
        started = time.monotonic()
        try:
            pngs, prompt_ignored = await self._watched(claim)
            await self._publish(claim, pngs, prompt_ignored)
        except NoLongerOurs:
            logger.info("The job was cancelled or taken over", extra={"action": "worker_stale"})
            await self._discard(claim)
        except Stopping:
            await self._patiently(lambda connection: attempts.give_back(connection, claim))
            logger.info("Handed back, the worker stops", extra={"action": "give_back", "attempt": claim.attempt})
        except JobFailure as failure:
            self._store_failed = isinstance(failure, ImagesNotStored)
            try:
                await self._end(claim, failure)
            finally:
                await self._discard(claim)
        except DatabaseUnavailable:
            raise  # whether it published is unknown, so what was stored stays
        except Exception as error:  # nobody foresaw it: it costs this attempt, and its traceback is in the log
            logger.exception("The attempt failed: %s", type(error).__name__, extra={"action": "fail_attempt"})
            if await self._end(claim, ModelFailed()):  # so it was not published
                await self._discard(claim)
        else:
            seconds = round(time.monotonic() - started, 2)
            logger.info("Four images in %.1f s", seconds, extra={"action": "publish_job", "seconds": seconds})

    async def _watched(self, claim: Claim) -> tuple[list[tuple[int, bytes]], int]:
        """Draw; give up at once when the worker must stop."""
        drawing = asyncio.create_task(self._drawn(claim))
        watching = asyncio.create_task(self._watch(claim))
        try:
            await asyncio.wait({drawing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if drawing.done():
                return drawing.result()
            watching.result()  # raises what the watch stumbled over
            raise Stopping
        finally:
            await _end_tasks(drawing, watching)

    async def _watch(self, claim: Claim) -> None:
        """Return when the worker must stop; tell the model to stop when the attempt is no longer ours."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_HOLD_SECONDS):
                    await self._must_stop.wait()
                    return
            with suppress(DatabaseUnavailable):
                async with self._database.transaction() as connection:
                    held = await attempts.holds(connection, claim)
                if not held:
                    await self._model.stop_drawing(claim)

    async def _drawn(self, claim: Claim) -> tuple[list[tuple[int, bytes]], int]:
        pngs: list[tuple[int, bytes]] = []  # with the number of each image
        progress = Progress(Phase.ENCODING)
        async with aclosing(self._model.draw(claim, patience_seconds=self._settings.lease_seconds)) as frames:
            async for frame in frames:
                fields = frame.fields
                match frame.kind:
                    case "progress":
                        progress = from_frame(frame)
                        await self._record(claim, progress)
                    case "image":
                        pngs.append((fields["n"], frame.payload))
                    case "failed":
                        raise await self._failure(fields["code"], fields["reason"])
                    case "drawn":
                        await self._record(claim, replace(progress, phase=Phase.SAVING, previews=()))
                        return pngs, fields["prompt_ignored"]
        raise ModelFailed

    async def _failure(self, code: str, reason: str) -> OnbrandError:
        if code == Cancelled.code:
            return NoLongerOurs()  # we asked for it
        logger.warning("The model failed: %s", reason, extra={"action": "fail_attempt", "reason": reason})
        failure = job_failure(code)
        if failure is ModelFailed:
            await self._model.stop()  # after an illegal access a GPU fails everything this process asks of it
        return failure()

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

    async def _publish(self, claim: Claim, pngs: list[tuple[int, bytes]], prompt_ignored: int) -> None:
        if len(pngs) != IMAGES_PER_JOB or {n for n, _ in pngs} != set(range(1, IMAGES_PER_JOB + 1)):
            raise BadImage
        # All are waited for, also after one has failed: what is still being written could not be discarded.
        outcomes = await asyncio.gather(*(self._store(claim, n, png) for n, png in pngs), return_exceptions=True)
        stored = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            stored.append(outcome)
        published = await self._patiently(
            lambda connection: attempts.publish(
                connection,
                claim,
                stored,
                prompt_ignored=prompt_ignored,
                retention_hours=self._settings.retention_hours,
            )
        )
        if not published:
            raise NoLongerOurs

    async def _store(self, claim: Claim, n: int, png: bytes) -> StoredImage:
        await asyncio.to_thread(check, png)
        started = time.monotonic()
        while True:
            try:
                image = await self._images.put(claim.job_id, claim.attempt, n, png)
                await self._images.get(claim.job_id, claim.attempt, image)
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
        with suppress(DatabaseUnavailable):  # publishing decides in the end
            async with self._database.transaction() as connection:
                held = await attempts.renew(connection, claim, lease_seconds=self._settings.lease_seconds)
            if not held:
                raise NoLongerOurs

    async def _end(self, claim: Claim, failure: JobFailure) -> bool:
        """End the attempt without a result. False: it had ended already."""
        ended = await self._patiently(
            lambda connection: attempts.end_attempt(connection, claim, type(failure), self._rules)
        )
        outcome = {Status.QUEUED: "it is tried again", Status.FAILED: "the job failed", None: "the job had ended"}
        logger.warning(
            "Attempt %d failed (%s): %s",
            claim.attempt,
            failure.code,
            outcome[ended],
            extra={"action": "fail_attempt", "attempt": claim.attempt, "code": failure.code},
        )
        return ended is not None

    async def _discard(self, claim: Claim) -> None:
        with suppress(ImageStoreUnavailable):  # what stays is found by its attempt, which is not the result's
            await self._images.discard(claim.job_id, claim.attempt)

    async def _patiently(self, change: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Repeat a change in its own transaction until the database takes it.

        Raises:
            DatabaseUnavailable: it did not for minutes, or the worker must stop; the sweep will deal with the job.
        """
        started, lost = time.monotonic(), False
        while True:
            try:
                async with self._database.transaction() as connection:
                    return await change(connection)
            except DatabaseUnavailable:
                patience = _STOPPING_PATIENCE_SECONDS if self._must_stop.is_set() else _PATIENCE_SECONDS
                if time.monotonic() - started > patience:
                    raise
                if not lost:
                    logger.warning("The database is away; trying on", extra={"action": "database_lost"})
                lost = True
                await asyncio.sleep(_RETRY_SECONDS)


async def unless_set(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do the work to its end, unless the event is set before. Whether it was done."""
    doing, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end_tasks(doing, waiting)
    if doing.cancelled():
        return False
    doing.result()
    return True


async def _end_tasks(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
