"""The queue: Procrastinate delivers `{job_id}` to one worker, and nothing else.

Procrastinate neither recovers nor retries here: attempts, leases and requeueing are ours (`store`), and a delivery
that arrives twice or late finds a job that cannot be claimed. The prompt never enters the queue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import procrastinate
from procrastinate import exceptions
from psycopg_pool import AsyncConnectionPool

from onbrand.postgres import Connection

QUEUE = "generate"
TASK = "onbrand.generate"
POLL_SECONDS = 5.0  # deliveries come by NOTIFY; the poll is for a lost one

QueueLost = exceptions.ConnectorException

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
