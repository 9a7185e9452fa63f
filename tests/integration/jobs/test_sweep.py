"""The sweep: jobs whose worker is gone, jobs that are late, and deliveries that were lost."""

from __future__ import annotations

from datetime import timedelta

from onbrand.database.pool import Database
from onbrand.errors import DeadlinePassed, NoCapacity, WorkerLost
from onbrand.jobs import service
from onbrand.jobs.models import Phase, Progress, Status
from onbrand.jobs.sweep import Swept, sweep_jobs
from tests.clock import Clock
from tests.integration.jobs.steps import (
    OWNER,
    claimed,
    count,
    find,
    publish,
    record,
    rows,
    submit,
    sweep,
)
from tests.rules import RULES


async def test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one(database: Database) -> None:
    job_id = await submit(database)
    await claimed(database, job_id, lease_seconds=0)
    assert await sweep(database) == Swept(requeued=(job_id,))
    job = await find(database, job_id)
    assert (job.status, job.percent, await count(database, "procrastinate_jobs")) == (Status.QUEUED, 0, 1)
    await claimed(database, job_id, lease_seconds=0)
    assert await sweep(database, max_attempts=2) == Swept(failed=((job_id, WorkerLost.code),))
    assert (await find(database, job_id)).error_code == WorkerLost.code


async def test_the_sweep_delivers_again_what_waits_without_a_queue_entry(database: Database) -> None:
    job_id = await submit(database)
    async with database.transaction() as connection:
        await connection.execute("delete from procrastinate_jobs")
    assert await sweep(database) == Swept()  # the delivery may be on its way to a worker
    async with database.transaction() as connection:
        await connection.execute("update job set queued_at = now() - interval '11 seconds'")
    assert await sweep(database) == Swept(delivered_again=1)
    async with database.transaction() as connection:
        cursor = await connection.execute("select args from procrastinate_jobs")
        assert [row["args"] for row in await cursor.fetchall()] == [{"job_id": str(job_id)}]


async def test_of_two_sweeps_at_once_one_works(database: Database) -> None:
    await submit(database)
    async with database.transaction() as connection:
        await connection.execute("delete from procrastinate_jobs")
        await connection.execute("update job set queued_at = now() - interval '11 seconds'")
    async with database.transaction() as connection:
        assert await sweep_jobs(connection, RULES) == Swept(delivered_again=1)
        assert await sweep(database) == Swept()
    assert await count(database, "procrastinate_jobs") == 1


async def test_deliveries_of_cancelled_jobs_do_not_pile_up(database: Database) -> None:
    waiting = await submit(database)
    for _ in range(5):
        job_id = await submit(database)
        async with database.transaction() as connection:
            await service.cancel(connection, OWNER, job_id, retention_hours=720)
    await sweep(database)
    assert await rows(database, "select args ->> 'job_id' as job_id from procrastinate_jobs") == [
        {"job_id": str(waiting)}
    ]


async def test_a_job_nobody_took_in_time_fails_for_want_of_capacity(clock: Clock) -> None:
    waiting = await submit(clock.database)
    await clock.move(timedelta(seconds=RULES.max_waiting_seconds - 1))
    assert await sweep(clock.database) == Swept(delivered_again=0)
    await clock.move(timedelta(seconds=2))
    assert await sweep(clock.database) == Swept(failed=((waiting, NoCapacity.code),))
    assert (await find(clock.database, waiting)).error_code == NoCapacity.code


async def test_a_job_past_its_deadline_fails_though_its_lease_is_live_and_its_worker_learns_of_it(clock: Clock) -> None:
    job_id = await submit(clock.database)
    held = await claimed(clock.database, job_id)
    await clock.move(timedelta(seconds=RULES.deadline_seconds - 1))
    assert await record(clock.database, held, Progress(Phase.DRAWING, 1, 12))
    assert await sweep(clock.database) == Swept()
    await clock.move(timedelta(seconds=2))
    assert await sweep(clock.database) == Swept(failed=((job_id, DeadlinePassed.code),))
    assert not await record(clock.database, held, Progress(Phase.DRAWING, 2, 12))
    assert not await publish(clock.database, held)


async def test_the_sweep_forgets_deliveries_that_a_dead_worker_had_taken(database: Database) -> None:
    live, taken, waiting = [await submit(database) for _ in range(3)]
    (worker,) = await rows(database, "insert into procrastinate_workers default values returning id")
    await rows(
        database,
        "update procrastinate_jobs set status = 'doing', worker_id = %s where args ->> 'job_id' = %s returning id",
        worker["id"],
        str(live),
    )
    await rows(
        database,
        "update procrastinate_jobs set status = 'doing', worker_id = null where args ->> 'job_id' = %s returning id",
        str(taken),
    )
    await sweep(database)
    left = {row["job_id"] for row in await rows(database, "select args ->> 'job_id' as job_id from procrastinate_jobs")}
    assert left == {str(live), str(waiting)}
