"""Usage records on a real PostgreSQL whose clock a test moves: each job counts once, no prompt, not for ever."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from onbrand.config import Settings
from onbrand.errors import Cancelled, ModelFailed
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, service, usage
from onbrand.jobs.models import IMAGES_PER_JOB, Claim, Owner, Pack, StoredImage
from onbrand.jobs.usage import Remark, Usage
from onbrand.maintenance import Maintenance
from tests.clock import Clock
from tests.rules import LIMITS, RULES

PROMPT = "a teapot canary7f3a91"
PACK = Pack("a" * 64, "Sample brand", "1")
IMAGES = [StoredImage(n, "0" * 64, 1) for n in range(1, IMAGES_PER_JOB + 1)]
RETENTION = timedelta(hours=720)
_WAITING = (
    "locktype = 'advisory' and not granted"
    " and database = (select oid from pg_database where datname = current_database())"
)
TABLES = ("sign_in_day", "past_run", "question")


@dataclass
class UsageHarness:
    """A database with a clock, its maintenance, and one person, Anna."""

    clock: Clock
    maintenance: Maintenance
    anna: Owner

    async def query(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.clock.database.transaction() as connection:
            cursor = await connection.execute(statement, list(arguments))
            return await cursor.fetchall() if cursor.description is not None else []

    async def submit(self, prompt: str = PROMPT, owner: Owner | None = None) -> UUID:
        async with self.clock.database.transaction() as connection:
            submitted = await service.submit(
                connection, owner or self.anna, prompt, idempotency_key=None, limits=LIMITS
            )
        return submitted.job_id

    async def claim(self, job_id: UUID) -> Claim:
        async with self.clock.database.transaction() as connection:
            held = await attempts.claim(connection, job_id, "worker", pack=PACK, lease_seconds=45)
        assert held is not None
        return held

    async def publish(self, held: Claim) -> bool:
        async with self.clock.database.transaction() as connection:
            return await attempts.publish(connection, held, IMAGES, prompt_ignored=0, retention_hours=720)

    async def complete(self, prompt: str = PROMPT, owner: Owner | None = None, *, seconds: float = 0) -> UUID:
        """Make a complete job that took so many seconds from submission to result."""
        job_id = await self.submit(prompt, owner)
        held = await self.claim(job_id)
        await self.clock.move(timedelta(seconds=seconds))
        assert await self.publish(held)
        return job_id

    async def fail(self, job_id: UUID) -> None:
        held = await self.claim(job_id)
        async with self.clock.database.transaction() as connection:
            await connection.execute("update job set tries = %s where id = %s", [RULES.max_attempts, job_id])
            await attempts.end_attempt(connection, held, ModelFailed, RULES)

    async def cancel(self, job_id: UUID) -> None:
        async with self.clock.database.transaction() as connection:
            await service.cancel(connection, self.anna, job_id, retention_hours=720)

    async def ask(self, job_id: UUID, owner: Owner | None = None) -> bool:
        async with self.clock.database.transaction() as connection:
            return await usage.ask(connection, await service.find(connection, owner or self.anna, job_id))

    async def answer(self, job_id: UUID, useful: bool | None, comment: str | None = None) -> None:
        async with self.clock.database.transaction() as connection:
            job = await service.find(connection, self.anna, job_id)
            await usage.answer(connection, job, useful=useful, comment=comment)

    async def sign_in(self, owner: Owner | None = None) -> None:
        async with self.clock.database.transaction() as connection:
            await usage.note_sign_in(connection, owner or self.anna)

    async def month(self, year: int, month: int) -> Usage:
        async with self.clock.database.transaction() as connection:
            return await usage.of_month(connection, date(year, month, 1))

    async def expire(self) -> None:
        assert not (await self.maintenance.expire(confirmed=True)).unfinished


@pytest.fixture
async def harness(clock: Clock, settings: Settings, tmp_path: Path) -> UsageHarness:
    await clock.set(datetime(2026, 11, 10, 12, tzinfo=UTC))
    maintenance = Maintenance(settings, clock.database, ImageStore.on_disk(tmp_path / "images"))
    return UsageHarness(clock, maintenance, Owner(uuid4(), uuid4()))


# --- runs ------------------------------------------------------------------------------------------------------------


async def test_a_run_counts_once_however_often_its_result_is_published(harness: UsageHarness) -> None:
    held = await harness.claim(await harness.submit())
    assert [await harness.publish(held) for _ in range(3)] == [True] * 3
    month = await harness.month(2026, 11)
    assert (month.submitted, month.complete, month.people_with_pictures) == (1, 1, 1)


async def test_runs_are_told_by_what_became_of_them(harness: UsageHarness) -> None:
    for ending in (harness.claim, harness.fail, harness.cancel):
        await ending(await harness.submit("a lamp"))
    await harness.submit("a lamp")
    for seconds in (4, 6, 20):
        await harness.complete("a lamp", seconds=seconds)
    month = await harness.month(2026, 11)
    assert (month.submitted, month.complete, month.failed, month.cancelled, month.unfinished) == (7, 3, 1, 1, 2)
    assert month.median_seconds == pytest.approx(6, abs=0.5)


async def test_a_deleted_run_counts_as_it_did_before(harness: UsageHarness) -> None:
    saved = await harness.complete(seconds=5)
    async with harness.clock.database.transaction() as connection:
        await usage.note_saved(connection, saved)
    await harness.complete(seconds=9)
    await harness.fail(await harness.submit())
    await harness.cancel(await harness.submit())
    before = await harness.month(2026, 11)
    assert (before.saved, before.more) == (1, 3)
    await harness.clock.set(datetime(2026, 11, 10, 13, tzinfo=UTC) + RETENTION)
    await harness.expire()
    assert await harness.query("select from job") == []
    after = await harness.month(2026, 11)
    assert (before.is_over, after.is_over) == (False, True)
    assert {**vars(after), "is_over": False} == vars(before)


async def test_a_deletion_that_is_repeated_keeps_a_run_once(harness: UsageHarness) -> None:
    await harness.complete()
    await harness.clock.move(RETENTION)
    await asyncio.gather(*(harness.expire() for _ in range(4)))
    await harness.expire()
    assert len(await harness.query("select from past_run")) == 1


async def test_more_is_a_prompt_of_which_the_same_person_still_has_images(harness: UsageHarness) -> None:
    ben = Owner(harness.anna.tenant_id, uuid4())

    async def is_more(job_id: UUID) -> bool:
        (row,) = await harness.query("select is_more from job where id = %s", job_id)
        found: bool = row["is_more"]
        return found

    await harness.fail(await harness.submit())
    assert not await is_more(await harness.submit())  # a failed job has no images
    await harness.complete()
    assert await is_more(await harness.submit())
    assert not await is_more(await harness.submit("another teapot"))
    assert not await is_more(await harness.submit(owner=ben))
    await harness.clock.move(RETENTION)
    assert not await is_more(await harness.submit())


# --- months ----------------------------------------------------------------------------------------------------------


async def test_months_begin_and_end_at_midnight_in_utc(harness: UsageHarness) -> None:
    for at in (
        *("2026-10-31T23:59:59.999999+00:00", "2026-11-01T00:00:00+00:00"),
        *("2026-11-30T23:59:59.999999+00:00", "2026-12-01T00:00:00+00:00"),
    ):
        await harness.clock.set(datetime.fromisoformat(at) - timedelta(minutes="23:59" in at))
        await harness.sign_in(Owner(harness.anna.tenant_id, uuid4()))
        job_id = await harness.complete(at, Owner(harness.anna.tenant_id, uuid4()))
        await harness.query("update job set created_at = %s where id = %s", at, job_id)  # exactly this time
        ids = (job_id, uuid4(), uuid4())
        await harness.query(
            "insert into question (job_id, tenant_id, user_id, asked_at) values (%s, %s, %s, %s)", *ids, at
        )
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Honolulu"):
        async with harness.clock.database.transaction() as connection:
            await connection.execute("select set_config('timezone', %s, true)", [zone])
            for year, month, counted in ((2026, 10, 1), (2026, 11, 2), (2026, 12, 1), (2027, 1, 0)):
                found = await usage.of_month(connection, date(year, month, 1))
                assert (found.people_signed_in, found.complete, found.asked) == (counted,) * 3, (zone, month)
    assert not (await harness.month(2026, 12)).is_over


async def test_the_current_month_is_the_databases(harness: UsageHarness) -> None:
    for at, month in (("2028-02-29T23:59:59", date(2028, 2, 1)), ("2028-03-01T00:00:00", date(2028, 3, 1))):
        await harness.clock.set(datetime.fromisoformat(at + "+00:00"))
        async with harness.clock.database.transaction() as connection:
            await connection.execute("select set_config('timezone', 'Pacific/Honolulu', true)")
            assert await usage.this_month(connection) == month


async def test_a_person_who_comes_on_two_days_is_one_person(harness: UsageHarness) -> None:
    for _ in range(2):
        await harness.sign_in()
        await harness.sign_in()
        await harness.clock.move(timedelta(days=1))
    assert len(await harness.query("select from sign_in_day")) == 2
    assert (await harness.month(2026, 11)).people_signed_in == 1


# --- the question ----------------------------------------------------------------------------------------------------


async def test_a_person_is_asked_again_after_exactly_14_days(harness: UsageHarness) -> None:
    await harness.clock.set(datetime(2026, 3, 20, 12, tzinfo=UTC))  # in some places, summer time begins in these days
    first, second = await harness.complete(), await harness.complete()
    assert await harness.ask(first)
    await harness.answer(first, True)
    (row,) = await harness.query("select asked_at from question")
    await harness.clock.set(row["asked_at"] + timedelta(days=14, seconds=-2))
    assert not await harness.ask(second)
    await harness.clock.set(row["asked_at"] + timedelta(days=14))
    assert await harness.ask(second)


async def test_an_unanswered_question_ends_when_the_next_one_may_be_asked(harness: UsageHarness) -> None:
    first, second = await harness.complete(), await harness.complete()
    assert await harness.ask(first)
    (row,) = await harness.query("select asked_at from question")
    await harness.clock.set(row["asked_at"] + timedelta(days=14))
    assert [await harness.ask(second), await harness.ask(first)] == [True, False]


async def test_closing_the_question_deletes_no_answer(harness: UsageHarness) -> None:
    job_id = await harness.complete()
    assert await harness.ask(job_id)
    await harness.answer(job_id, True)
    await harness.answer(job_id, None)
    (said,) = await harness.query("select useful from question")
    assert said["useful"] is True


async def test_a_run_is_asked_about_once_whatever_time_has_passed(harness: UsageHarness) -> None:
    job_id = await harness.complete()
    assert await harness.ask(job_id)
    await harness.answer(job_id, None)
    await harness.clock.move(timedelta(days=20))
    assert not await harness.ask(job_id)


async def test_a_tab_that_asks_waits_for_one_that_asked_just_before(harness: UsageHarness) -> None:
    first, second = await harness.complete(), await harness.complete()
    async with harness.clock.database.transaction() as connection:
        assert await usage.ask(connection, await service.find(connection, harness.anna, first))
        other = asyncio.create_task(harness.ask(second))
        async with asyncio.timeout(2):
            while not (other.done() or await harness.query(f"select from pg_locks where {_WAITING}")):
                pass
    assert not await other


async def test_answers_are_counted_with_what_was_said_and_without_who_said_it(harness: UsageHarness) -> None:
    for useful, comment in ((True, "quick"), (False, "too blue"), (None, None), (True, None), (None, "busy")):
        job_id = await harness.complete()
        assert await harness.ask(job_id)
        await harness.answer(job_id, useful, comment)
        await harness.query("update question set user_id = %s where job_id = %s", uuid4(), job_id)
    assert await harness.ask(await harness.complete())
    month = await harness.month(2026, 11)
    assert (month.asked, month.useful, month.not_yet) == (6, 2, 1)
    assert month.remarks == (Remark(True, "quick"), Remark(False, "too blue"), Remark(None, "busy"))


# --- how long it is kept ---------------------------------------------------------------------------------------------


async def kept(harness: UsageHarness) -> list[int]:
    return [len(await harness.query(f"select from {table}")) for table in TABLES]


async def test_what_is_kept_of_usage_is_deleted_after_400_days(harness: UsageHarness) -> None:
    await harness.sign_in()
    job_id = await harness.complete()
    await harness.ask(job_id)
    await harness.answer(job_id, False, "too blue")
    began = datetime(2026, 11, 10, 12, tzinfo=UTC)
    await harness.clock.set(began + timedelta(days=400, minutes=-1))
    await harness.expire()
    assert await kept(harness) == [1, 1, 1]
    assert not (await harness.month(2026, 11)).is_kept  # its first days are gone
    assert (await harness.month(2026, 12)).is_kept
    await harness.clock.set(began + timedelta(days=401, minutes=1))
    await harness.expire()
    assert await kept(harness) == [0, 0, 0]


async def test_no_prompt_outlives_its_job(harness: UsageHarness) -> None:
    await harness.sign_in()
    job_id = await harness.complete()
    await harness.ask(job_id)
    await harness.answer(job_id, True)
    await harness.fail(await harness.submit())
    await harness.cancel(await harness.submit())
    await harness.clock.move(RETENTION + timedelta(hours=1))
    await harness.expire()
    everything = await harness.query("select * from past_run, sign_in_day, question")
    assert len(everything) == 3
    assert {row["error_code"] for row in everything} == {None, ModelFailed.code, Cancelled.code}
    assert "canary7f3a91" not in str(everything)
    for table in await harness.query("select tablename as name from pg_tables where schemaname = 'public'"):
        assert "canary7f3a91" not in str(await harness.query(f"select * from {table['name']}")), table
