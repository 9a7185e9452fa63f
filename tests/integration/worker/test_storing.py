"""Storing the images: what goes wrong there, or comes too late, leaves neither a result nor a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from obstore.store import LocalStore

from onbrand.errors import ImagesNotStored
from onbrand.images.store import ImageStore
from onbrand.jobs.models import Status
from onbrand.worker import job_runner
from onbrand.worker.job_runner import JobRunner
from tests.integration.worker.bench import Bench, until

Write = Callable[[str, bytes], Awaitable[object]]


class Store:
    """A local store between which and its user something happens: the outer edge."""

    def __init__(self, bench: Bench, put: Callable[[str, bytes, Write], Awaitable[object]]) -> None:
        bench.images_dir.mkdir(parents=True, exist_ok=True)
        self._store = LocalStore(bench.images_dir)
        self._put = put

    async def put_async(self, path: str, file: bytes, **options: Any) -> object:
        return await self._put(path, file, lambda path, file: self._store.put_async(path, file, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_an_attempt_that_comes_too_late_publishes_nothing_and_removes_its_images(bench: Bench) -> None:
    gate = asyncio.Event()

    async def put(path: str, file: bytes, write: Write) -> object:
        stored = await write(path, file)
        await gate.wait()
        return stored

    job_id = await bench.submit()
    async with bench.drawer("late", ImageStore(Store(bench, put))) as late, bench.drawer("other") as other:
        drawing = asyncio.create_task(late.draw())

        async def has_stored() -> bool:
            return bench.stored(job_id) == [f"1/{n}.png" for n in (1, 2, 3, 4)]

        await until(has_stored)
        await bench.query("update job set lease_until = now() - interval '1 second' returning id")
        await bench.sweep()
        await other.draw()
        gate.set()
        await drawing
    await bench.check_result(job_id, attempt=2)


async def test_a_job_that_is_cancelled_while_its_images_are_stored_has_none(bench: Bench) -> None:
    async def put(path: str, file: bytes, write: Write) -> object:
        await bench.cancel(job_id)
        return await write(path, file)

    job_id = await bench.submit()
    async with bench.drawer("worker", ImageStore(Store(bench, put))) as drawer:
        await drawer.draw()
    assert (await bench.find(job_id)).status is Status.FAILED
    await bench.check_nothing_published(job_id)


async def test_what_a_store_has_not_kept_whole_is_not_published(bench: Bench) -> None:
    async def put(path: str, file: bytes, write: Write) -> object:
        return await write(path, file[:-1])

    job_id = await bench.submit()
    async with bench.drawer("worker", ImageStore(Store(bench, put)), max_attempts=1) as drawer:
        await drawer.draw()
    job = await bench.find(job_id)
    assert (job.status, job.error_code) == (Status.FAILED, ImagesNotStored.code)
    await bench.check_nothing_published(job_id)


async def test_a_store_that_is_away_for_a_moment_costs_nothing_but_time_though_the_lease_is_shorter(
    bench: Bench,
) -> None:
    outage = asyncio.Event()

    async def put(path: str, file: bytes, write: Write) -> object:
        if not outage.is_set():
            raise OSError
        return await write(path, file)

    job_id = await bench.submit()
    async with bench.drawer("worker", ImageStore(Store(bench, put)), lease_seconds=1) as drawer, bench.sweeping():
        drawing = asyncio.create_task(drawer.draw())
        await asyncio.sleep(3)  # the outage itself
        outage.set()
        await drawing
    await bench.check_result(job_id, attempt=1)


async def test_while_the_store_stays_away_nothing_is_drawn_in_vain(bench: Bench) -> None:
    bench.monkeypatch.setattr(job_runner, "_STORE_PATIENCE_SECONDS", 0)
    bench.monkeypatch.setattr(job_runner, "_STORE_CHECK_SECONDS", 0.05)
    async with bench.worker(max_attempts=2):
        await bench.ready()
        folder = bench.images_dir.rename(bench.images_dir.with_name("away"))
        bench.images_dir.write_text("in the way")
        jobs = [await bench.submit() for _ in range(3)]

        async def has_failed_once() -> bool:
            return bool(await bench.query("select from job where tries = 1 and status = 'queued'"))

        await until(has_failed_once)
        await asyncio.sleep(1)  # time for a dozen drawings
        assert [row["tries"] for row in await bench.query("select tries from job order by tries")] == [0, 0, 1]
        bench.images_dir.unlink()
        folder.rename(bench.images_dir)
        for job_id in jobs:
            assert (await bench.ended(job_id)).status is Status.COMPLETE


async def drawn_without_a_store(bench: Bench, then: Callable[[JobRunner, UUID], Awaitable[None]]) -> UUID:
    """A job whose images no store takes; `then` happens meanwhile, and is the end of the attempt."""
    tried = asyncio.Event()

    async def put(*_: object) -> object:
        tried.set()
        raise OSError

    job_id = await bench.submit()
    async with bench.drawer("worker", ImageStore(Store(bench, put))) as drawer, asyncio.timeout(15):
        drawing = asyncio.create_task(drawer.draw())
        await tried.wait()
        await then(drawer, job_id)
        await drawing
    return job_id


async def test_a_cancel_ends_the_wait_for_a_store_that_is_away(bench: Bench) -> None:
    async def cancel(_: JobRunner, job_id: UUID) -> None:
        await bench.cancel(job_id)

    await bench.check_nothing_published(await drawn_without_a_store(bench, cancel))


async def test_a_worker_that_must_stop_hands_back_a_job_whose_store_is_away(bench: Bench) -> None:
    async def stop(drawer: JobRunner, _: UUID) -> None:
        drawer.hand_back()

    job_id = await drawn_without_a_store(bench, stop)
    (row,) = await bench.query("select status, tries from job where id = %s", job_id)
    assert row == {"status": "queued", "tries": 0}


async def test_images_that_were_still_being_written_when_one_failed_are_removed_too(bench: Bench) -> None:
    written = []

    async def put(path: str, file: bytes, write: Write) -> object:
        if path.endswith("1.png"):
            raise OSError
        await asyncio.sleep(0.2)  # it is slow
        await write(path, file)
        written.append(path)
        return None

    async def has_written() -> bool:
        return len(written) == 3

    bench.monkeypatch.setattr(job_runner, "_STORE_PATIENCE_SECONDS", 0)

    job_id = await bench.submit()
    async with bench.drawer("worker", ImageStore(Store(bench, put)), max_attempts=1) as drawer:
        await drawer.draw()
        await until(has_written)
    assert (await bench.find(job_id)).error_code == ImagesNotStored.code
    await bench.check_nothing_published(job_id)


async def test_a_store_that_can_be_written_again_costs_no_more_than_the_attempts_before(bench: Bench) -> None:
    bench.images_dir.mkdir(parents=True)
    (bench.images_dir / "jobs").write_text("in the way")
    bench.monkeypatch.setattr(job_runner, "_STORE_PATIENCE_SECONDS", 0)
    async with bench.worker(max_attempts=2):
        job = await bench.ended(await bench.submit())
        (bench.images_dir / "jobs").unlink()
        following = await bench.submit()
        await bench.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, ImagesNotStored.code, 2)
    await bench.check_result(following, attempt=1)
