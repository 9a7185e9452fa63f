"""The queue: Procrastinate delivers `{job_id}` to one worker, and nothing else.

Procrastinate neither recovers nor retries here: attempts, leases and requeueing are ours (`store`), and a delivery
that arrives twice or late finds a job that cannot be claimed. The prompt never enters the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from uuid import UUID

import procrastinate
from procrastinate import exceptions
from procrastinate.jobs import Job
from procrastinate.jobs import Status as DeliveryStatus
from procrastinate.manager import JobManager, NotificationCallback
from psycopg_pool import AsyncConnectionPool

from onbrand.postgres import Connection

QUEUE = "generate"
TASK = "onbrand.generate"
POLL_SECONDS = 1.0  # deliveries come by NOTIFY; the poll is for those that come while nobody listens
_LISTEN_AGAIN_SECONDS = 1.0

QueueLost = exceptions.ConnectorException


class _Deliveries(JobManager):
    """Procrastinate's bookkeeping, made to outlive a database that is away while a delivery is being worked on.

    Its worker is meant to stop when its listener or its heartbeat fails, but version 3.10 waits for the first of its
    side tasks only, and that is the one for periodic tasks, which ends at once where there are none. From then on
    nobody would listen, for as long as the process runs.
    """

    async def listen_for_jobs(
        self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None
    ) -> None:
        while True:
            with suppress(QueueLost):
                await super().listen_for_jobs(on_notification=on_notification, queues=queues)
            await asyncio.sleep(_LISTEN_AGAIN_SECONDS)

    async def update_heartbeat(self, worker_id: int) -> None:
        with suppress(QueueLost):
            await super().update_heartbeat(worker_id)

    async def finish_job(self, job: Job, status: DeliveryStatus, delete_job: bool) -> None:
        # Nobody reads that row again; the exception would end in a task that nobody waits for.
        with suppress(QueueLost):
            await super().finish_job(job, status, delete_job)


# Never opened: it only words the INSERT that `deliver` runs on the caller's connection.
_deferrer = procrastinate.App(connector=procrastinate.PsycopgConnector())


async def deliver(connection: Connection, job_id: UUID) -> None:
    """Queue a delivery inside the caller's transaction: it exists if and only if that commits."""
    await _deferrer.configure_task(TASK, queue=QUEUE, connection=connection).defer_async(job_id=str(job_id))


async def consume(
    pool: AsyncConnectionPool[Connection],
    draw: Callable[[UUID], Awaitable[None]],
    *,
    worker_name: str,
) -> None:
    """Take deliveries one at a time and pass each to `draw`, until cancelled; a running `draw` is then waited for.

    Raises:
        QueueLost: the database went away; call again when it is back.
    """
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    app.job_manager = _Deliveries(app.connector)

    @app.task(name=TASK, queue=QUEUE)
    async def generate(job_id: str) -> None:
        await draw(UUID(job_id))

    async with app.open_async(pool):
        await app.run_worker_async(
            queues=[QUEUE],
            name=worker_name,
            concurrency=1,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
        )
