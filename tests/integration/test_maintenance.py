"""Retention and collection on a real PostgreSQL whose clock is moved, with real files: gone in time, nothing else."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from onbrand.config import Settings
from onbrand.errors import ImageStoreUnavailable, JobExpired
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, retention, service
from onbrand.jobs.models import Claim, Job, Owner, Pack, StoredImage, image_key
from onbrand.maintenance import Collected, Expired, Maintenance
from tests.clock import Clock
from tests.rules import LIMITS, RULES

OWNER = Owner(uuid4(), uuid4())
PACK = Pack("a" * 64, "Sample brand", "1")
RETENTION = timedelta(hours=720)


class FaultyStore(ImageStore):
    """The store's double, the outer edge: it stops answering after so many deletions."""

    answers = 1_000_000

    async def delete_job(self, job_id: UUID) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise ImageStoreUnavailable
        await super().delete_job(job_id)


@dataclass
class Studio:
    """A database with a clock, and the store that belongs to it."""

    clock: Clock
    images: FaultyStore
    folder: Path
    upkeep: Maintenance

    async def query(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.clock.database.transaction() as connection:
            cursor = await connection.execute(statement, list(arguments))
            return await cursor.fetchall()

    async def now(self) -> datetime:
        at: datetime = (await self.query("select now() as at"))[0]["at"]
        return at

    async def claimed(self) -> Claim:
        async with self.clock.database.transaction() as connection:
            submitted = await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)
            held = await attempts.claim(connection, submitted.job_id, "worker", pack=PACK, lease_seconds=45)
        assert held is not None
        return held

    async def store(self, held: Claim, *, hours_old: float = 0) -> list[StoredImage]:
        """Write the four files of an attempt."""
        stored = [await self.images.put(held.job_id, held.attempt, n, os.urandom(64)) for n in (1, 2, 3, 4)]
        for n in (1, 2, 3, 4):
            self.age(self.path(held.job_id, held.attempt, n), hours_old)
        return stored

    async def publish(self, held: Claim, images: list[StoredImage]) -> None:
        async with self.clock.database.transaction() as connection:
            assert await attempts.publish(connection, held, images, prompt_ignored=0, retention_hours=720)

    async def complete(self, *, hours_old: float = 0) -> UUID:
        """A complete job with its four files."""
        held = await self.claimed()
        await self.publish(held, await self.store(held, hours_old=hours_old))
        return held.job_id

    async def failed(self) -> UUID:
        held = await self.claimed()
        async with self.clock.database.transaction() as connection:
            await service.cancel(connection, OWNER, held.job_id, retention_hours=720)
        return held.job_id

    async def find(self, job_id: UUID) -> Job:
        async with self.clock.database.transaction() as connection:
            return await service.find(connection, OWNER, job_id)

    def path(self, job_id: UUID, attempt: int, n: int) -> Path:
        return self.folder / image_key(job_id, attempt, n)

    def age(self, path: Path, hours: float) -> None:
        at = time.time() - hours * 3600
        os.utime(path, (at, at))

    @property
    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))

    async def jobs(self) -> int:
        return len(await self.query("select from job"))


@pytest.fixture
async def studio(clock: Clock, settings: Settings, tmp_path: Path) -> Studio:
    folder = tmp_path / "images"
    images = FaultyStore.on_disk(folder)
    assert isinstance(images, FaultyStore)
    return Studio(clock, images, folder, Maintenance(settings, clock.database, images))


# --- the retention time ----------------------------------------------------------------------------------------------


async def test_a_job_is_there_until_exactly_720_hours_have_passed(studio: Studio) -> None:
    job_id = await studio.complete()
    (row,) = await studio.query("select completed_at, expires_at from job")
    assert row["expires_at"] - row["completed_at"] == RETENTION
    await studio.clock.set(row["expires_at"] - timedelta(seconds=1))
    assert (await studio.find(job_id)).id == job_id
    for late in (timedelta(0), timedelta(seconds=1), timedelta(days=1)):
        await studio.clock.set(row["expires_at"] + late)
        with pytest.raises(JobExpired):
            await studio.find(job_id)


@pytest.mark.parametrize(
    ("zone", "completed"),
    [
        ("Europe/Berlin", "2026-03-15T12:00:00+00:00"),  # summer time begins within the 30 days
        ("Europe/Berlin", "2026-10-10T12:00:00+00:00"),  # and ends
        ("Pacific/Apia", "2028-02-10T12:00:00+00:00"),  # a leap day
        ("America/New_York", "2026-12-20T12:00:00+00:00"),  # the year ends
    ],
)
async def test_720_hours_are_720_hours_in_every_time_zone_and_season(studio: Studio, zone: str, completed: str) -> None:
    await studio.clock.set(datetime.fromisoformat(completed))
    held = await studio.claimed()
    stored = await studio.store(held)
    async with studio.clock.database.transaction() as connection:
        await connection.execute("select set_config('timezone', %s, true)", [zone])
        await attempts.publish(connection, held, stored, prompt_ignored=0, retention_hours=720)
    (row,) = await studio.query("select completed_at, expires_at from job")
    assert row["expires_at"] - row["completed_at"] == RETENTION


