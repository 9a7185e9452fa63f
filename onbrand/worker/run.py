"""The worker process: loads the model, takes deliveries until told to stop, then finishes or hands back its job."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from onbrand import logs
from onbrand.config import Settings
from onbrand.database import migrations
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, queue, workers
from onbrand.maintenance import Maintenance
from onbrand.packs.base import configured_base
from onbrand.packs.store import PackStore
from onbrand.worker.job_runner import JobRunner, unless_set
from onbrand.worker.model_process import ModelProcess, model_command
from onbrand.worker.switching import PackInUse

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 4
_RECONNECT_SECONDS = 1.0
_ENDING_SECONDS = 10.0  # for what waits for a database that does not answer, once the worker must be gone


async def run_worker(settings: Settings, database_url: str, stop: asyncio.Event, stop_now: asyncio.Event) -> None:
    """Work until `stop` is set; a running job then has `shutdown_grace_seconds`, or until `stop_now`, to finish.

    Raises:
        WeightsMissing, WeightsUnusable, PackNotFound, PackUnfit: base and brand pack cannot be loaded.
        DatabaseNotReady: the database's schema is older than this version.
        ObjectStoreRefused: the image store does not accept the settings.
        ModelRefused: the model process cannot load the model.
        ModelProcessDied: the model process died several times while it loaded the model.
    """
    base = configured_base(settings)
    worker_id = workers.id_of(socket.gethostname(), os.getpid()) + secrets.token_hex(3)
    logs.worker_id.set(worker_id)
    database = Database(database_url, application_name="onbrand worker", max_connections=MAX_CONNECTIONS)
    images = ImageStore.open(settings)
    await images.prepare()
    model = ModelProcess(next_prompt=partial(_next_prompt, database))
    in_use = PackInUse(settings.pack, database, PackStore.open(settings), base, model, model_command)
    drawer = JobRunner(settings, database, images, model, in_use, worker_id, stop)
    await database.open()
    try:
        if await unless_set(stop, _wait_for_schema(database)) and await unless_set(stop, in_use.open()):
            with suppress(DatabaseUnavailable):  # the API's rounds go on
                await Maintenance(settings, database, images).sweep()
            consuming = asyncio.create_task(_consume(database, drawer, in_use, worker_id, stop))
            announcing = asyncio.create_task(_announce(database, worker_id, model, in_use))
            watching = asyncio.create_task(in_use.watch())
            try:
                await _work(settings, drawer, consuming, {announcing, watching}, stop, stop_now)
            finally:
                with suppress(DatabaseUnavailable):
                    async with database.transaction() as connection:
                        await workers.withdraw(connection, worker_id)
    finally:
        await model.stop()
        await database.close()


async def _work(
    settings: Settings,
    drawer: JobRunner,
    consuming: asyncio.Task[None],
    aside: set[asyncio.Task[None]],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
) -> None:
    stopping = asyncio.create_task(stop.wait())
    endings: set[asyncio.Future[Any]] = {consuming, *aside, drawer.broken, stopping}
    try:
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        for ended in endings - {stopping}:
            if ended.done():
                ended.result()  # raises: none of them ends otherwise
        logger.info("Stopping after the running job", extra={"action": "stop"})
        await _drain(consuming, drawer, settings.shutdown_grace_seconds, stop_now)
    finally:
        stop.set()
        for ending in endings:
            ending.cancel()
        # Not for ever: against a server that is there but does not answer, a cancellation waits too.
        done, _ = await asyncio.wait(endings, timeout=_ENDING_SECONDS)
        for ending in done:
            if not ending.cancelled():
                ending.exception()  # it has been raised above, or came too late to matter


async def _drain(
    consuming: asyncio.Task[None], drawer: JobRunner, grace_seconds: float, stop_now: asyncio.Event
) -> None:
    consuming.cancel()  # takes no further delivery, and waits for the running one
    hurrying = asyncio.create_task(stop_now.wait())
    await asyncio.wait({consuming, hurrying}, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
    hurrying.cancel()
    if not consuming.done():
        drawer.hand_back()
        await asyncio.wait({consuming}, timeout=_ENDING_SECONDS)


async def _next_prompt(database: Database) -> str | None:
    try:
        async with database.transaction() as connection:
            return await attempts.next_prompt(connection)
    except DatabaseUnavailable:
        return None  # it is read when it is drawn


async def _wait_for_schema(database: Database) -> None:
    """Return once the database answers, with a schema that this version can work with.

    Raises:
        DatabaseNotReady: it has an older one.
    """
    lost = False
    while True:
        try:
            async with database.transaction() as connection:
                await migrations.require_current(connection)
            return
        except DatabaseUnavailable:
            if not lost:
                logger.warning("The database is away; waiting for it", extra={"action": "database_lost"})
            lost = True
            await asyncio.sleep(_RECONNECT_SECONDS)


async def _consume(
    database: Database, drawer: JobRunner, in_use: PackInUse, worker_id: str, stop: asyncio.Event
) -> None:
    async with in_use.turn:
        await in_use.ensure_ready()  # first: a delivery that waits for a model to load is kept from other workers
    lost = False
    while not stop.is_set():  # not just until cancelled: a database that is lost meanwhile hides the cancellation
        try:
            await queue.consume(database.pool, drawer.draw, worker_name=worker_id)
        except queue.QueueLost:
            if not lost:
                logger.warning("The database is away; work goes on when it is back", extra={"action": "database_lost"})
            lost = True
        else:
            lost = False
        with suppress(TimeoutError):
            async with asyncio.timeout(_RECONNECT_SECONDS):
                await stop.wait()


async def _announce(database: Database, worker_id: str, model: ModelProcess, in_use: PackInUse) -> None:
    while True:
        model.changed.clear()
        state: Literal["loading", "ready"] = "ready" if model.is_ready else "loading"
        pack = in_use.pack
        with suppress(DatabaseUnavailable):  # only for showing; the next round tries again
            async with database.transaction() as connection:
                await workers.announce(connection, worker_id, state, pack.pack, pack.manifest.examples)
        with suppress(TimeoutError):
            async with asyncio.timeout(workers.SEEN_EVERY_SECONDS):
                await model.changed.wait()
