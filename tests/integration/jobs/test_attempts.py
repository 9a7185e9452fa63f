"""The fence: whatever runs twice, late or after its end, a job has one result or one reason."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from onbrand.database.pool import Database
from onbrand.errors import BadImage, Cancelled, DeadlinePassed, NoCapacity, WorkerLost
from onbrand.jobs import attempts, service
from onbrand.jobs.fairness import next_job
from onbrand.jobs.models import Claim, Job, Owner, Pack, Phase, Progress, Status, StoredImage, image_seeds
from onbrand.jobs.sweep import Swept, sweep_jobs
from tests.clock import Clock
from tests.rules import LIMITS, RULES

OWNER = Owner(uuid4(), uuid4())
PACK = Pack("a" * 64, "Sample brand", "1")
IMAGES = [StoredImage(n, f"{n:064x}", 100) for n in (1, 2, 3, 4)]


async def submit(database: Database) -> UUID:
    async with database.transaction() as connection:
        return (await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)).job_id


async def claim(database: Database, job_id: UUID, *, lease_seconds: float = 45) -> Claim | None:
    async with database.transaction() as connection:
        return await attempts.claim(connection, job_id, "worker", pack=PACK, lease_seconds=lease_seconds)


async def claimed(database: Database, job_id: UUID, *, lease_seconds: float = 45) -> Claim:
    found = await claim(database, job_id, lease_seconds=lease_seconds)
    assert found is not None
    return found


async def find(database: Database, job_id: UUID) -> Job:
    async with database.transaction() as connection:
        return await service.find(connection, OWNER, job_id)


async def record(database: Database, held: Claim, progress: Progress) -> bool:
    async with database.transaction() as connection:
        return await attempts.record_progress(connection, held, progress, lease_seconds=45)


async def publish(database: Database, held: Claim) -> bool:
    async with database.transaction() as connection:
        return await attempts.publish(connection, held, IMAGES, prompt_ignored=0, retention_hours=720)


async def sweep(database: Database, *, max_attempts: int = 3) -> Swept:
    async with database.transaction() as connection:
        return await sweep_jobs(connection, replace(RULES, max_attempts=max_attempts))


async def count(database: Database, table: str) -> int:
    async with database.transaction() as connection:
        cursor = await connection.execute(f"select count(*) as rows from {table}")
        row = await cursor.fetchone()
    assert row is not None
    return int(row["rows"])


async def test_a_claim_starts_the_next_attempt_and_records_the_pack(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id)
    job = await find(database, job_id)
    assert (held.attempt, held.tries, held.prompt, len(set(held.seeds))) == (1, 1, "a teapot", 4)
    assert (job.status, job.progress.phase, job.pack) == (Status.PROCESSING, Phase.ENCODING, PACK)


async def test_only_one_of_eight_racing_workers_claims_a_job(database: Database) -> None:
    job_ids = [await submit(database) for _ in range(10)]
    for job_id in job_ids:
        claims = await asyncio.gather(*(claim(database, job_id) for _ in range(8)))
        assert len([held for held in claims if held]) == 1


async def test_a_running_job_cannot_be_claimed_and_one_with_a_lapsed_lease_can_after_a_sweep(
    database: Database,
) -> None:
    running, lapsed = await submit(database), await submit(database)
    await claimed(database, running)
    await claimed(database, lapsed, lease_seconds=0)
    await sweep(database)
    assert await claim(database, running) is None
    again = await claim(database, lapsed)
    assert again is not None
    assert again.attempt == 2


async def test_progress_renews_the_lease_and_never_moves_back(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id, lease_seconds=0)
    assert await record(database, held, Progress(Phase.DRAWING, 6, 12))
    first = (await find(database, job_id)).percent
    assert await record(database, held, Progress(Phase.DRAWING, 3, 12))
    assert (await find(database, job_id)).percent == first
    assert await sweep(database) == Swept()  # the lease is live again


async def test_a_stale_attempt_can_neither_report_nor_publish_nor_fail(database: Database) -> None:
    job_id = await submit(database)
    stale = await claimed(database, job_id, lease_seconds=0)
    await sweep(database)
    current = await claimed(database, job_id)
    assert not await record(database, stale, Progress(Phase.DRAWING, 12, 12))
    assert not await publish(database, stale)
    async with database.transaction() as connection:
        ended = await attempts.end_attempt(connection, stale, BadImage, RULES)
        given_back = await attempts.give_back(connection, stale)
        assert [await attempts.is_current(connection, held) for held in (stale, current)] == [False, True]
        assert not await attempts.renew(connection, stale, lease_seconds=45)
    assert (ended, given_back, await count(database, "image")) == (None, False, 0)
    assert await publish(database, current)


async def test_publishing_completes_the_job_with_four_images_that_expire(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id)
    assert await publish(database, held)
    job = await find(database, job_id)
    assert (job.status, job.percent, job.result_attempt, await count(database, "image")) == (Status.COMPLETE, 100, 1, 4)
    assert job.completed_at is not None
    assert job.expires_at is not None
    assert (job.expires_at - job.completed_at).total_seconds() == 720 * 3600


async def test_publishing_again_after_a_lost_answer_is_no_failure_and_adds_nothing(database: Database) -> None:
    held = await claimed(database, await submit(database))
    assert await publish(database, held)
    assert await publish(database, held)
    assert await count(database, "image") == 4


async def test_publishing_anything_but_four_images_is_refused(database: Database) -> None:
    held = await claimed(database, await submit(database))
    for images in (IMAGES[:3], [*IMAGES, replace(IMAGES[0], n=5)], [*IMAGES[:3], IMAGES[0]]):
        with pytest.raises(ValueError, match="1 to 4"):
            async with database.transaction() as connection:
                await attempts.publish(connection, held, images, prompt_ignored=0, retention_hours=720)


async def test_a_cancelled_job_stays_cancelled_whatever_its_worker_does(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id)
    async with database.transaction() as connection:
        job = await service.cancel(connection, OWNER, job_id, retention_hours=720)
    assert (job.status, job.error_code) == (Status.FAILED, Cancelled.code)
    assert not await record(database, held, Progress(Phase.DRAWING, 1, 12))
    assert not await publish(database, held)
    async with database.transaction() as connection:
        assert not await attempts.is_current(connection, held)
        assert not await attempts.renew(connection, held, lease_seconds=45)
    assert (await find(database, job_id)).error_code == Cancelled.code


async def test_a_retryable_failure_is_queued_again_until_the_tries_are_used_up(database: Database) -> None:
    job_id = await submit(database)
    outcomes = []
    for _ in range(3):
        held = await claimed(database, job_id)
        async with database.transaction() as connection:
            outcomes.append(await attempts.end_attempt(connection, held, WorkerLost, RULES))
    job = await find(database, job_id)
    assert outcomes == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert (job.error_code, job.attempt) == (WorkerLost.code, 3)
    assert await count(database, "procrastinate_jobs") == 3  # the submission's and one for each requeueing


async def test_an_attempt_that_is_given_back_does_not_count(database: Database) -> None:
    job_id = await submit(database)
    for number in range(1, 6):
        held = await claimed(database, job_id)
        assert (held.attempt, held.tries) == (number, 1)
        async with database.transaction() as connection:
            assert await attempts.give_back(connection, held)


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
    assert await sweep(database) == Swept()  # it may be on its way to a worker
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


async def turn(database: Database, worker: str = "worker") -> UUID | None:
    """Claim the job whose turn it is."""
    async with database.transaction() as connection:
        job_id = await next_job(connection)
        if job_id is not None:
            assert await attempts.claim(connection, job_id, worker, pack=PACK, lease_seconds=45)
        return job_id


async def served(database: Database) -> str:
    """Draw the job whose turn it is; its prompt."""
    job_id = await turn(database)
    assert job_id is not None
    async with database.transaction() as connection:
        cursor = await connection.execute("select * from job where id = %s", [job_id])
        row = await cursor.fetchone()
        assert row is not None
        held = Claim(job_id, row["attempt"], row["tries"], row["prompt"], tuple(row["seeds"]))
    assert await publish(database, held)
    return held.prompt


async def submit_as(database: Database, owner: Owner, *prompts: str) -> None:
    for prompt in prompts:
        async with database.transaction() as connection:
            await service.submit(connection, owner, prompt, idempotency_key=None, limits=LIMITS)


async def test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog(database: Database) -> None:
    anna, bert, cleo = (Owner(uuid4(), uuid4()) for _ in range(3))
    await submit_as(database, anna, "a1", "a2", "a3", "a4")
    assert await served(database) == "a1"
    await submit_as(database, bert, "b1", "b2")
    await submit_as(database, cleo, "c1")
    assert [await served(database) for _ in range(6)] == ["b1", "c1", "a2", "b2", "a3", "a4"]


async def test_the_place_that_is_shown_is_the_order_in_which_jobs_are_drawn(database: Database) -> None:
    anna, bert = Owner(uuid4(), uuid4()), Owner(uuid4(), uuid4())
    await submit_as(database, anna, "a1", "a2", "a3")
    await served(database)
    await submit_as(database, bert, "b1", "b2", "b3")
    async with database.transaction() as connection:
        cursor = await connection.execute("select prompt from waiting_job join job using (id) order by place")
        shown = [row["prompt"] for row in await cursor.fetchall()]
    assert [await served(database) for _ in range(5)] == shown == ["b1", "a2", "b2", "a3", "b3"]


async def test_an_interrupted_job_is_next_because_its_deadline_is_running(database: Database) -> None:
    await submit_as(database, OWNER, "first", "second")
    await submit_as(database, Owner(uuid4(), uuid4()), "somebody's who had nothing yet")
    first = await turn(database)
    async with database.transaction() as connection:
        await connection.execute("update job set lease_until = now() - interval '1 second' where id = %s", [first])
    await sweep(database)
    assert await turn(database) == first


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


async def test_a_job_that_is_being_claimed_is_passed_over_without_waiting(database: Database) -> None:
    first, second = await submit(database), await submit(database)
    async with database.transaction() as connection:
        assert await next_job(connection) == first
        assert await turn(database) == second
        assert await turn(database) is None


async def test_eight_workers_that_take_turns_claim_fifty_jobs_once_each(database: Database) -> None:
    for number in range(50):
        await submit_as(database, Owner(OWNER.tenant_id, uuid4()) if number % 3 else OWNER, str(number))

    async def work(name: str) -> list[UUID]:
        claimed = []
        while (job_id := await turn(database, name)) is not None:
            claimed.append(job_id)
        return claimed

    taken = [job_id for jobs in await asyncio.gather(*(work(str(n)) for n in range(8))) for job_id in jobs]
    assert (len(taken), len(set(taken))) == (50, 50)


async def test_a_claim_whose_commit_was_never_heard_of_is_queued_again_at_its_workers_next_turn(
    database: Database,
) -> None:
    job_id, other = await submit(database), await submit(database)
    await claimed(database, job_id)
    async with database.transaction() as connection:
        assert await attempts.claim(connection, other, "another worker", pack=PACK, lease_seconds=45)
        await attempts.drop_lost_claims(connection, "worker", RULES)
    assert (await find(database, job_id)).status is Status.QUEUED
    assert await rows(database, "select tries from job where id = %s", job_id) == [{"tries": 0}]  # nothing was drawn
    assert (await find(database, other)).status is Status.PROCESSING


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


async def test_the_deadline_counts_from_the_first_attempt_and_ends_the_retries(clock: Clock) -> None:
    job_id = await submit(clock.database)
    held = await claimed(clock.database, job_id)
    async with clock.database.transaction() as connection:
        assert await attempts.give_back(connection, held)
    await clock.move(timedelta(seconds=RULES.deadline_seconds + 1))
    held = await claimed(clock.database, job_id)
    async with clock.database.transaction() as connection:
        assert await attempts.end_attempt(connection, held, WorkerLost, RULES) is Status.FAILED
    assert (await find(clock.database, job_id)).error_code == DeadlinePassed.code


async def test_an_unusable_picture_is_tried_again_with_other_seeds(database: Database) -> None:
    job_id = await submit(database)
    first = await claimed(database, job_id)
    async with database.transaction() as connection:
        await attempts.end_attempt(connection, first, BadImage, RULES)
    second = await claimed(database, job_id)
    async with database.transaction() as connection:
        await attempts.end_attempt(connection, second, WorkerLost, RULES)
    third = await claimed(database, job_id)
    assert set(first.seeds).isdisjoint(second.seeds)
    assert third.seeds == second.seeds
    assert image_seeds((await rows(database, "select seed from job"))[0]["seed"]) == second.seeds


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


async def rows(database: Database, statement: str, *arguments: object) -> list[dict[str, Any]]:
    async with database.transaction() as connection:
        cursor = await connection.execute(statement, list(arguments))
        return await cursor.fetchall()


async def test_a_submission_that_is_rolled_back_leaves_neither_a_job_nor_a_delivery(database: Database) -> None:
    async def submit_and_fail() -> None:
        async with database.transaction() as connection:
            await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await submit_and_fail()
    assert (await count(database, "job"), await count(database, "procrastinate_jobs")) == (0, 0)
