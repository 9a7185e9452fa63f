"""The fence: whatever a worker repeats or does too late, a job has one result or one reason for its failure."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from onbrand.database.pool import Database
from onbrand.errors import BadImage, Cancelled, DeadlinePassed, WorkerLost
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Phase, Progress, Status, image_seeds
from onbrand.jobs.sweep import Swept
from tests.clock import Clock
from tests.integration.jobs.steps import (
    IMAGES,
    OWNER,
    PACK,
    claim,
    claimed,
    count,
    find,
    publish,
    record,
    rows,
    submit,
    sweep,
)
from tests.rules import LIMITS, RULES


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


async def test_a_submission_that_is_rolled_back_leaves_neither_a_job_nor_a_delivery(database: Database) -> None:
    async def submit_and_fail() -> None:
        async with database.transaction() as connection:
            await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await submit_and_fail()
    assert (await count(database, "job"), await count(database, "procrastinate_jobs")) == (0, 0)
