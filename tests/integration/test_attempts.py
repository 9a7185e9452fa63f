"""The fence: whatever runs twice, late or after its end, a job has one result or one reason."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from onbrand import attempts, store
from onbrand.errors import BadImage, Cancelled, WorkerLost
from onbrand.job import Claim, Job, Owner, Pack, Phase, Progress, Status, StoredImage
from onbrand.postgres import Database

OWNER = Owner(uuid4(), uuid4())
PACK = Pack("a" * 64, "Sample brand", "1")
IMAGES = [StoredImage(n, f"{n:064x}", 100) for n in (1, 2, 3, 4)]


async def submit(database: Database) -> UUID:
    async with database.transaction() as connection:
        return await store.submit(connection, OWNER, "a teapot", idempotency_key=None, max_unfinished=100)


async def claim(database: Database, job_id: UUID, *, lease_seconds: float = 45, max_attempts: int = 3) -> Claim | None:
    async with database.transaction() as connection:
        return await attempts.claim(
            connection, job_id, "worker", pack=PACK, lease_seconds=lease_seconds, max_attempts=max_attempts
        )


async def claimed(database: Database, job_id: UUID, *, lease_seconds: float = 45) -> Claim:
    found = await claim(database, job_id, lease_seconds=lease_seconds)
    assert found is not None
    return found


async def find(database: Database, job_id: UUID) -> Job:
    async with database.transaction() as connection:
        return await store.find(connection, OWNER, job_id)


async def record(database: Database, held: Claim, progress: Progress) -> bool:
    async with database.transaction() as connection:
        return await attempts.record_progress(connection, held, progress, lease_seconds=45)


async def publish(database: Database, held: Claim) -> bool:
    async with database.transaction() as connection:
        return await attempts.publish(connection, held, IMAGES, prompt_truncated=False, retention_hours=720)


async def sweep(database: Database, *, max_attempts: int = 3) -> attempts.Swept:
    async with database.transaction() as connection:
        return await attempts.sweep(connection, max_attempts=max_attempts, retention_hours=720)


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


async def test_a_job_with_a_live_lease_cannot_be_claimed_and_one_with_a_lapsed_lease_can(database: Database) -> None:
    job_id = await submit(database)
    await claimed(database, job_id)
    assert await claim(database, job_id) is None
    other = await submit(database)
    await claimed(database, other, lease_seconds=0)
    again = await claim(database, other)
    assert again is not None
    assert again.attempt == 2


async def test_a_job_that_used_up_its_tries_cannot_be_claimed(database: Database) -> None:
    job_id = await submit(database)
    await claimed(database, job_id, lease_seconds=0)
    assert await claim(database, job_id, max_attempts=1) is None


async def test_progress_renews_the_lease_and_never_moves_back(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id, lease_seconds=0)
    assert await record(database, held, Progress(Phase.DRAWING, 6, 12))
    first = (await find(database, job_id)).percent
    assert await record(database, held, Progress(Phase.DRAWING, 3, 12))
    assert (await find(database, job_id)).percent == first
    assert await sweep(database) == attempts.Swept()  # the lease is live again


async def test_a_stale_attempt_can_neither_report_nor_publish_nor_fail(database: Database) -> None:
    job_id = await submit(database)
    stale = await claimed(database, job_id, lease_seconds=0)
    current = await claimed(database, job_id)
    assert not await record(database, stale, Progress(Phase.DRAWING, 12, 12))
    assert not await publish(database, stale)
    async with database.transaction() as connection:
        ended = await attempts.end_attempt(connection, stale, BadImage, max_attempts=3, retention_hours=720)
        given_back = await attempts.give_back(connection, stale)
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
                await attempts.publish(connection, held, images, prompt_truncated=False, retention_hours=720)


async def test_a_cancelled_job_stays_cancelled_whatever_its_worker_does(database: Database) -> None:
    job_id = await submit(database)
    held = await claimed(database, job_id)
    async with database.transaction() as connection:
        job = await store.cancel(connection, OWNER, job_id, retention_hours=720)
    assert (job.status, job.error_code) == (Status.FAILED, Cancelled.code)
    assert not await record(database, held, Progress(Phase.DRAWING, 1, 12))
    assert not await publish(database, held)
    assert (await find(database, job_id)).error_code == Cancelled.code


async def test_a_retryable_failure_is_queued_again_until_the_tries_are_used_up(database: Database) -> None:
    job_id = await submit(database)
    outcomes = []
    for _ in range(3):
        held = await claimed(database, job_id)
        async with database.transaction() as connection:
            outcomes.append(
                await attempts.end_attempt(connection, held, WorkerLost, max_attempts=3, retention_hours=720)
            )
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
    assert await sweep(database) == attempts.Swept(requeued=1)
    job = await find(database, job_id)
    assert (job.status, job.percent, await count(database, "procrastinate_jobs")) == (Status.QUEUED, 0, 2)
    await claimed(database, job_id, lease_seconds=0)
    assert await sweep(database, max_attempts=2) == attempts.Swept(failed=1)
    assert (await find(database, job_id)).error_code == WorkerLost.code


async def test_the_sweep_delivers_again_what_waits_without_a_queue_entry(database: Database) -> None:
    job_id = await submit(database)
    async with database.transaction() as connection:
        await connection.execute("delete from procrastinate_jobs")
    assert await sweep(database) == attempts.Swept()  # it may be on its way to a worker
    async with database.transaction() as connection:
        await connection.execute("update job set queued_at = now() - interval '11 seconds'")
    assert await sweep(database) == attempts.Swept(delivered_again=1)
    async with database.transaction() as connection:
        cursor = await connection.execute("select args from procrastinate_jobs")
        assert [row["args"] for row in await cursor.fetchall()] == [{"job_id": str(job_id)}]


async def test_a_submission_that_is_rolled_back_leaves_neither_a_job_nor_a_delivery(database: Database) -> None:
    async def submit_and_fail() -> None:
        async with database.transaction() as connection:
            await store.submit(connection, OWNER, "a teapot", idempotency_key=None, max_unfinished=100)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await submit_and_fail()
    assert (await count(database, "job"), await count(database, "procrastinate_jobs")) == (0, 0)