async def test_what_is_due_is_physically_gone_and_only_its_owner_learns_that_it_was_there(studio: Studio) -> None:
    old, failed = await studio.complete(), await studio.failed()
    await studio.clock.move(timedelta(hours=1))
    young = await studio.complete()
    await studio.clock.move(RETENTION - timedelta(minutes=30))
    assert await studio.upkeep.expire() == Expired(deleted=2)
    assert [row["id"] for row in await studio.query("select id from job")] == [young]
    assert (studio.files, len(await studio.query("select from image"))) == (4, 4)
    assert not (studio.folder / "jobs" / str(old)).exists()
    for job_id in (old, failed):
        with pytest.raises(JobExpired):
            await studio.find(job_id)
    (told,) = await studio.query("select * from expired_job where id = %s", old)
    assert set(told) == {"id", "tenant_id", "user_id", "expired_at"}  # neither prompt nor picture
    counted = await studio.query("select sum(complete) as complete, sum(failed) as failed from day_count")
    assert counted == [{"complete": 1, "failed": 1}]
    assert await studio.upkeep.expire() == Expired()


async def test_what_tells_of_a_deleted_job_is_deleted_after_another_90_days(studio: Studio) -> None:
    await studio.complete()
    await studio.clock.move(RETENTION)
    await studio.upkeep.expire()
    await studio.clock.move(timedelta(days=89))
    await studio.upkeep.expire()
    assert len(await studio.query("select from expired_job")) == 1
    await studio.clock.move(timedelta(days=2))
    await studio.upkeep.expire()
    assert await studio.query("select from expired_job") == []


@pytest.mark.parametrize("files_left", [0, 1, 2, 3])
async def test_a_deletion_that_was_killed_half_way_is_ended_by_the_next(studio: Studio, files_left: int) -> None:
    job_id = await studio.complete()
    await studio.clock.move(RETENTION)
    await studio.query("update job set expiring_at = now() returning id")
    for n in range(files_left + 1, 5):
        studio.path(job_id, 1, n).unlink()
    assert await studio.upkeep.expire() == Expired()  # whoever marked it may still be at it
    await studio.clock.move(timedelta(minutes=11))
    assert await studio.upkeep.expire() == Expired(deleted=1)
    assert (await studio.jobs(), studio.files) == (0, 0)


