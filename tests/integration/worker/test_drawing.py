"""How a job ends when all goes well, when the model fails, and when its owner cancels it."""

from __future__ import annotations

import pytest

from onbrand.errors import BadImage, Cancelled, GenerationTimedOut, GpuMemory, WorkerLost
from onbrand.jobs.models import Status
from onbrand.jobs.queue import deliver
from tests.integration.worker.harness import WorkerHarness


async def test_a_job_becomes_four_stored_images_and_leaves_no_delivery(harness: WorkerHarness) -> None:
    async with harness.worker():
        job_id = await harness.submit()
        job = await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)
    assert (job.error_code, job.prompt_truncated) == (None, False)
    assert await harness.query("select from procrastinate_jobs") == []
    assert await harness.query("select from worker") == []  # it has removed its row


async def test_one_model_draws_one_job_after_the_other(harness: WorkerHarness) -> None:
    job_ids = [await harness.submit() for _ in range(3)]
    async with harness.worker():
        for job_id in job_ids:
            await harness.ended(job_id)
            await harness.check_result(job_id, attempt=1)
    assert harness.notes.count("load") == 1
    assert [line for line in harness.notes if line.startswith("draw")] == [f"draw {job_id}" for job_id in job_ids]


async def test_a_job_that_is_delivered_twice_is_drawn_once(harness: WorkerHarness) -> None:
    job_id = await harness.submit()
    for _ in range(3):
        async with harness.database.transaction() as connection:
            await deliver(connection, job_id)
    async with harness.worker():
        await harness.ended(job_id)
        await harness.ended(await harness.submit())  # so the earlier deliveries have been served
    await harness.check_result(job_id, attempt=1)
    assert harness.notes.count(f"draw {job_id}") == 1


@pytest.mark.parametrize("flaw", ["three", "five", "twice", "small", "plain", "torn", "fails=bad_image"])
async def test_anything_but_four_whole_pictures_is_never_published(harness: WorkerHarness, flaw: str) -> None:
    async with harness.worker(max_attempts=2):
        job_id = await harness.submit(flaw)
        job = await harness.ended(job_id)
        following = await harness.submit()
        await harness.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, BadImage.code, 2)
    await harness.check_nothing_published(job_id)
    await harness.check_result(following, attempt=1)
    assert harness.notes.count("load") == 1


async def test_previews_are_shown_while_a_job_is_drawn_and_gone_with_its_end(harness: WorkerHarness) -> None:
    async with harness.worker():
        job_id = await harness.submit("slow previews=whole")
        await harness.drawing(job_id)
        rows = await harness.query("select attempt, pictures from preview where job_id = %s", job_id)
        await harness.ended(job_id)
    assert [(row["attempt"], len(row["pictures"])) for row in rows] == [(1, 4)]
    assert await harness.query("select from preview") == []


@pytest.mark.parametrize("flaw", ["three", "torn", "huge", "other", "negative", "words"])
async def test_broken_previews_are_left_out_and_cost_nothing(harness: WorkerHarness, flaw: str) -> None:
    async with harness.worker():
        job_id = await harness.submit(f"slow previews={flaw}")
        await harness.drawing(job_id)
        rows = await harness.query("select from preview")
        await harness.ended(job_id)
    assert rows == []
    await harness.check_result(job_id, attempt=1)


@pytest.mark.parametrize(
    ("trouble", "loads"),
    [
        ("kill@3", 2),
        ("cut", 2),  # dies in the middle of an image
        ("garbage@2", 2),
        ("alien@2", 2),
        ("fails=gpu_memory", 1),
        ("fails=model_failed", 2),  # the GPU may fail every later operation of that process
        ("fails=of_a_newer_version", 2),
    ],
)
async def test_trouble_with_the_model_costs_one_attempt(harness: WorkerHarness, trouble: str, loads: int) -> None:
    async with harness.worker():
        job_id = await harness.submit(f"once {trouble}")
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)
    assert harness.notes.count("load") == loads


@pytest.mark.parametrize(
    ("trouble", "code"),
    [("kill@1", WorkerLost.code), ("fails=gpu_memory", GpuMemory.code)],
)
async def test_a_poisonous_job_fails_after_three_attempts_and_the_next_one_is_drawn(
    harness: WorkerHarness, trouble: str, code: str
) -> None:
    async with harness.worker():
        poisonous, following = await harness.submit(trouble), await harness.submit()
        job = await harness.ended(poisonous)
        await harness.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, code, 3)
    assert harness.notes.count(f"draw {poisonous}") == 3
    await harness.check_nothing_published(poisonous)
    await harness.check_result(following, attempt=1)


async def test_a_model_that_hangs_is_killed_after_the_lease_and_the_job_drawn_again(harness: WorkerHarness) -> None:
    async with harness.worker(lease_seconds=1.0):
        job_id = await harness.submit("once hang@2")
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)
    assert len(harness.model_pids) == 2


async def test_a_job_that_always_hangs_ends_as_timed_out(harness: WorkerHarness) -> None:
    async with harness.worker(lease_seconds=1.0, max_attempts=1):
        job = await harness.ended(await harness.submit("hang@2"))
    assert (job.status, job.error_code) == (Status.FAILED, GenerationTimedOut.code)


async def test_a_slow_model_keeps_its_lease(harness: WorkerHarness) -> None:
    async with harness.sweeping(), harness.worker(lease_seconds=1.0):
        job_id = await harness.submit("slow")  # 1.4 s
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)


async def test_a_cancelled_job_stops_within_a_step_and_the_model_goes_on_with_the_next(harness: WorkerHarness) -> None:
    async with harness.worker():
        job_id, following = await harness.submit("sluggish"), await harness.submit()
        await harness.drawing(job_id)
        await harness.cancel(job_id)
        await harness.ended(following)
    job = await harness.find(job_id)
    assert (job.status, job.error_code) == (Status.FAILED, Cancelled.code)
    assert f"stopped {job_id} {job.progress.step + 2}" in harness.notes  # at most two steps later
    assert harness.notes.count("load") == 1
    await harness.check_nothing_published(job_id)
    await harness.check_result(following, attempt=1)


async def test_a_job_that_is_cancelled_while_it_waits_is_never_drawn(harness: WorkerHarness) -> None:
    job_id, following = await harness.submit(), await harness.submit()
    await harness.cancel(job_id)
    async with harness.worker():
        await harness.ended(following)
    assert f"draw {job_id}" not in harness.notes


async def test_a_worker_that_gets_a_job_back_it_was_told_to_drop_draws_it_anew(harness: WorkerHarness) -> None:
    async with harness.worker():
        job_id = await harness.submit("once slow")
        await harness.drawing(job_id)
        async with harness.sweeping():
            await harness.query("update job set lease_until = now() - interval '1 second' returning id")
            await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)
    assert (harness.notes.count(f"draw {job_id}"), harness.notes.count("load")) == (2, 1)
