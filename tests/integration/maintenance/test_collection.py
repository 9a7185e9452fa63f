"""Rows and stored images are compared: images of no result are deleted, missing ones are noted, all else stays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from onbrand.jobs import attempts, retention, service
from onbrand.maintenance import Collected, Expired
from tests.integration.maintenance.harness import OWNER, PACK, RETENTION, MaintenanceHarness
from tests.rules import RULES

# --- rows and files --------------------------------------------------------------------------------------------------


async def test_files_of_attempts_that_are_not_the_result_are_deleted_and_results_stay(
    harness: MaintenanceHarness,
) -> None:
    first = await harness.claimed()
    await harness.store(first, hours_old=3)
    async with harness.clock.database.transaction() as connection:
        await attempts.give_back(connection, first)
        second = await attempts.claim(connection, first.job_id, "worker", pack=PACK, lease_seconds=45)
    assert second is not None
    await harness.publish(second, await harness.store(second, hours_old=3))
    failed = await harness.claimed()
    await harness.store(failed, hours_old=3)
    async with harness.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, failed.job_id, retention_hours=720)
    assert await harness.maintenance.collect() == Collected(deleted=8)
    assert sorted(path.name for path in harness.folder.rglob("*.png")) == ["1.png", "2.png", "3.png", "4.png"]
    assert harness.path(second.job_id, 2, 1).exists()


async def test_files_of_a_running_attempt_and_young_files_are_never_touched(harness: MaintenanceHarness) -> None:
    running = await harness.claimed()
    await harness.store(running, hours_old=30)
    cancelled = await harness.claimed()
    await harness.store(cancelled, hours_old=1)  # its worker may not have noticed the cancel yet
    async with harness.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, cancelled.job_id, retention_hours=720)
    assert await harness.maintenance.collect() == Collected()
    assert harness.files == 8


async def test_what_is_not_an_image_of_ours_is_never_touched(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete(hours_old=3)
    foreign = [
        "readme.txt",
        "packs/production/manifest.json",
        f"jobs/{job_id}/notes.txt",
        f"jobs/{job_id}/1/5.png",
        f"jobs/{job_id}/01/1.png",
        f"jobs/{str(job_id).upper()}/1/1.png",
        "jobs/not-a-job/1/1.png",
        f"jobs/{uuid4()}/1/1.jpg",
        f"old/jobs/{uuid4()}/1/1.png",
    ]
    for name in foreign:
        path = harness.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"somebody's")
        harness.age(path, 1000)
    assert await harness.maintenance.collect(confirmed=True) == Collected()
    await harness.clock.move(RETENTION)
    assert await harness.maintenance.expire() == Expired(deleted=1)
    assert all((harness.folder / name).read_bytes() == b"somebody's" for name in foreign)


async def test_images_without_a_job_are_deleted_when_they_are_few(harness: MaintenanceHarness) -> None:
    for _ in range(10):
        await harness.complete(hours_old=3)
    stray = harness.path(uuid4(), 1, 1)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    harness.age(stray, 3)
    assert await harness.maintenance.collect() == Collected(deleted=1)
    assert harness.files == 40


async def test_with_the_wrong_database_no_image_is_deleted_until_somebody_confirms(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        await harness.complete(hours_old=3)
    # Like a database that was restored from last month's backup, or that belongs to another installation.
    await harness.query("delete from job returning id")
    with caplog.at_level(logging.ERROR):
        assert await harness.maintenance.collect() == Collected(held=True)
    assert [record.action for record in caplog.records] == ["collect_held"]  # type: ignore[attr-defined]
    assert harness.files == 20
    assert (await harness.query("select collection_held_since from upkeep"))[0]["collection_held_since"] is not None
    assert await harness.maintenance.collect(confirmed=True) == Collected(deleted=20)
    assert (await harness.query("select collection_held_since from upkeep"))[0]["collection_held_since"] is None


async def test_half_written_files_are_deleted_once_they_are_old(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete(hours_old=3)
    old, young = (harness.path(job_id, 1, 1).with_name(f"{n}.png#7") for n in (1, 2))
    for path, hours in ((old, 3), (young, 0)):
        path.write_bytes(b"half")
        harness.age(path, hours)
    assert await harness.maintenance.collect() == Collected(leftovers=1)
    assert (old.exists(), young.exists()) == (False, True)


async def test_probes_that_a_killed_process_left_are_deleted_once_they_are_old(harness: MaintenanceHarness) -> None:
    old, young, foreign = (harness.folder / "checks" / name for name in (str(uuid4()), str(uuid4()), "notes"))
    old.parent.mkdir(parents=True)
    for path, hours in ((old, 3), (young, 0), (foreign, 3)):
        path.write_bytes(b"onbrand")
        harness.age(path, hours)
    assert await harness.maintenance.collect() == Collected(leftovers=1)
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


async def test_a_published_image_that_the_store_lost_is_flagged_until_it_is_back(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await harness.complete(hours_old=3)
    await harness.complete()
    path = harness.path(job_id, 1, 3)
    whole = path.read_bytes()
    path.unlink()
    await harness.clock.move(timedelta(hours=3))
    with caplog.at_level(logging.ERROR):
        assert await harness.maintenance.collect() == Collected(missing=1)
    (line,) = caplog.records
    assert (line.action, line.job_id) == ("image_missing", str(job_id))  # type: ignore[attr-defined]
    missing = await harness.query("select job_id, n from image where missing_since is not null")
    assert missing == [{"job_id": job_id, "n": 3}]
    path.write_bytes(whole)
    assert await harness.maintenance.collect() == Collected()
    assert await harness.query("select from image where missing_since is not null") == []


async def test_a_lost_image_is_found_however_young_it_is(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete()
    harness.path(job_id, 1, 2).unlink()
    assert await harness.maintenance.collect() == Collected(missing=1)


async def test_a_job_that_completes_while_the_store_is_compared_is_not_touched(harness: MaintenanceHarness) -> None:
    held = await harness.claimed()
    stored = await harness.store(held, hours_old=3)
    listing = harness.images.stored

    async def stored_then_published() -> AsyncIterator[Any]:
        async for batch in listing():
            await harness.publish(held, stored)
            yield batch

    harness.images.stored = stored_then_published  # type: ignore[method-assign]
    assert await harness.maintenance.collect() == Collected()
    assert harness.files == 4


async def test_the_rounds_of_the_service_delete_what_is_due(harness: MaintenanceHarness) -> None:
    await harness.complete()
    orphan = await harness.claimed()
    await harness.store(orphan, hours_old=3)
    async with harness.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, orphan.job_id, retention_hours=RULES.retention_hours)
    await harness.clock.move(RETENTION)
    running = asyncio.create_task(harness.maintenance.run())
    try:
        async with asyncio.timeout(20):
            while await harness.jobs() or harness.files:
                await asyncio.sleep(0.05)
            while (await harness.query("select collected_at from upkeep"))[0]["collected_at"] is None:
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_of_many_processes_one_makes_the_comparison_every_six_hours(harness: MaintenanceHarness) -> None:

    async def may() -> bool:
        async with harness.clock.database.transaction() as connection:
            return await retention.start_collection(connection, 6)

    assert sorted(await asyncio.gather(*(may() for _ in range(5)))) == [False, False, False, False, True]
    await harness.clock.move(timedelta(hours=5))
    assert not await may()
    await harness.clock.move(timedelta(hours=2))
    assert await may()
    await harness.clock.set(datetime.now(UTC) - timedelta(days=9))  # the clock was wrong before
    assert await may()