async def test_with_the_store_away_a_due_job_is_unreachable_and_deleted_when_it_is_back(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await studio.complete()
    await studio.clock.move(RETENTION)
    studio.images.answers = 0
    assert await studio.upkeep.expire() == Expired(unfinished=1)
    caplog.clear()
    assert (await studio.jobs(), studio.files) == (1, 4)
    with pytest.raises(JobExpired):
        await studio.find(job_id)
    await studio.clock.move(timedelta(hours=25))
    with caplog.at_level(logging.ERROR):
        await studio.upkeep.expire()
    assert [record.action for record in caplog.records] == ["expire_overdue"]  # type: ignore[attr-defined]
    studio.images.answers = 10
    await studio.clock.move(timedelta(minutes=11))
    assert await studio.upkeep.expire() == Expired(deleted=1)
    assert (await studio.jobs(), studio.files) == (0, 0)


async def test_a_clock_that_goes_back_brings_nothing_back(studio: Studio) -> None:
    begun, gone = await studio.complete(), await studio.complete()
    await studio.clock.move(RETENTION)
    studio.images.answers = 1
    assert await studio.upkeep.expire() == Expired(deleted=1, unfinished=1)
    await studio.clock.move(timedelta(days=-5))
    for job_id in (begun, gone):
        with pytest.raises(JobExpired):
            await studio.find(job_id)
    studio.images.answers = 10
    assert await studio.upkeep.expire() == Expired(deleted=1)  # what was begun is ended
    assert (await studio.jobs(), studio.files) == (0, 0)


async def test_only_a_job_whose_deletion_has_begun_is_deleted(studio: Studio) -> None:
    job_id = await studio.complete()
    await studio.clock.move(RETENTION)
    async with studio.clock.database.transaction() as connection:
        await retention.finish(connection, job_id)
    assert (await studio.jobs(), studio.files) == (1, 4)


async def test_two_deletions_at_once_delete_each_job_once(studio: Studio) -> None:
    for _ in range(30):
        await studio.complete()
    await studio.clock.move(RETENTION)
    outcomes = await asyncio.gather(*(studio.upkeep.expire() for _ in range(3)))
    assert (sum(outcome.deleted for outcome in outcomes), studio.files) == (30, 0)
    assert await studio.query("select sum(complete) as complete from day_count") == [{"complete": 30}]


async def test_a_thousand_due_jobs_go_in_batches(studio: Studio) -> None:
    await many(studio, 1000)
    await studio.clock.move(RETENTION)
    assert await studio.upkeep.expire(confirmed=True) == Expired(deleted=1000)
    assert await studio.jobs() == 0


# --- the brake -------------------------------------------------------------------------------------------------------


async def many(studio: Studio, jobs: int) -> None:
    """So many failed jobs, all at once."""
    await studio.query(
        "insert into job (id, tenant_id, user_id, prompt, seed, seeds, status, error_code, completed_at, expires_at)"
        " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a cup', 1, '{1,2,3,4}', 'failed',"
        " 'cancelled', now(), now() + interval '720 hours' from generate_series(1, %s) returning id",
        jobs,
    )


async def test_a_clock_that_jumps_a_year_ahead_deletes_nothing_and_all_is_back_once_it_is_right(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await studio.complete()
    await many(studio, 150)
    await studio.clock.move(timedelta(days=365))
    with caplog.at_level(logging.ERROR):
        assert await studio.upkeep.expire() == Expired(held=True)
    assert [record.action for record in caplog.records] == ["expire_held"]  # type: ignore[attr-defined]
    with pytest.raises(JobExpired):
        await studio.find(job_id)
    await studio.clock.move(timedelta(days=-365))
    assert await studio.upkeep.expire() == Expired()
    assert (await studio.find(job_id)).id == job_id
    assert await studio.query("select retention_held_since from upkeep") == [{"retention_held_since": None}]


async def test_a_deletion_that_is_held_happens_within_the_promised_day(studio: Studio) -> None:
    await many(studio, 150)
    await studio.clock.move(RETENTION)
    assert await studio.upkeep.expire() == Expired(held=True)
    await studio.clock.move(timedelta(hours=11))
    assert await studio.upkeep.expire() == Expired(held=True)
    await studio.clock.move(timedelta(hours=2))
    assert await studio.upkeep.expire() == Expired(deleted=150)


async def test_a_deletion_that_is_confirmed_happens_at_once(studio: Studio) -> None:
    await many(studio, 150)
    await studio.clock.move(RETENTION)
    assert await studio.upkeep.expire(confirmed=True) == Expired(deleted=150)


async def test_a_busy_studios_daily_deletions_are_not_held(studio: Studio) -> None:
    await many(studio, 200)
    await studio.clock.move(timedelta(days=1))
    await many(studio, 250)
    await studio.clock.move(RETENTION - timedelta(hours=1))
    assert await studio.upkeep.expire() == Expired(deleted=200)


# --- rows and files --------------------------------------------------------------------------------------------------


async def test_files_of_attempts_that_are_not_the_result_are_deleted_and_results_stay(studio: Studio) -> None:
    first = await studio.claimed()
    await studio.store(first, hours_old=3)
    async with studio.clock.database.transaction() as connection:
        await attempts.give_back(connection, first)
        second = await attempts.claim(connection, first.job_id, "worker", pack=PACK, lease_seconds=45)
    assert second is not None
    await studio.publish(second, await studio.store(second, hours_old=3))
    failed = await studio.claimed()
    await studio.store(failed, hours_old=3)
    async with studio.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, failed.job_id, retention_hours=720)
    assert await studio.upkeep.collect() == Collected(deleted=8)
    assert sorted(path.name for path in studio.folder.rglob("*.png")) == ["1.png", "2.png", "3.png", "4.png"]
    assert studio.path(second.job_id, 2, 1).exists()


async def test_files_of_a_running_attempt_and_young_files_are_never_touched(studio: Studio) -> None:
    running = await studio.claimed()
    await studio.store(running, hours_old=30)
    cancelled = await studio.claimed()
    await studio.store(cancelled, hours_old=1)  # its worker may not have noticed yet
    async with studio.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, cancelled.job_id, retention_hours=720)
    assert await studio.upkeep.collect() == Collected()
    assert studio.files == 8


async def test_what_is_not_an_image_of_ours_is_never_touched(studio: Studio) -> None:
    job_id = await studio.complete(hours_old=3)
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
        path = studio.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"somebody's")
        studio.age(path, 1000)
    assert await studio.upkeep.collect(confirmed=True) == Collected()
    await studio.clock.move(RETENTION)
    assert await studio.upkeep.expire() == Expired(deleted=1)
    assert all((studio.folder / name).read_bytes() == b"somebody's" for name in foreign)


