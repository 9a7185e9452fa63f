"""What becomes of a job when all goes well, when the model fails, and when somebody changes their mind."""

from __future__ import annotations

import pytest

from onbrand.errors import BadImage, Cancelled, GenerationTimedOut, GpuMemory, WorkerLost
from onbrand.jobs.models import Status
from onbrand.jobs.queue import deliver
from tests.integration.worker.bench import Bench


async def test_a_job_becomes_four_stored_images_and_leaves_no_delivery(bench: Bench) -> None:
    async with bench.worker():
        job_id = await bench.submit()
        job = await bench.ended(job_id)
    await bench.check_result(job_id, attempt=1)
    assert (job.error_code, job.prompt_truncated) == (None, False)
    assert await bench.query("select from procrastinate_jobs") == []
    assert await bench.query("select from worker") == []  # it said goodbye


async def test_one_model_draws_one_job_after_the_other(bench: Bench) -> None:
    job_ids = [await bench.submit() for _ in range(3)]
    async with bench.worker():
        for job_id in job_ids:
            await bench.ended(job_id)
            await bench.check_result(job_id, attempt=1)
    assert bench.notes.count("load") == 1
    assert [line for line in bench.notes if line.startswith("draw")] == [f"draw {job_id}" for job_id in job_ids]


async def test_a_job_that_is_delivered_twice_is_drawn_once(bench: Bench) -> None:
    job_id = await bench.submit()
    for _ in range(3):
        async with bench.database.transaction() as connection:
            await deliver(connection, job_id)
    async with bench.worker():
        await bench.ended(job_id)
        await bench.ended(await bench.submit())  # the deliveries before it have been dealt with
    await bench.check_result(job_id, attempt=1)
    assert bench.notes.count(f"draw {job_id}") == 1


@pytest.mark.parametrize("flaw", ["three", "five", "twice", "small", "plain", "torn", "fails=bad_image"])
async def test_anything_but_four_whole_pictures_is_never_published(bench: Bench, flaw: str) -> None:
    async with bench.worker(max_attempts=2):
        job_id = await bench.submit(flaw)
        job = await bench.ended(job_id)
        following = await bench.submit()
        await bench.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, BadImage.code, 2)
    await bench.check_nothing_published(job_id)
    await bench.check_result(following, attempt=1)
    assert bench.notes.count("load") == 1


async def test_previews_are_shown_while_a_job_is_drawn_and_gone_with_its_end(bench: Bench) -> None:
    async with bench.worker():
        job_id = await bench.submit("slow previews=whole")
        await bench.drawing(job_id)
        rows = await bench.query("select attempt, pictures from preview where job_id = %s", job_id)
        await bench.ended(job_id)
    assert [(row["attempt"], len(row["pictures"])) for row in rows] == [(1, 4)]
    assert await bench.query("select from preview") == []


@pytest.mark.parametrize("flaw", ["three", "torn", "huge", "other", "negative", "words"])
async def test_broken_previews_are_left_out_and_cost_nothing(bench: Bench, flaw: str) -> None:
    async with bench.worker():
        job_id = await bench.submit(f"slow previews={flaw}")
        await bench.drawing(job_id)
        rows = await bench.query("select from preview")
        await bench.ended(job_id)
    assert rows == []
    await bench.check_result(job_id, attempt=1)


@pytest.mark.parametrize(
    ("trouble", "loads"),
    [
        ("kill@3", 2),
        ("cut", 2),  # dies in the middle of an image
        ("garbage@2", 2),
        ("alien@2", 2),
        ("fails=gpu_memory", 1),
        ("fails=model_failed", 2),  # a GPU's context may be dead for good
        ("fails=of_a_newer_version", 2),
    ],
)
async def test_trouble_with_the_model_costs_one_attempt(bench: Bench, trouble: str, loads: int) -> None:
    async with bench.worker():
        job_id = await bench.submit(f"once {trouble}")
        await bench.ended(job_id)
    await bench.check_result(job_id, attempt=2)
    assert bench.notes.count("load") == loads


@pytest.mark.parametrize(
    ("trouble", "code"),
    [("kill@1", WorkerLost.code), ("fails=gpu_memory", GpuMemory.code)],
)
async def test_a_poisonous_job_fails_after_three_attempts_and_the_next_one_is_drawn(
    bench: Bench, trouble: str, code: str
) -> None:
    async with bench.worker():
        poisonous, following = await bench.submit(trouble), await bench.submit()
        job = await bench.ended(poisonous)
        await bench.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, code, 3)
    assert bench.notes.count(f"draw {poisonous}") == 3
    await bench.check_nothing_published(poisonous)
    await bench.check_result(following, attempt=1)


async def test_a_model_that_hangs_is_killed_after_the_lease_and_the_job_drawn_again(bench: Bench) -> None:
    async with bench.worker(lease_seconds=1.0):
        job_id = await bench.submit("once hang@2")
        await bench.ended(job_id)
    await bench.check_result(job_id, attempt=2)
    assert len(bench.model_pids) == 2


async def test_a_job_that_always_hangs_ends_as_timed_out(bench: Bench) -> None:
    async with bench.worker(lease_seconds=1.0, max_attempts=1):
        job = await bench.ended(await bench.submit("hang@2"))
    assert (job.status, job.error_code) == (Status.FAILED, GenerationTimedOut.code)


async def test_a_slow_model_keeps_its_lease(bench: Bench) -> None:
    async with bench.sweeping(), bench.worker(lease_seconds=1.0):
        job_id = await bench.submit("slow")  # 1.4 s
        await bench.ended(job_id)
    await bench.check_result(job_id, attempt=1)


async def test_a_cancelled_job_stops_within_a_step_and_the_model_goes_on_with_the_next(bench: Bench) -> None:
    async with bench.worker():
        job_id, following = await bench.submit("sluggish"), await bench.submit()
        await bench.drawing(job_id)
        await bench.cancel(job_id)
        await bench.ended(following)
    job = await bench.find(job_id)
    assert (job.status, job.error_code) == (Status.FAILED, Cancelled.code)
    assert f"stopped {job_id} {job.progress.step + 2}" in bench.notes  # it stands before the step after the next
    assert bench.notes.count("load") == 1
    await bench.check_nothing_published(job_id)
    await bench.check_result(following, attempt=1)


async def test_a_job_that_is_cancelled_while_it_waits_is_never_drawn(bench: Bench) -> None:
    job_id, following = await bench.submit(), await bench.submit()
    await bench.cancel(job_id)
    async with bench.worker():
        await bench.ended(following)
    assert f"draw {job_id}" not in bench.notes


async def test_a_worker_that_gets_a_job_back_it_was_told_to_drop_draws_it_anew(bench: Bench) -> None:
    async with bench.worker():
        job_id = await bench.submit("once slow")
        await bench.drawing(job_id)
        async with bench.sweeping():
            await bench.query("update job set lease_until = now() - interval '1 second' returning id")
            await bench.ended(job_id)
    await bench.check_result(job_id, attempt=2)
    assert (bench.notes.count(f"draw {job_id}"), bench.notes.count("load")) == (2, 1)
