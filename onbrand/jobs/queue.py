"""The queue: Procrastinate delivers `{job_id}` to one worker, and nothing else.

Procrastinate neither recovers nor retries here: attempts, leases and requeueing are ours (`attempts`). A delivery says
that there is work; which job is drawn is decided by whose turn it is, so one too many finds nothing to do, and one too
few is made again by the sweep. The prompt never enters the queue.
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

from onbrand.database.pool import Connection

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


async def deliveries_waiting(connection: Connection) -> int:
    """How many deliveries no worker has taken yet."""
    cursor = await connection.execute(
        "select count(*) as waiting from procrastinate_jobs where queue_name = %s and status = 'todo'", [QUEUE]
    )
    row = await cursor.fetchone()
    return row["waiting"] if row else 0


async def delete_abandoned(connection: Connection) -> int:
    """Delete deliveries that a dead worker had taken: nothing reads them again. How many there were.

    Procrastinate unties them from a worker whose heartbeat stops (`worker_id` becomes null) once another worker runs.
    A worker that is stopping has no heartbeat either, so one that nobody has buried yet is given a day.
    """
    cursor = await connection.execute(
        "delete from procrastinate_jobs delivery where queue_name = %s and status = 'doing' and not exists ("
        " select from procrastinate_workers worker where worker.id = delivery.worker_id"
        " and worker.last_heartbeat > now() - interval '1 day')",
        [QUEUE],
    )
    return cursor.rowcount


async def delete_surplus(connection: Connection) -> None:
    """Delete the newest deliveries that are more than the jobs that wait; cancelled ones would pile up otherwise."""
    await connection.execute(
        "delete from procrastinate_jobs where status = 'todo' and id in ("
        " select id from procrastinate_jobs where queue_name = %s and status = 'todo'"
        " order by id desc limit greatest(0, (select count(*) from procrastinate_jobs"
        "  where queue_name = %s and status = 'todo') - (select count(*) from job where status = 'queued')))",
        [QUEUE, QUEUE],
    )


async def consume(
    pool: AsyncConnectionPool[Connection],
    draw: Callable[[], Awaitable[None]],
    *,
    worker_name: str,
) -> None:
    """Take deliveries one at a time and `draw` for each, until cancelled; a running `draw` is then waited for.

    Raises:
        QueueLost: the database went away; call again when it is back.
    """
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    app.job_manager = _Deliveries(app.connector)

    @app.task(name=TASK, queue=QUEUE)
    async def generate(job_id: str) -> None:  # noqa: ARG001  (it says who asked, not whose turn it is)
        await draw()

    async with app.open_async(pool):
        await app.run_worker_async(
            queues=[QUEUE],
            name=worker_name,
            concurrency=1,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
        )
