"""One delivery, from the claim to the result: what the worker does when it is told that there is work.

Every write names the attempt. A worker that was too slow, whose job was cancelled, or that was frozen finds no row to
change. It then stops the model, deletes the images it stored, and takes the next delivery.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from onbrand import logs
from onbrand.concurrency import unless_set
from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.errors import (
    DatabaseUnavailable,
    ImagesNotStored,
    JobFailure,
    ModelFailed,
    OnbrandError,
    SetupError,
)
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts
from onbrand.jobs.attempts import Rules
from onbrand.jobs.fairness import next_job
from onbrand.jobs.models import Claim, Status
from onbrand.worker.drawing import DrawingStage
from onbrand.worker.interruptions import NoLongerOurs, Stopping
from onbrand.worker.model_process import ModelProcess
from onbrand.worker.publishing import PublishingStage
from onbrand.worker.retries import commit_with_retries
from onbrand.worker.switching import PackInUse

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_STORE_CHECK_SECONDS = 5.0


class PackMoved(OnbrandError):
    """Another brand pack is live than the one that is loaded."""


class JobRunner:
    """Runs one job at a time with one model process, whose brand pack is `in_use`.

    Once `stop` is set, it loads no model. `broken` gets the SetupError when no model can be loaded; then the worker
    must end.
    """

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
        self._lease_seconds = settings.lease_seconds
        self._rules = Rules.of(settings)
        self._database = database
        self._images = images
        self._in_use = in_use
        self._worker_id = worker_id
        self._stop = stop
        self._must_stop = asyncio.Event()
        self._store_failed = False
        self._drawing = DrawingStage(database, model, self._must_stop, lease_seconds=settings.lease_seconds)
        self._publishing = PublishingStage(
            database,
            images,
            self._must_stop,
            lease_seconds=settings.lease_seconds,
            retention_hours=settings.retention_hours,
        )
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def hand_back(self) -> None:
        """Give the running attempt back now instead of finishing it."""
        self._must_stop.set()

    async def run_next_job(self) -> None:
        """Claim the next job (`jobs.fairness`), have it drawn and publish the images, or end the attempt with a reason.

        Raises nothing: what goes wrong is logged, and the sweep finds the job.
        """
        if not await unless_set(self._stop, self._in_use.turn.acquire()):
            return  # the worker stops; the sweep makes another delivery for the job
        token = logs.job_id.set(None)
        try:
            if await self._has_store() and await self._has_model() and (claim := await self._claim()) is not None:
                logs.job_id.set(str(claim.job_id))
                logger.info(
                    "Drawing, attempt %d", claim.attempt, extra={"action": "claim_job", "attempt": claim.attempt}
                )
                await self._run_attempt(claim)
                logs.job_id.set(None)  # the lines below are about no job
                # Load a lost model now, not with the next delivery: another worker could serve that one meanwhile.
                await self._has_model()
        except DatabaseUnavailable:
            logger.error(
                "The database did not answer for too long; the sweep will find the job",
                extra={"action": "database_lost"},
            )
        except Exception as error:  # Procrastinate would swallow it
            logger.exception("The delivery failed: %s", type(error).__name__, extra={"action": "fail_attempt"})
        finally:
            logs.job_id.reset(token)
            self._in_use.turn.release()

    async def _has_model(self) -> bool:
        """Load the model if its process is gone or another pack is live. False: the worker stops, or loading failed."""
        try:
            return await unless_set(self._stop, self._in_use.ensure_ready())
        except SetupError as error:
            if not self.broken.done():
                self.broken.set_exception(error)
            return False

    async def _has_store(self) -> bool:
        """If the store refused the last images, wait until it answers: the next images could not be stored either.

        False: the worker stops. The delivery is dropped; the sweep makes another one for other workers.
        """
        while self._store_failed and not self._stop.is_set():
            try:
                await self._images.check()
                self._store_failed = False
            except SetupError:
                await unless_set(self._stop, asyncio.sleep(_STORE_CHECK_SECONDS))
        return not self._store_failed

    async def _claim(self) -> Claim | None:
        """The next attempt at the next job; None if no job is queued, or no model can be loaded."""

        async def take(connection: Connection) -> Claim | None:
            await attempts.drop_lost_claims(connection, self._worker_id, self._rules)
            job_id = await next_job(connection)
            if job_id is None:
                return None
            if await self._in_use.must_change(connection):
                raise PackMoved
            return await attempts.claim(
                connection,
                job_id,
                self._worker_id,
                pack=self._in_use.pack.pack,
                lease_seconds=self._lease_seconds,
            )

        while True:
            try:
                return await self._commit(take)
            except PackMoved:  # a pack was promoted since `_has_model`; load it, then claim with the same delivery
                if not await self._has_model():
                    return None

    async def _run_attempt(self, claim: Claim) -> None:
        started = time.monotonic()
        try:
            await self._publishing.publish(claim, await self._drawing.draw(claim))
        except NoLongerOurs:
            logger.info("The job was cancelled or taken over", extra={"action": "worker_stale"})
            await self._publishing.discard(claim)
        except Stopping:
            await self._commit(lambda connection: attempts.give_back(connection, claim))
            logger.info("Handed back, the worker stops", extra={"action": "give_back", "attempt": claim.attempt})
        except JobFailure as failure:
            self._store_failed = isinstance(failure, ImagesNotStored)
            try:
                await self._end(claim, failure)
            finally:
                await self._publishing.discard(claim)
        except DatabaseUnavailable:
            raise  # the images may have been published, so they are kept
        except Exception as error:  # an unforeseen error costs this attempt; its traceback is in the log
            logger.exception("The attempt failed: %s", type(error).__name__, extra={"action": "fail_attempt"})
            if await self._end(claim, ModelFailed()):  # so the images were not published
                await self._publishing.discard(claim)
        else:
            seconds = round(time.monotonic() - started, 2)
            logger.info("Four images in %.1f s", seconds, extra={"action": "publish_job", "seconds": seconds})

    async def _end(self, claim: Claim, failure: JobFailure) -> bool:
        """End the attempt without a result. False: the attempt had already ended."""
        ended = await self._commit(
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

    async def _commit(self, change: Callable[[Connection], Awaitable[Result]]) -> Result:
        return await commit_with_retries(self._database, change, must_stop=self._must_stop)
