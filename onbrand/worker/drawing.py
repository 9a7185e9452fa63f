"""The drawing part of an attempt: the model process draws, its progress is recorded, a cancel or a stop is noticed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from onbrand.concurrency import end_tasks
from onbrand.database.pool import Database
from onbrand.errors import Cancelled, DatabaseUnavailable, ModelFailed, OnbrandError, job_failure
from onbrand.jobs import attempts
from onbrand.jobs.models import Claim, Phase, Progress
from onbrand.worker.interruptions import NoLongerOurs, Stopping
from onbrand.worker.model_process import ModelProcess
from onbrand.worker.reports import from_frame

logger = logging.getLogger(__name__)

_CHECK_SECONDS = 0.25  # how often a running attempt is checked for a cancel, also in the middle of a step


@dataclass(frozen=True)
class Drawn:
    """What the model process made of a claim: PNG files with their numbers, not yet checked."""

    pngs: list[tuple[int, bytes]]
    prompt_ignored: int  # code points at the prompt's end that the model could not read


class DrawingStage:
    """Has claims drawn by one model process. When `must_stop` is set, a running drawing is given up."""

    def __init__(
        self, database: Database, model: ModelProcess, must_stop: asyncio.Event, *, lease_seconds: float
    ) -> None:
        self._database = database
        self._model = model
        self._must_stop = must_stop
        self._lease_seconds = lease_seconds

    async def draw(self, claim: Claim) -> Drawn:
        """The images of a claim.

        Raises:
            Stopping: the worker must stop.
            NoLongerOurs: the job was cancelled, or another attempt has taken over.
            JobFailure: the model failed, or its process died or made no progress.
        """
        drawing = asyncio.create_task(self._draw(claim))
        watching = asyncio.create_task(self._watch(claim))
        try:
            await asyncio.wait({drawing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if drawing.done():
                return drawing.result()
            watching.result()  # raises what went wrong while watching
            raise Stopping
        finally:
            await end_tasks(drawing, watching)

    async def _watch(self, claim: Claim) -> None:
        """Return when the worker must stop. Tell the model to stop when the attempt is no longer ours."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._must_stop.wait()
                    return
            with suppress(DatabaseUnavailable):
                async with self._database.transaction() as connection:
                    is_ours = await attempts.is_current(connection, claim)
                await self._go_on_only_if(is_ours, claim)

    async def _draw(self, claim: Claim) -> Drawn:
        pngs: list[tuple[int, bytes]] = []
        progress = Progress(Phase.ENCODING)
        async with aclosing(self._model.draw(claim, patience_seconds=self._lease_seconds)) as frames:
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
                        return Drawn(pngs, fields["prompt_ignored"])
        raise ModelFailed

    async def _failure(self, code: str, reason: str) -> OnbrandError:
        if code == Cancelled.code:
            return NoLongerOurs()  # the model stopped because `stop_drawing` asked for it
        logger.warning("The model failed: %s", reason, extra={"action": "fail_attempt", "reason": reason})
        failure = job_failure(code)
        if failure is ModelFailed:
            await self._model.stop()  # after an illegal memory access a GPU fails every operation of this process
        return failure()

    async def _record(self, claim: Claim, progress: Progress) -> None:
        try:
            async with self._database.transaction() as connection:
                is_ours = await attempts.record_progress(connection, claim, progress, lease_seconds=self._lease_seconds)
        except DatabaseUnavailable:
            # The drawing goes on: a short outage is shorter than the lease, and `publish` checks the attempt anyway.
            logger.warning("The database does not answer; the drawing goes on", extra={"action": "database_lost"})
            return
        await self._go_on_only_if(is_ours, claim)

    async def _go_on_only_if(self, is_ours: bool, claim: Claim) -> None:
        if not is_ours:
            await self._model.stop_drawing(claim)
