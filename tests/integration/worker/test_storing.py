"""Storing the images: if it fails or comes too late, there is neither a result nor a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

from obstore.store import LocalStore

from onbrand.errors import ImagesNotStored
from onbrand.images import rendition
from onbrand.images.store import ImageStore
from onbrand.jobs.models import Status
from onbrand.storage.object_store import ObjectStore
from onbrand.worker import job_runner, publishing
from onbrand.worker.job_runner import JobRunner
from tests.integration.worker.harness import WorkerHarness, until

Write = Callable[[str, bytes], Awaitable[object]]


class Store:
    """A local store whose `put` a test replaces."""

    def __init__(self, harness: WorkerHarness, put: Callable[[str, bytes, Write], Awaitable[object]]) -> None:
        harness.images_dir.mkdir(parents=True, exist_ok=True)
        self._store = LocalStore(harness.images_dir)
        self._put = put

    async def put_async(self, path: str, file: bytes, **options: Any) -> object:
        return await self._put(path, file, lambda path, file: self._store.put_async(path, file, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def faulty_store(harness: WorkerHarness, put: Callable[[str, bytes, Write], Awaitable[object]]) -> ImageStore:
    return ImageStore(ObjectStore(cast(LocalStore, Store(harness, put))))


async def test_an_attempt_that_comes_too_late_publishes_nothing_and_removes_its_images(harness: WorkerHarness) -> None:
    gate = asyncio.Event()

    async def put(path: str, file: bytes, write: Write) -> object:
        stored = await write(path, file)
        await gate.wait()
        return stored

    job_id = await harness.submit()
    async with harness.runner("late", faulty_store(harness, put)) as late, harness.runner("other") as other:
        drawing = asyncio.create_task(late.run_next_job())

        async def has_stored() -> bool:
            return harness.stored(job_id) == [f"1/{n}.png" for n in (1, 2, 3, 4)]

        await until(has_stored)
        await harness.query("update job set lease_until = now() - interval '1 second' returning id")
        await harness.sweep()
        await other.run_next_job()
        gate.set()
        await drawing
    await harness.check_result(job_id, attempt=2)


async def test_a_job_that_is_cancelled_while_its_images_are_stored_has_none(harness: WorkerHarness) -> None:
    async def put(path: str, file: bytes, write: Write) -> object:
        await harness.cancel(job_id)
        return await write(path, file)

    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put)) as runner:
        await runner.run_next_job()
    assert (await harness.find(job_id)).status is Status.FAILED
    await harness.check_nothing_published(job_id)


async def test_what_a_store_has_not_kept_whole_is_not_published(harness: WorkerHarness) -> None:
    async def put(path: str, file: bytes, write: Write) -> object:
        return await write(path, file[:-1])

    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put), max_attempts=1) as runner:
        await runner.run_next_job()
    job = await harness.find(job_id)
    assert (job.status, job.error_code) == (Status.FAILED, ImagesNotStored.code)
    await harness.check_nothing_published(job_id)


async def test_a_store_that_is_away_for_a_moment_costs_nothing_but_time_though_the_lease_is_shorter(
    harness: WorkerHarness,
) -> None:
    outage = asyncio.Event()

    async def put(path: str, file: bytes, write: Write) -> object:
        if not outage.is_set():
            raise OSError
        return await write(path, file)

    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put), lease_seconds=1) as runner, harness.sweeping():
        drawing = asyncio.create_task(runner.run_next_job())
        await asyncio.sleep(3)  # the outage itself
        outage.set()
        await drawing
    await harness.check_result(job_id, attempt=1)


async def test_while_the_store_does_not_answer_no_further_job_is_drawn(harness: WorkerHarness) -> None:
    harness.monkeypatch.setattr(publishing, "_STORE_PATIENCE_SECONDS", 0)
    harness.monkeypatch.setattr(job_runner, "_STORE_CHECK_SECONDS", 0.05)
    async with harness.worker(max_attempts=2):
        await harness.ready()
        folder = harness.images_dir.rename(harness.images_dir.with_name("away"))
        harness.images_dir.write_text("in the way")
        jobs = [await harness.submit() for _ in range(3)]

        async def has_failed_once() -> bool:
            return bool(await harness.query("select from job where tries = 1 and status = 'queued'"))

        await until(has_failed_once)
        await asyncio.sleep(1)  # time for a dozen drawings
        assert [row["tries"] for row in await harness.query("select tries from job order by tries")] == [0, 0, 1]
        harness.images_dir.unlink()
        folder.rename(harness.images_dir)
        for job_id in jobs:
            assert (await harness.ended(job_id)).status is Status.COMPLETE


async def drawn_without_a_store(harness: WorkerHarness, then: Callable[[JobRunner, UUID], Awaitable[None]]) -> UUID:
    """Run a job whose images the store never takes; `then` is called meanwhile, and must end the attempt."""
    tried = asyncio.Event()

    async def put(*_: object) -> object:
        tried.set()
        raise OSError

    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put)) as runner, asyncio.timeout(15):
        drawing = asyncio.create_task(runner.run_next_job())
        await tried.wait()
        await then(runner, job_id)
        await drawing
    return job_id


async def test_a_cancel_ends_the_wait_for_a_store_that_is_away(harness: WorkerHarness) -> None:
    async def cancel(_: JobRunner, job_id: UUID) -> None:
        await harness.cancel(job_id)

    await harness.check_nothing_published(await drawn_without_a_store(harness, cancel))


async def test_a_worker_that_must_stop_hands_back_a_job_whose_store_is_away(harness: WorkerHarness) -> None:
    async def stop(runner: JobRunner, _: UUID) -> None:
        runner.hand_back()

    job_id = await drawn_without_a_store(harness, stop)
    (row,) = await harness.query("select status, tries from job where id = %s", job_id)
    assert row == {"status": "queued", "tries": 0}


async def test_images_that_were_still_being_written_when_one_failed_are_removed_too(harness: WorkerHarness) -> None:
    written = []

    async def put(path: str, file: bytes, write: Write) -> object:
        if path.endswith("1.png"):
            raise OSError
        await asyncio.sleep(0.2)  # it is slow
        await write(path, file)
        if path.endswith(".png"):
            written.append(path)
        return None

    async def has_written() -> bool:
        return len(written) == 3

    harness.monkeypatch.setattr(publishing, "_STORE_PATIENCE_SECONDS", 0)

    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put), max_attempts=1) as runner:
        await runner.run_next_job()
        await until(has_written)
    assert (await harness.find(job_id)).error_code == ImagesNotStored.code
    await harness.check_nothing_published(job_id)


async def test_a_store_that_can_be_written_again_costs_no_more_than_the_attempts_before(harness: WorkerHarness) -> None:
    harness.images_dir.mkdir(parents=True)
    (harness.images_dir / "jobs").write_text("in the way")
    harness.monkeypatch.setattr(publishing, "_STORE_PATIENCE_SECONDS", 0)
    async with harness.worker(max_attempts=2):
        job = await harness.ended(await harness.submit())
        (harness.images_dir / "jobs").unlink()
        following = await harness.submit()
        await harness.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, ImagesNotStored.code, 2)
    await harness.check_result(following, attempt=1)


async def test_pictures_whose_renditions_cannot_be_made_are_published_without(harness: WorkerHarness) -> None:
    def fail(_: object) -> bytes:
        raise OSError("encoder error -2")

    harness.monkeypatch.setattr(rendition, "encode", fail)
    job_id = await harness.submit()
    async with harness.runner("worker") as runner:
        await runner.run_next_job()
    assert (await harness.find(job_id)).status is Status.COMPLETE
    assert harness.stored(job_id) == [f"1/{n}.png" for n in (1, 2, 3, 4)]
    assert await harness.query("select from image where rendition_sha256 is not null") == []


async def test_a_job_is_not_complete_while_a_rendition_is_not_stored(harness: WorkerHarness) -> None:
    async def put(path: str, file: bytes, write: Write) -> object:
        if path.endswith("3-512.webp"):
            raise OSError
        return await write(path, file)

    harness.monkeypatch.setattr(publishing, "_STORE_PATIENCE_SECONDS", 0)
    job_id = await harness.submit()
    async with harness.runner("worker", faulty_store(harness, put), max_attempts=1) as runner:
        await runner.run_next_job()
    assert (await harness.find(job_id)).error_code == ImagesNotStored.code
    await harness.check_nothing_published(job_id)
