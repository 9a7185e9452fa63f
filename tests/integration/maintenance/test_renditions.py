"""Renditions live and die with their pictures: compared, read, collected and deleted as the PNGs are."""

from __future__ import annotations

from datetime import timedelta

from onbrand.jobs import service
from onbrand.maintenance import Collected, Expired, Scrubbed
from tests.integration.maintenance.harness import OWNER, RETENTION, MaintenanceHarness


async def test_a_lost_rendition_is_found_and_a_picture_without_one_is_whole(harness: MaintenanceHarness) -> None:
    await harness.complete()
    job_id = await harness.complete(with_renditions=True)
    path = harness.rendition_path(job_id, 1, 3)
    whole = path.read_bytes()
    path.unlink()
    assert await harness.maintenance.collect() == Collected(missing=1)
    missing = await harness.query("select job_id, n from image where missing_since is not null")
    assert missing == [{"job_id": job_id, "n": 3}]
    path.write_bytes(whole)
    assert await harness.maintenance.collect() == Collected()
    assert await harness.query("select from image where missing_since is not null") == []


async def test_one_changed_byte_of_a_rendition_is_found(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete(with_renditions=True)
    path = harness.rendition_path(job_id, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert await harness.maintenance.read_all() == Scrubbed(read=4, damaged=1)
    damaged = await harness.query("select n from image where damaged_since is not null")
    assert damaged == [{"n": 2}]


async def test_renditions_of_no_result_are_deleted_and_those_of_a_result_stay(harness: MaintenanceHarness) -> None:
    kept = await harness.complete(hours_old=3, with_renditions=True)
    failed = await harness.claimed()
    await harness.store(failed, hours_old=3, with_renditions=True)
    async with harness.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, failed.job_id, retention_hours=720)
    assert await harness.maintenance.collect() == Collected(deleted=8)
    assert harness.files == 8
    assert harness.rendition_path(kept, 1, 4).exists()


async def test_a_half_written_rendition_is_deleted_once_it_is_old(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete(hours_old=3, with_renditions=True)
    half = harness.rendition_path(job_id, 1, 1).with_name("1-512.webp#3")
    half.write_bytes(b"half")
    harness.age(half, 3)
    assert await harness.maintenance.collect() == Collected(leftovers=1)


async def test_renditions_go_with_their_job_when_its_time_is_over(harness: MaintenanceHarness) -> None:
    await harness.complete(with_renditions=True)
    await harness.clock.move(RETENTION + timedelta(seconds=1))
    assert await harness.maintenance.expire() == Expired(deleted=1)
    assert harness.files == 0
