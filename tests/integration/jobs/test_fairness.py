"""Whose job is drawn next: people take turns, and no job is claimed twice."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.jobs.fairness import next_job
from onbrand.jobs.models import Owner
from tests.integration.jobs.steps import (
    OWNER,
    served,
    submit,
    submit_as,
    sweep,
    turn,
)


async def test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog(database: Database) -> None:
    anna, bert, cleo = (Owner(uuid4(), uuid4()) for _ in range(3))
    await submit_as(database, anna, "a1", "a2", "a3", "a4")
    assert await served(database) == "a1"
    await submit_as(database, bert, "b1", "b2")
    await submit_as(database, cleo, "c1")
    assert [await served(database) for _ in range(6)] == ["b1", "c1", "a2", "b2", "a3", "a4"]


async def test_the_place_that_is_shown_is_the_order_in_which_jobs_are_drawn(database: Database) -> None:
    anna, bert = Owner(uuid4(), uuid4()), Owner(uuid4(), uuid4())
    await submit_as(database, anna, "a1", "a2", "a3")
    await served(database)
    await submit_as(database, bert, "b1", "b2", "b3")
    async with database.transaction() as connection:
        cursor = await connection.execute("select prompt from waiting_job join job using (id) order by place")
        shown = [row["prompt"] for row in await cursor.fetchall()]
    assert [await served(database) for _ in range(5)] == shown == ["b1", "a2", "b2", "a3", "b3"]


async def test_an_interrupted_job_is_next_because_its_deadline_is_running(database: Database) -> None:
    await submit_as(database, OWNER, "first", "second")
    await submit_as(database, Owner(uuid4(), uuid4()), "somebody's who had nothing yet")
    first = await turn(database)
    async with database.transaction() as connection:
        await connection.execute("update job set lease_until = now() - interval '1 second' where id = %s", [first])
    await sweep(database)
    assert await turn(database) == first


async def test_a_job_that_is_being_claimed_is_passed_over_without_waiting(database: Database) -> None:
    first, second = await submit(database), await submit(database)
    async with database.transaction() as connection:
        assert await next_job(connection) == first
        assert await turn(database) == second
        assert await turn(database) is None


async def test_eight_workers_that_take_turns_claim_fifty_jobs_once_each(database: Database) -> None:
    for number in range(50):
        await submit_as(database, Owner(OWNER.tenant_id, uuid4()) if number % 3 else OWNER, str(number))

    async def work(name: str) -> list[UUID]:
        claimed = []
        while (job_id := await turn(database, name)) is not None:
            claimed.append(job_id)
        return claimed

    taken = [job_id for jobs in await asyncio.gather(*(work(str(n)) for n in range(8))) for job_id in jobs]
    assert (len(taken), len(set(taken))) == (50, 50)
