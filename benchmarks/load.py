"""Latency of submitting and of reading the status with a full queue, many polling people, and 100,000 old jobs.

Two APIs and five workers share one database. The model is a slow test double, so the workers stay busy and the queue
keeps its length. One client on one keep-alive connection measures. The people who poll every second are in another
process, so they use the machine's time but not the client's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from uuid import UUID, uuid4

from benchmarks.client import Client
from benchmarks.report import Figure, percentile
from onbrand.database.pool import Database
from onbrand.jobs import attempts, fairness
from onbrand.jobs.models import Pack
from tests.chaos.deployment import Deployment, running_deployment, until

DEPTHS = (5, 50, 500)
POLLERS = 50
OLD_JOBS = 100_000
SUBMISSIONS = 200
STATUS_REQUESTS = 1000
CLAIMS = 50
STARTS = 60
_OWNERS = 20
_BUSY = "pace=60"  # seven minutes, longer than a measurement
_PACK = Pack("a" * 64, "Sample brand", "1")
_SETTINGS = {"MAX_QUEUED": "10000", "MAX_QUEUED_PER_USER": "1000", "MAX_SUBMITTED_PER_MINUTE": "10000"}
# As many complete jobs as five years of a busy studio leave in thirty days, spread over the last of them.
_OLD = """
    insert into job (id, tenant_id, user_id, prompt, prompt_truncated, seed, seeds, status, phase, step, steps,
                     percent, attempt, tries, result_attempt, worker_id, pack_id, pack_name, pack_version,
                     created_at, queued_at, started_at, first_started_at, completed_at, expires_at)
    select gen_random_uuid(), %s, (%s::uuid[])[1 + number %% %s], 'a teapot', false, 1, '{1,2,3,4}',
           'complete', 'saving', 28, 28, 100, 1, 1, 1, 'worker', repeat('a', 64), 'Sample brand', '1',
           ended - interval '70 s', ended - interval '70 s', ended - interval '60 s', ended - interval '60 s',
           ended, ended + interval '720 hours'
    from (select number, now() - number * interval '25 s' as ended from generate_series(1, %s) as number) as old
"""


def measure() -> Iterator[Figure]:
    """Milliseconds, and numbers of connections."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        async with running_deployment(Path(folder), _SETTINGS, apis=2, workers=5) as deployment:
            figures += _starts(deployment)
            client = Client(deployment.url(0), deployment.token(uuid4(), 0))
            for _ in deployment.workers:
                client.submit(_BUSY)
            busy = "select 1 from job where status = 'processing'"
            await until(lambda: len(deployment.query(busy)) == len(deployment.workers), 30, "all workers were busy")
            queue = _Queue(deployment)
            for depth in DEPTHS:
                queue.fill(depth)
                figures += _latencies(deployment, f"{depth} queued", queue)
            figures += await _claims(deployment, f"{DEPTHS[-1]} queued")
            with _people_polling(deployment, queue), _counted_connections(deployment) as most:
                figures += _latencies(deployment, f"{DEPTHS[-1]} queued, {POLLERS} people looking every second", queue)
            _add_old_jobs(deployment, queue)
            figures += _latencies(deployment, f"{DEPTHS[-1]} queued, {OLD_JOBS:,} finished", queue)
            figures += await _claims(deployment, f"{DEPTHS[-1]} queued, {OLD_JOBS:,} finished")
    return [*figures, *_connections(most)]


class _Queue:
    """Waiting jobs of several people."""

    def __init__(self, deployment: Deployment) -> None:
        self.user_ids = [uuid4() for _ in range(_OWNERS)]
        self.clients = [Client(deployment.url(0), deployment.token(user_id, 0)) for user_id in self.user_ids]
        self.jobs: list[tuple[Client, str]] = []

    def fill(self, depth: int) -> None:
        while len(self.jobs) < depth:
            client = self.clients[len(self.jobs) % len(self.clients)]
            self.jobs.append((client, client.submit("a teapot")[0]))


