"""Previews belong to the running attempt: they are shown until it ends, and are deleted with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from onbrand.database.pool import Connection, Database
from onbrand.errors import BadImage, GpuMemory
from onbrand.jobs import attempts, retention
from onbrand.jobs.models import Claim, Phase, Progress
from onbrand.jobs.sweep import sweep_jobs
from tests.clock import Clock
from tests.jobs import IMAGES, cancel, claim, draw, outlook, report, submit
from tests.rules import RULES

EARLY = tuple(b"early %d" % n for n in range(4))
LATE = tuple(b"late %d" % n for n in range(4))


def step(number: int, previews: tuple[bytes, ...]) -> Progress:
    return Progress(Phase.DRAWING, number, 12, previews)


async def stored(database: Database) -> int:
    async with database.transaction() as connection:
        return (await connection.execute("select from preview")).rowcount


async def test_the_latest_previews_are_shown_and_stay_over_steps_without_any(database: Database) -> None:
    job_id = await submit(database)
    held = await claim(database, job_id)
    seen = []
    for progress in (step(0, ()), step(1, EARLY), step(2, ()), step(3, LATE), Progress(Phase.SAVING, 12, 12)):
        await report(database, held, progress)
        seen.append((await outlook(database, job_id)).previews)
    assert seen == [(), EARLY, EARLY, LATE, LATE]
    assert await stored(database) == 1


async def test_previews_of_an_earlier_attempt_are_not_shown_with_the_next(database: Database) -> None:
    job_id = await submit(database)
    first = await draw(database, job_id, until=step(3, EARLY))
    async with database.transaction() as connection:
        await attempts.give_back(connection, first)
        # As if they had not been deleted.
        await connection.execute("insert into preview values (%s, 1, %s)", [job_id, list(EARLY)])
    assert (await outlook(database, job_id)).previews == ()  # it waits
    second = await claim(database, job_id)
    assert (await outlook(database, job_id)).previews == ()
    await report(database, second, step(1, LATE))
    assert (await outlook(database, job_id)).previews == LATE


async def test_a_stale_attempt_shows_nothing(database: Database) -> None:
    job_id = await submit(database)
    stale = await draw(database, job_id, until=step(3, EARLY))
    async with database.transaction() as connection:
        await attempts.give_back(connection, stale)
    await draw(database, job_id, until=step(1, LATE))
    assert not await report(database, stale, step(4, EARLY))
    assert (await outlook(database, job_id)).previews == LATE


async def _publish(connection: Connection, held: Claim) -> None:
    await attempts.publish(connection, held, IMAGES, prompt_ignored=0, retention_hours=720)


async def _fail(connection: Connection, held: Claim) -> None:
    await attempts.end_attempt(connection, held, BadImage, replace(RULES, max_attempts=1))


async def _requeue(connection: Connection, held: Claim) -> None:
    await attempts.end_attempt(connection, held, GpuMemory, RULES)


async def _give_back(connection: Connection, held: Claim) -> None:
    await attempts.give_back(connection, held)


async def _lapse(connection: Connection, held: Claim) -> None:
    await connection.execute("update job set lease_until = now() - interval '1 second' where id = %s", [held.job_id])
    await sweep_jobs(connection, RULES)


async def _pass_the_deadline(connection: Connection, held: Claim) -> None:
    await connection.execute("update job set first_started_at = now() - interval '1 day' where id = %s", [held.job_id])
    await sweep_jobs(connection, RULES)


@pytest.mark.parametrize("end", [_publish, _fail, _requeue, _give_back, _lapse, _pass_the_deadline])
async def test_however_an_attempt_ends_its_previews_are_deleted(
    database: Database, end: Callable[[Connection, Claim], Awaitable[None]]
) -> None:
    others = await submit(database)
    await draw(database, others, until=step(3, EARLY))
    held = await draw(database, await submit(database), until=step(3, LATE))
    async with database.transaction() as connection:
        await end(connection, held)
    assert await stored(database) == 1
    assert (await outlook(database, others)).previews == EARLY


async def test_a_cancelled_job_s_previews_are_deleted(database: Database) -> None:
    job_id = await submit(database)
    await draw(database, job_id, until=step(3, EARLY))
    await cancel(database, job_id)
    assert await stored(database) == 0


async def test_nothing_of_a_preview_outlives_its_job(clock: Clock) -> None:
    job_id = await submit(clock.database)
    await draw(clock.database, job_id)
    async with clock.database.transaction() as connection:
        await connection.execute("insert into preview values (%s, 1, %s)", [job_id, list(EARLY)])
    await clock.move(timedelta(hours=721))
    async with clock.database.transaction() as connection:
        assert await retention.mark_for_deletion(connection, 10) == [job_id]
        await retention.delete_row(connection, job_id)
    assert await stored(clock.database) == 0


async def test_previews_are_not_written_ahead_and_so_are_in_no_replica_or_archive(database: Database) -> None:
    async with database.transaction() as connection:
        cursor = await connection.execute("select relpersistence from pg_class where relname = 'preview'")
        row = await cursor.fetchone()
    assert row is not None
    assert row["relpersistence"] in ("u", b"u")
