"""Deletion after the retention time, with a clock that a test moves and real files: due jobs go, nothing else goes."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

import pytest

from onbrand.errors import JobExpired
from onbrand.jobs import attempts, retention
from onbrand.maintenance import Expired
from tests.integration.maintenance.harness import RETENTION, MaintenanceHarness

# --- the retention time ----------------------------------------------------------------------------------------------


async def test_a_job_is_there_until_exactly_720_hours_have_passed(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete()
    (row,) = await harness.query("select completed_at, expires_at from job")
    assert row["expires_at"] - row["completed_at"] == RETENTION
    await harness.clock.set(row["expires_at"] - timedelta(seconds=1))
    assert (await harness.find(job_id)).id == job_id
    for late in (timedelta(0), timedelta(seconds=1), timedelta(days=1)):
        await harness.clock.set(row["expires_at"] + late)
        with pytest.raises(JobExpired):
            await harness.find(job_id)


@pytest.mark.parametrize(
    ("zone", "completed"),
    [
        ("Europe/Berlin", "2026-03-15T12:00:00+00:00"),  # summer time begins within the 30 days
        ("Europe/Berlin", "2026-10-10T12:00:00+00:00"),  # and ends
        ("Pacific/Apia", "2028-02-10T12:00:00+00:00"),  # a leap day
        ("America/New_York", "2026-12-20T12:00:00+00:00"),  # the year ends
    ],
)
async def test_720_hours_are_720_hours_in_every_time_zone_and_season(
    harness: MaintenanceHarness, zone: str, completed: str
) -> None:
    await harness.clock.set(datetime.fromisoformat(completed))
    held = await harness.claimed()
    stored = await harness.store(held)
    async with harness.clock.database.transaction() as connection:
        await connection.execute("select set_config('timezone', %s, true)", [zone])
        await attempts.publish(connection, held, stored, prompt_ignored=0, retention_hours=720)
    (row,) = await harness.query("select completed_at, expires_at from job")
    assert row["expires_at"] - row["completed_at"] == RETENTION


async def test_what_is_due_is_physically_gone_and_only_its_owner_learns_that_it_was_there(
    harness: MaintenanceHarness,
) -> None:
    old, failed = await harness.complete(), await harness.failed()
    await harness.clock.move(timedelta(hours=1))
    young = await harness.complete()
    await harness.clock.move(RETENTION - timedelta(minutes=30))
    assert await harness.maintenance.expire() == Expired(deleted=2)
    assert [row["id"] for row in await harness.query("select id from job")] == [young]
    assert (harness.files, len(await harness.query("select from image"))) == (4, 4)
    assert not (harness.folder / "jobs" / str(old)).exists()
    for job_id in (old, failed):
        with pytest.raises(JobExpired):
            await harness.find(job_id)
    (told,) = await harness.query("select * from expired_job where id = %s", old)
    assert set(told) == {"id", "tenant_id", "user_id", "expired_at"}  # neither prompt nor picture
    counted = await harness.query("select sum(complete) as complete, sum(failed) as failed from day_count")
    assert counted == [{"complete": 1, "failed": 1}]
    assert await harness.maintenance.expire() == Expired()


async def test_what_tells_of_a_deleted_job_is_deleted_after_another_90_days(harness: MaintenanceHarness) -> None:
    await harness.complete()
    await harness.clock.move(RETENTION)
    await harness.maintenance.expire()
    await harness.clock.move(timedelta(days=89))
    await harness.maintenance.expire()
    assert len(await harness.query("select from expired_job")) == 1
    await harness.clock.move(timedelta(days=2))
    await harness.maintenance.expire()
    assert await harness.query("select from expired_job") == []


@pytest.mark.parametrize("files_left", [0, 1, 2, 3])
async def test_a_deletion_that_was_killed_half_way_is_ended_by_the_next(
    harness: MaintenanceHarness, files_left: int
) -> None:
    job_id = await harness.complete()
    await harness.clock.move(RETENTION)
    await harness.query("update job set expiring_at = now() returning id")
    for n in range(files_left + 1, 5):
        harness.path(job_id, 1, n).unlink()
    assert await harness.maintenance.expire() == Expired()  # the process that marked it may still be deleting it
    await harness.clock.move(timedelta(minutes=11))
    assert await harness.maintenance.expire() == Expired(deleted=1)
    assert (await harness.jobs(), harness.files) == (0, 0)


async def test_with_the_store_away_a_due_job_is_unreachable_and_deleted_when_it_is_back(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await harness.complete()
    await harness.clock.move(RETENTION)
    harness.images.answers = 0
    assert await harness.maintenance.expire() == Expired(unfinished=1)
    caplog.clear()
    assert (await harness.jobs(), harness.files) == (1, 4)
    with pytest.raises(JobExpired):
        await harness.find(job_id)
    await harness.clock.move(timedelta(hours=25))
    with caplog.at_level(logging.ERROR):
        await harness.maintenance.expire()
    assert [record.action for record in caplog.records] == ["expire_overdue"]  # type: ignore[attr-defined]
    harness.images.answers = 10
    await harness.clock.move(timedelta(minutes=11))
    assert await harness.maintenance.expire() == Expired(deleted=1)
    assert (await harness.jobs(), harness.files) == (0, 0)


async def test_a_clock_that_goes_back_brings_nothing_back(harness: MaintenanceHarness) -> None:
    begun, gone = await harness.complete(), await harness.complete()
    await harness.clock.move(RETENTION)
    harness.images.answers = 1
    assert await harness.maintenance.expire() == Expired(deleted=1, unfinished=1)
    await harness.clock.move(timedelta(days=-5))
    for job_id in (begun, gone):
        with pytest.raises(JobExpired):
            await harness.find(job_id)
    harness.images.answers = 10
    assert await harness.maintenance.expire() == Expired(deleted=1)  # a deletion that was begun is ended
    assert (await harness.jobs(), harness.files) == (0, 0)


async def test_only_a_job_whose_deletion_has_begun_is_deleted(harness: MaintenanceHarness) -> None:
    job_id = await harness.complete()
    await harness.clock.move(RETENTION)
    async with harness.clock.database.transaction() as connection:
        await retention.delete_row(connection, job_id)
    assert (await harness.jobs(), harness.files) == (1, 4)


async def test_two_deletions_at_once_delete_each_job_once(harness: MaintenanceHarness) -> None:
    for _ in range(30):
        await harness.complete()
    await harness.clock.move(RETENTION)
    outcomes = await asyncio.gather(*(harness.maintenance.expire() for _ in range(3)))
    assert (sum(outcome.deleted for outcome in outcomes), harness.files) == (30, 0)
    assert await harness.query("select sum(complete) as complete from day_count") == [{"complete": 30}]


async def test_a_thousand_due_jobs_go_in_batches(harness: MaintenanceHarness) -> None:
    await many(harness, 1000)
    await harness.clock.move(RETENTION)
    assert await harness.maintenance.expire(confirmed=True) == Expired(deleted=1000)
    assert await harness.jobs() == 0


# --- a deletion that is held back ------------------------------------------------------------------------------------


async def many(harness: MaintenanceHarness, jobs: int) -> None:
    """Make so many failed jobs that ended at the same time."""
    await harness.query(
        "insert into job (id, tenant_id, user_id, prompt, seed, seeds, status, error_code, completed_at, expires_at)"
        " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a cup', 1, '{1,2,3,4}', 'failed',"
        " 'cancelled', now(), now() + interval '720 hours' from generate_series(1, %s) returning id",
        jobs,
    )


async def test_a_clock_that_jumps_a_year_ahead_deletes_nothing_and_all_is_back_once_it_is_right(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await harness.complete()
    await many(harness, 150)
    await harness.clock.move(timedelta(days=365))
    with caplog.at_level(logging.ERROR):
        assert await harness.maintenance.expire() == Expired(held=True)
    assert [record.action for record in caplog.records] == ["expire_held"]  # type: ignore[attr-defined]
    with pytest.raises(JobExpired):
        await harness.find(job_id)
    await harness.clock.move(timedelta(days=-365))
    assert await harness.maintenance.expire() == Expired()
    assert (await harness.find(job_id)).id == job_id
    assert await harness.query("select retention_held_since from upkeep") == [{"retention_held_since": None}]


async def test_a_deletion_that_is_held_happens_within_the_promised_day(harness: MaintenanceHarness) -> None:
    await many(harness, 150)
    await harness.clock.move(RETENTION)
    assert await harness.maintenance.expire() == Expired(held=True)
    await harness.clock.move(timedelta(hours=11))
    assert await harness.maintenance.expire() == Expired(held=True)
    await harness.clock.move(timedelta(hours=2))
    assert await harness.maintenance.expire() == Expired(deleted=150)


async def test_a_deletion_that_is_confirmed_happens_at_once(harness: MaintenanceHarness) -> None:
    await many(harness, 150)
    await harness.clock.move(RETENTION)
    assert await harness.maintenance.expire(confirmed=True) == Expired(deleted=150)


async def test_a_busy_studios_daily_deletions_are_not_held(harness: MaintenanceHarness) -> None:
    await many(harness, 200)
    await harness.clock.move(timedelta(days=1))
    await many(harness, 250)
    await harness.clock.move(RETENTION - timedelta(hours=1))
    assert await harness.maintenance.expire() == Expired(deleted=200)


async def test_the_log_names_each_job_that_is_deleted(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await harness.complete()
    await harness.clock.move(RETENTION)
    with caplog.at_level(logging.INFO):
        await harness.maintenance.expire()
    told = [line for line in caplog.records if getattr(line, "action", "") == "delete_job"]
    assert [getattr(line, "job_id", None) for line in told] == [str(job_id)]