async def test_images_without_a_job_are_deleted_when_they_are_few(studio: Studio) -> None:
    for _ in range(10):
        await studio.complete(hours_old=3)
    stray = studio.path(uuid4(), 1, 1)
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    studio.age(stray, 3)
    assert await studio.upkeep.collect() == Collected(deleted=1)
    assert studio.files == 40


async def test_with_the_wrong_database_no_image_is_deleted_until_somebody_confirms(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        await studio.complete(hours_old=3)
    await studio.query("delete from job returning id")  # as a database restored from last month, or another studio's
    with caplog.at_level(logging.ERROR):
        assert await studio.upkeep.collect() == Collected(held=True)
    assert [record.action for record in caplog.records] == ["collect_held"]  # type: ignore[attr-defined]
    assert studio.files == 20
    assert (await studio.query("select collection_held_since from upkeep"))[0]["collection_held_since"] is not None
    assert await studio.upkeep.collect(confirmed=True) == Collected(deleted=20)
    assert (await studio.query("select collection_held_since from upkeep"))[0]["collection_held_since"] is None


async def test_half_written_files_are_deleted_once_they_are_old(studio: Studio) -> None:
    job_id = await studio.complete(hours_old=3)
    old, young = (studio.path(job_id, 1, 1).with_name(f"{n}.png#7") for n in (1, 2))
    for path, hours in ((old, 3), (young, 0)):
        path.write_bytes(b"half")
        studio.age(path, hours)
    assert await studio.upkeep.collect() == Collected(leftovers=1)
    assert (old.exists(), young.exists()) == (False, True)


async def test_probes_that_a_killed_process_left_are_deleted_once_they_are_old(studio: Studio) -> None:
    old, young, foreign = (studio.folder / "checks" / name for name in (str(uuid4()), str(uuid4()), "notes"))
    old.parent.mkdir(parents=True)
    for path, hours in ((old, 3), (young, 0), (foreign, 3)):
        path.write_bytes(b"onbrand")
        studio.age(path, hours)
    assert await studio.upkeep.collect() == Collected(leftovers=1)
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


async def test_a_published_image_that_the_store_lost_is_flagged_until_it_is_back(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await studio.complete(hours_old=3)
    await studio.complete()
    path = studio.path(job_id, 1, 3)
    whole = path.read_bytes()
    path.unlink()
    await studio.clock.move(timedelta(hours=3))
    with caplog.at_level(logging.ERROR):
        assert await studio.upkeep.collect() == Collected(missing=1)
    (line,) = caplog.records
    assert (line.action, line.job_id) == ("image_missing", str(job_id))  # type: ignore[attr-defined]
    missing = await studio.query("select job_id, n from image where missing_since is not null")
    assert missing == [{"job_id": job_id, "n": 3}]
    path.write_bytes(whole)
    assert await studio.upkeep.collect() == Collected()
    assert await studio.query("select from image where missing_since is not null") == []


async def test_a_job_that_completes_while_the_store_is_compared_is_not_touched(studio: Studio) -> None:
    held = await studio.claimed()
    stored = await studio.store(held, hours_old=3)
    listing = studio.images.stored

    async def stored_then_published() -> AsyncIterator[Any]:
        async for batch in listing():
            await studio.publish(held, stored)
            yield batch

    studio.images.stored = stored_then_published  # type: ignore[method-assign]
    assert await studio.upkeep.collect() == Collected()
    assert studio.files == 4


async def test_the_rounds_of_the_service_delete_what_is_due(studio: Studio) -> None:
    await studio.complete()
    orphan = await studio.claimed()
    await studio.store(orphan, hours_old=3)
    async with studio.clock.database.transaction() as connection:
        await service.cancel(connection, OWNER, orphan.job_id, retention_hours=RULES.retention_hours)
    await studio.clock.move(RETENTION)
    running = asyncio.create_task(studio.upkeep.run())
    try:
        async with asyncio.timeout(20):
            while await studio.jobs() or studio.files:
                await asyncio.sleep(0.05)
            while (await studio.query("select collected_at from upkeep"))[0]["collected_at"] is None:
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_comparison_is_made_by_one_of_many_every_six_hours(studio: Studio) -> None:
    from onbrand.jobs import retention

    async def may() -> bool:
        async with studio.clock.database.transaction() as connection:
            return await retention.may_collect(connection, 6)

    assert sorted(await asyncio.gather(*(may() for _ in range(5)))) == [False, False, False, False, True]
    await studio.clock.move(timedelta(hours=5))
    assert not await may()
    await studio.clock.move(timedelta(hours=2))
    assert await may()
    await studio.clock.set(datetime.now(UTC) - timedelta(days=9))  # the clock was wrong before
    assert await may()
