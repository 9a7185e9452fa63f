"""The queue: Procrastinate delivers `{job_id}` to one worker, and nothing else.

Procrastinate neither recovers nor retries here: attempts, leases and queueing again are ours (`attempts`, `sweep`). A
delivery says that there is work, and `fairness` decides which job is drawn. So a surplus delivery finds nothing to do,
and the sweep replaces a missing one. The prompt never enters the queue.
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
POLL_SECONDS = 1.0  # deliveries come by NOTIFY; the poll finds those that came while nobody listened
_LISTEN_AGAIN_SECONDS = 1.0

QueueLost = exceptions.ConnectorException


class _Deliveries(JobManager):
    """Procrastinate's bookkeeping, changed so that it survives an outage of the database.

    Procrastinate's worker is meant to stop when its listener or its heartbeat fails. But version 3.10 waits only for
    the first of its side tasks to end. That is the task for periodic tasks, which ends at once where there are none.
    After a failure nobody would listen any more, for as long as the process runs.
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
        # Nobody reads that row again, and nobody awaits the task in which the exception would be raised.
        with suppress(QueueLost):
            await super().finish_job(job, status, delete_job)


# Never opened: it only builds the INSERT that `deliver` runs on the caller's connection.
_deferrer = procrastinate.App(connector=procrastinate.PsycopgConnector())


async def deliver(connection: Connection, job_id: UUID) -> None:
    """Queue a delivery inside the caller's transaction: it exists if and only if the transaction commits."""
    await _deferrer.configure_task(TASK, queue=QUEUE, connection=connection).defer_async(job_id=str(job_id))


async def deliveries_waiting(connection: Connection) -> int:
    """The number of deliveries that no worker has taken yet."""
    cursor = await connection.execute(
        "select count(*) as waiting from procrastinate_jobs where queue_name = %s and status = 'todo'", [QUEUE]
    )
    row = await cursor.fetchone()
    return row["waiting"] if row else 0


async def delete_abandoned(connection: Connection) -> int:
    """Delete deliveries that a dead worker had taken, because nothing reads them again. Returns their number.

    When a worker's heartbeat stops and another worker runs, Procrastinate deletes the dead worker's row, and
    `worker_id` of its deliveries becomes null. A worker that is stopping sends no heartbeat either. So as long as its
    row exists, its deliveries are kept until the heartbeat is a day old.
    """
    cursor = await connection.execute(
        "delete from procrastinate_jobs delivery where queue_name = %s and status = 'doing' and not exists ("
        " select from procrastinate_workers worker where worker.id = delivery.worker_id"
        " and worker.last_heartbeat > now() - interval '1 day')",
        [QUEUE],
    )
    return cursor.rowcount


async def delete_surplus(connection: Connection) -> None:
    """If more deliveries wait than jobs, delete the newest ones: those of cancelled jobs would pile up otherwise."""
    await connection.execute(
        "delete from procrastinate_jobs where status = 'todo' and id in ("
        " select id from procrastinate_jobs where queue_name = %s and status = 'todo'"
        " order by id desc limit greatest(0, (select count(*) from procrastinate_jobs"
        "  where queue_name = %s and status = 'todo') - (select count(*) from job where status = 'queued')))",
        [QUEUE, QUEUE],
    )


async def consume(
    pool: AsyncConnectionPool[Connection],
    run_next_job: Callable[[], Awaitable[None]],
    *,
    worker_name: str,
) -> None:
    """Take one delivery after the other and call `run_next_job` for each, until cancelled.

    On a cancel, it returns when a running `run_next_job` has ended.

    Raises:
        QueueLost: the database did not answer; call again when it does.
    """
    app = procrastinate.App(connector=procrastinate.PsycopgConnector())
    app.job_manager = _Deliveries(app.connector)

    @app.task(name=TASK, queue=QUEUE)
    async def generate(job_id: str) -> None:  # noqa: ARG001  (`fairness` decides which job is drawn)
        await run_next_job()

    async with app.open_async(pool):
        await app.run_worker_async(
            queues=[QUEUE],
            name=worker_name,
            concurrency=1,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
        )
