"""The worker process: it loads the model and takes deliveries. When told to stop, it finishes or hands back its job."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import sys
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from onbrand import logs
from onbrand.budget import ledger
from onbrand.budget.plan import Plan
from onbrand.concurrency import unless_set
from onbrand.config import Settings
from onbrand.database import migrations
from onbrand.database.address import Address
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable
from onbrand.images.store import ImageStore
from onbrand.jobs import queue, workers
from onbrand.jobs.fairness import next_prompt
from onbrand.maintenance import Maintenance
from onbrand.packs.base import configured_base
from onbrand.packs.store import PackStore
from onbrand.worker import MAX_CONNECTIONS
from onbrand.worker.job_runner import JobRunner
from onbrand.worker.model_process import ModelProcess, model_command
from onbrand.worker.switching import PackInUse

logger = logging.getLogger(__name__)

_RECONNECT_SECONDS = 1.0
_ENDING_SECONDS = 10.0  # at the end, tasks that wait for a database that does not answer get this long


async def run_worker(
    settings: Settings,
    address: Address,
    stop: asyncio.Event,
    stop_now: asyncio.Event,
    *,
    waits_for_pack: bool = False,
) -> None:
    """Work until `stop` is set. Then a running job has `shutdown_grace_seconds`, or until `stop_now`, to finish.

    With `waits_for_pack` a worker for which no brand pack is live waits for one. Otherwise it ends, because a machine
    with a GPU costs money while it waits.

    Raises:
        WeightsMissing, WeightsUnusable, PackNotFound, PackUnfit: base and brand pack cannot be loaded.
        DatabaseNotReady: the database's schema is older than this version.
        ObjectStoreRefused: the image store does not accept the settings.
        ModelRefused: the model process cannot load the model.
        ModelProcessDied: the model process died several times while it loaded the model.
    """
    worker_id = workers.id_of(socket.gethostname(), os.getpid()) + secrets.token_hex(3)
    logs.worker_id.set(worker_id)
    try:
        await _run_worker(settings, address, worker_id, stop, stop_now, waits_for_pack)
    except Exception:
        await _count_failure(settings, address, worker_id)
        raise


async def _count_failure(settings: Settings, address: Address, worker_id: str) -> None:
    """Count a start that failed: a platform that starts workers by demand bills each of them (`budget.ledger`)."""
    if (plan := Plan.of(settings)) is None:
        return
    database = Database(address, application_name="onbrand worker", max_connections=1)
    await database.open()
    try:
        with suppress(DatabaseUnavailable):
            async with database.transaction() as connection:
                await ledger.saw(connection, worker_id, is_ready=False, plan=plan)
                await ledger.ended(connection, worker_id, is_failure=True)
    finally:
        await database.close()


async def _run_worker(
    settings: Settings,
    address: Address,
    worker_id: str,
    stop: asyncio.Event,
    stop_now: asyncio.Event,
    waits_for_pack: bool,
) -> None:
    base = configured_base(settings)
    database = Database(address, application_name="onbrand worker", max_connections=MAX_CONNECTIONS)
    images = ImageStore.open(settings)
    await images.prepare()
    model = ModelProcess(next_prompt=partial(_next_prompt, database))
    in_use = PackInUse(settings.pack, database, PackStore.open(settings), base, model, model_command)
    runner = JobRunner(settings, database, images, model, in_use, worker_id, stop)
    await database.open()
    try:
        has_schema = await unless_set(stop, _wait_for_schema(database))
        if has_schema and await unless_set(stop, in_use.open(waits_for_first=waits_for_pack)):
            with suppress(DatabaseUnavailable):  # the API processes sweep every five seconds anyway
                await Maintenance(settings, database, images).sweep()
            consuming = asyncio.create_task(_consume(database, runner, in_use, worker_id, stop))
            announcing = asyncio.create_task(_announce(database, worker_id, model, in_use, Plan.of(settings)))
            watching = asyncio.create_task(in_use.watch())
            try:
                await _work(settings, runner, consuming, {announcing, watching}, stop, stop_now)
            finally:
                with suppress(DatabaseUnavailable):
                    async with database.transaction() as connection:
                        await workers.withdraw(connection, worker_id)
                        # At once as a failure: else the budget would begin another start before it is counted.
                        is_failure = isinstance(sys.exception(), Exception)
                        await ledger.ended(connection, worker_id, is_failure=is_failure)
    finally:
        await model.stop()
        await database.close()


async def _work(
    settings: Settings,
    runner: JobRunner,
    consuming: asyncio.Task[None],
    others: set[asyncio.Task[None]],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
) -> None:
    stopping = asyncio.create_task(stop.wait())
    endings: set[asyncio.Future[Any]] = {consuming, *others, runner.broken, stopping}
    try:
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        for ended in endings - {stopping}:
            if ended.done():
                ended.result()  # raises: these tasks end only with an exception
        logger.info("Stopping after the running job", extra={"action": "stop"})
        await _drain(consuming, runner, settings.shutdown_grace_seconds, stop_now)
    finally:
        stop.set()
        for ending in endings:
            ending.cancel()
        # With a time limit: a cancelled task waits for a server that accepts connections but does not answer.
        done, _ = await asyncio.wait(endings, timeout=_ENDING_SECONDS)
        for ending in done:
            if not ending.cancelled():
                ending.exception()  # so that asyncio does not report it; it was raised above, or no longer matters


async def _drain(
    consuming: asyncio.Task[None], runner: JobRunner, grace_seconds: float, stop_now: asyncio.Event
) -> None:
    consuming.cancel()  # takes no further delivery, and waits for the running one
    hurrying = asyncio.create_task(stop_now.wait())
    await asyncio.wait({consuming, hurrying}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not consuming.done():
        runner.hand_back()
        await asyncio.wait({consuming}, timeout=_ENDING_SECONDS)


async def _next_prompt(database: Database) -> str | None:
    try:
        async with database.transaction() as connection:
            return await next_prompt(connection)
    except DatabaseUnavailable:
        return None  # the prompt is encoded later, when it is drawn


async def _wait_for_schema(database: Database) -> None:
    """Return once the database answers and has a schema that this version can work with.

    Raises:
        DatabaseNotReady: the schema is older.
    """
    is_reported = False
    while True:
        try:
            async with database.transaction() as connection:
                await migrations.require_current(connection)
            return
        except DatabaseUnavailable:
            if not is_reported:
                logger.warning("The database does not answer; waiting for it", extra={"action": "database_lost"})
            is_reported = True
            await asyncio.sleep(_RECONNECT_SECONDS)


async def _consume(
    database: Database, runner: JobRunner, in_use: PackInUse, worker_id: str, stop: asyncio.Event
) -> None:
    async with in_use.turn:
        await in_use.ensure_ready()  # first: while this worker loads a model, other workers can take the deliveries
    is_reported = False
    while not stop.is_set():  # `while True` would not do: QueueLost may replace the exception of a cancellation
        try:
            await queue.consume(database.pool, runner.run_next_job, worker_name=worker_id)
        except queue.QueueLost:
            if not is_reported:
                logger.warning(
                    "The database does not answer; work goes on when it does", extra={"action": "database_lost"}
                )
            is_reported = True
        else:
            is_reported = False
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECONNECT_SECONDS):
                await stop.wait()


async def _announce(
    database: Database, worker_id: str, model: ModelProcess, in_use: PackInUse, plan: Plan | None
) -> None:
    while True:
        model.changed.clear()
        state: Literal["loading", "ready"] = "ready" if model.is_ready else "loading"
        pack = in_use.shown
        with suppress(DatabaseUnavailable):  # this is only shown, and the next round tries again
            async with database.transaction() as connection:
                await workers.announce(connection, worker_id, state, pack.pack, pack.manifest.examples, in_use.refused)
                if plan is not None:
                    await ledger.saw(connection, worker_id, is_ready=state == "ready", plan=plan)
        with suppress(TimeoutError):
            async with asyncio.timeout(workers.SEEN_EVERY_SECONDS):
                await model.changed.wait()