def _latencies(deployment: Deployment, where: str, queue: _Queue) -> Iterator[Figure]:
    """Of submissions, which are cancelled at once so that the queue keeps its length, and of status requests."""
    submits, statuses = [], []
    me = Client(deployment.url(0), deployment.token(uuid4(), 0))
    for _ in range(SUBMISSIONS):
        job_id, milliseconds = me.submit("a teapot")
        submits.append(milliseconds)
        me.cancel(job_id)
    for number in range(STATUS_REQUESTS):
        client, job_id = queue.jobs[number % len(queue.jobs)]
        statuses.append(client.status(job_id)[1])
    for name, samples in (("submit", submits), ("status", statuses)):
        yield Figure(f"{name}, {where}, median", "ms", [percentile(samples, 50)])
        yield Figure(f"{name}, {where}, 99th percentile of {len(samples)}", "ms", [percentile(samples, 99)], "< 100 ms")


def _starts(deployment: Deployment) -> Iterator[Figure]:
    """From the creation of a job's row to its claim by an idle worker, by the database's clock."""
    client = Client(deployment.url(0), deployment.token(uuid4(), 0))
    for _ in range(STARTS):
        job_id, _ = client.submit("a teapot")
        while client.status(job_id)[0]["status"] != "complete":
            time.sleep(0.02)
    rows = deployment.query(
        "select extract(epoch from first_started_at - created_at)::float8 * 1000 as waited from job"
        " where status = 'complete'"
    )
    waits = [row["waited"] for row in rows]
    yield Figure("submit to claim, workers idle, median", "ms", [percentile(waits, 50)])
    yield Figure(f"submit to claim, workers idle, 99th percentile of {len(waits)}", "ms", [percentile(waits, 99)])


async def _claims(deployment: Deployment, where: str) -> list[Figure]:
    """What a worker does to claim its next job; the transaction is rolled back each time."""
    database = Database(deployment.postgres.url, application_name="benchmark", max_connections=1)
    await database.open()
    samples = []
    try:
        for _ in range(CLAIMS):
            async with database.transaction() as connection:
                started = time.perf_counter()
                job_id = await fairness.next_job(connection)
                assert job_id is not None
                assert await attempts.claim(connection, job_id, "benchmark", pack=_PACK, lease_seconds=45)
                samples.append((time.perf_counter() - started) * 1000)
                await connection.rollback()
    finally:
        await database.close()
    return [Figure(f"claim, {where}", "ms", samples, "< 20 ms")]


def _add_old_jobs(deployment: Deployment, queue: _Queue) -> None:
    tenant = deployment.query("select tenant_id from job limit 1")[0]["tenant_id"]
    deployment.query(_OLD, tenant, queue.user_ids, len(queue.user_ids), OLD_JOBS)
    for statement in ("vacuum analyze job", "checkpoint"):  # because real jobs come over a month and not at once
        deployment.query(statement)


@contextmanager
def _people_polling(deployment: Deployment, queue: _Queue) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    people = []
    for number in range(POLLERS):
        user_id: UUID = queue.user_ids[number % len(queue.user_ids)]
        api = number % len(deployment.apis)
        people.append((deployment.url(api), deployment.token(user_id, api), queue.jobs[number][1]))
    crowd = context.Process(target=_poll_every_second, args=(people, stop))
    crowd.start()
    try:
        yield
    finally:
        stop.set()
        crowd.join(30)
        assert crowd.exitcode == 0, "a status request was refused"


def _poll_every_second(people: list[tuple[str, str, str]], stop: Event) -> None:
    def poll(number: int, url: str, token: str, job_id: str) -> None:
        client = Client(url, token)
        stop.wait(number / len(people))
        while not stop.wait(1):
            client.status(job_id)

    threads = [Thread(target=poll, args=(number, *person)) for number, person in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def _counted_connections(deployment: Deployment) -> Iterator[Counter[str]]:
    """Sample the connections during the `with` block; keep the maximum for each kind of process."""
    most: Counter[str] = Counter()
    done = Event()

    def count() -> None:
        while not done.wait(0.2):
            rows = deployment.query(
                "select application_name as name, count(*) as number from pg_stat_activity"
                " where starts_with(application_name, 'onbrand') group by 1"
            )
            now = {row["name"]: row["number"] for row in rows}
            for name, number in [*now.items(), ("all", sum(now.values()))]:
                most[name] = max(most[name], number)

    counting = Thread(target=count)
    counting.start()
    try:
        yield most
    finally:
        done.set()
        counting.join()


def _connections(most: Counter[str]) -> Iterator[Figure]:
    yield Figure("connections of two APIs, at most", "", [most["onbrand api"]], "≤ 10")
    yield Figure("connections of five workers, at most", "", [most["onbrand worker"]], "≤ 20")
    yield Figure("connections of all of them, at most", "", [most["all"]], "≤ 30")
