"""From a worker's death while it draws a job to the second attempt at this job, with the default lease of 45 s.

The same is measured with plain Procrastinate on its defaults. The model is a test double, because it is not measured.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

from benchmarks.client import Client
from benchmarks.plain import Plain
from benchmarks.report import Figure
from tests.chaos.deployment import Deployment, Part, running_deployment, until

RUNS = 3
PLAIN_SECONDS = 90.0
_PATIENCE_SECONDS = 120.0
_DRAWING = "pace=0.5"  # 3.5 s


def measure() -> Iterator[Figure]:
    """Seconds; for plain Procrastinate, whether there was a second attempt."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        # No grace, so that after SIGTERM a worker gives the job back and does not finish it. It does not matter for
        # kill -9.
        async with running_deployment(Path(folder), {"SHUTDOWN_GRACE_SECONDS": "0"}, workers=2) as deployment:
            killed = [await _seconds(deployment, signal.SIGKILL) for _ in range(RUNS)]
            stopped = [await _seconds(deployment, signal.SIGTERM) for _ in range(RUNS)]
            again = await _plain_starts_again(deployment)
    return [
        Figure("kill -9 of a worker until its job is drawn again", "s", killed, "≤ 60 s"),
        Figure("SIGTERM to a worker without grace until its job is drawn again", "s", stopped, "≤ 5 s"),
        Figure(f"jobs drawn again within {PLAIN_SECONDS:.0f} s of kill -9, plain Procrastinate", "of 1", [again]),
    ]


async def _seconds(deployment: Deployment, number: int) -> float:
    client = Client(deployment.url(0), deployment.token(uuid4(), 0))
    job_id, _ = client.submit(_DRAWING)

    def drawn(attempt: int) -> Callable[[], bool]:
        return lambda: bool(
            deployment.query(
                "select 1 from job where id = %s and attempt = %s and phase = 'drawing' and step > 0", job_id, attempt
            )
        )

    await until(drawn(1), _PATIENCE_SECONDS, "it was drawn")
    worker = _worker_of(deployment, job_id)
    worker.is_wanted = False  # another worker must take over
    started = time.perf_counter()
    worker.send(number)
    await until(drawn(2), _PATIENCE_SECONDS, "it was drawn again")
    seconds = time.perf_counter() - started
    await until(lambda: client.status(job_id)[0]["status"] == "complete", _PATIENCE_SECONDS, "it was complete")
    worker.is_wanted = True
    await deployment.ready()
    return seconds


def _worker_of(deployment: Deployment, job_id: str) -> Part:
    (row,) = deployment.query(
        "select worker_id, split_part(worker_id, '-', -2)::int as pid from job where id = %s", job_id
    )
    (worker,) = [worker for worker in deployment.workers if worker.pid == row["pid"]]
    return worker


async def _plain_starts_again(deployment: Deployment) -> int:
    plain = Plain(deployment.postgres.url)
    with plain.worker() as doomed:
        await plain.defer("somebody", 1, steps=100)
        await until(plain.starts, _PATIENCE_SECONDS, "it was started")
        with plain.worker():
            doomed.kill()
            deadline = time.monotonic() + PLAIN_SECONDS
            while len(plain.starts()) < 2 and time.monotonic() < deadline:
                await asyncio.sleep(0.5)
            return len(plain.starts()) - 1
