"""Jobs as their owners see them: only their own, none twice, and within the limits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from onbrand.database.pool import Connection, Database
from onbrand.errors import (
    Cancelled,
    DatabaseUnavailable,
    IdempotencyKeyReused,
    JobExpired,
    JobNotFound,
    QueueFull,
    TooManyQueued,
    TooManySubmitted,
)
from onbrand.jobs import service
from onbrand.jobs.models import Job, Owner, Phase, Progress, Status, image_seeds
from tests.clock import Clock
from tests.jobs import ANNA, BERT, NAMESAKE, cancel, draw, drawn_in, find, submit
from tests.rules import LIMITS


async def count(database: Database, table: str) -> int:
    async with database.transaction() as connection:
        cursor = await connection.execute(f"select count(*) as rows from {table}")
        row = await cursor.fetchone()
    assert row is not None
    return int(row["rows"])


async def test_a_submitted_job_waits_with_four_seeds_of_its_own_and_one_delivery(database: Database) -> None:
    job_id = await submit(database)
    job = await find(database, job_id)
    assert (job.status, job.progress, job.percent, job.attempt) == (Status.QUEUED, Progress(Phase.WAITING), 0, 0)
    async with database.transaction() as connection:
        cursor = await connection.execute("select seed from job")
        row = await cursor.fetchone()
    assert row is not None
    assert job.seeds == image_seeds(row["seed"])
    assert await count(database, "procrastinate_jobs") == 1


LOOKS: list[Callable[[Connection, Owner, UUID], Coroutine[Any, Any, Job]]] = [
    service.find,
    lambda connection, owner, job_id: service.cancel(connection, owner, job_id, retention_hours=720),
]


@pytest.mark.parametrize("look", LOOKS, ids=["find", "cancel"])
@pytest.mark.parametrize("stranger", [BERT, NAMESAKE], ids=["colleague", "other tenant"])
async def test_another_persons_job_is_not_found(
    database: Database, look: Callable[[Connection, Owner, UUID], Coroutine[Any, Any, Job]], stranger: Owner
) -> None:
    job_id = await submit(database)
    for unknown in (job_id, uuid4()):
        async with database.transaction() as connection:  # which commits
            with pytest.raises(JobNotFound):
                await look(connection, stranger, unknown)
    assert (await find(database, job_id)).status is Status.QUEUED


async def test_a_job_is_not_shown_from_the_instant_it_expires(database: Database) -> None:
    job_id = await submit(database)
    await draw(database, job_id)
    async with database.transaction() as connection:
        await connection.execute("update job set expires_at = now()")
        with pytest.raises(JobExpired):
            await service.find(connection, ANNA, job_id)
        await connection.execute("update job set expires_at = now() + interval '1 microsecond'")
        await service.find(connection, ANNA, job_id)


async def test_cancelling_ends_an_unfinished_job_and_leaves_a_finished_one_as_it_is(database: Database) -> None:
    waiting, running, complete = [await submit(database) for _ in range(3)]
    await draw(database, running, until=Progress(Phase.DRAWING, 3, 12))
    await draw(database, complete)
    ended = [await cancel(database, job_id) for job_id in (waiting, running, complete)]
    assert [job.status for job in ended] == [Status.FAILED, Status.FAILED, Status.COMPLETE]
    assert [job.error_code for job in ended] == [Cancelled.code, Cancelled.code, None]
    assert await cancel(database, waiting) == ended[0]


async def test_twenty_submissions_with_one_key_at_the_same_time_are_one_job(database: Database) -> None:
    job_ids = await asyncio.gather(*(submit(database, key="once") for _ in range(20)))
    assert len(set(job_ids)) == 1
    assert (await count(database, "job"), await count(database, "procrastinate_jobs")) == (1, 1)


async def test_a_key_belongs_to_one_person_and_one_prompt(database: Database) -> None:
    job_id = await submit(database, key="mine")
    with pytest.raises(IdempotencyKeyReused):
        await submit(database, prompt="a cup", key="mine")
    others = [await submit(database, owner, key="mine") for owner in (BERT, NAMESAKE)]
    assert len({job_id, *others}) == 3


async def test_repeating_a_submission_is_possible_at_the_limit(database: Database) -> None:
    job_id = await submit(database, key="first", max_unfinished=1)
    assert await submit(database, key="first", max_unfinished=1) == job_id


async def test_parallel_submissions_cannot_pass_the_limit_of_a_person(database: Database) -> None:
    outcomes = await asyncio.gather(*(submit(database, max_unfinished=3) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, UUID) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, TooManyQueued) for outcome in outcomes) == 17
    assert await count(database, "procrastinate_jobs") == 3
    await submit(database, BERT, max_unfinished=3)


async def test_finished_jobs_do_not_count_towards_the_limit(database: Database) -> None:
    for _ in range(2):
        await draw(database, await submit(database, max_unfinished=1))
    await cancel(database, await submit(database, max_unfinished=1))
    await submit(database, max_unfinished=1)


async def test_a_person_may_submit_only_so_many_in_a_minute_and_is_told_when_to_go_on(clock: Clock) -> None:
    limits = replace(LIMITS, submitted_per_minute=3)

    async def ask(owner: Owner = ANNA) -> None:
        async with clock.database.transaction() as connection:
            await service.submit(connection, owner, "a teapot", idempotency_key=None, limits=limits)

    await ask()
    await clock.move(timedelta(seconds=40))
    await ask()
    await ask()
    with pytest.raises(TooManySubmitted) as refused:
        await ask()
    assert refused.value.retry_after_seconds in (19, 20)
    await ask(BERT)
    await clock.move(timedelta(seconds=21))
    await ask()


async def test_a_key_of_a_job_that_has_expired_is_free_again(clock: Clock) -> None:
    first = await submit(clock.database, key="mine")
    await draw(clock.database, first)
    await clock.move(timedelta(hours=720))
    second = await submit(clock.database, prompt="a cup", key="mine")
    assert second != first
    assert await submit(clock.database, prompt="a cup", key="mine") == second


async def test_cancelling_does_not_give_back_what_a_minute_allows(database: Database) -> None:
    limits = replace(LIMITS, submitted_per_minute=1)
    async with database.transaction() as connection:
        submitted = await service.submit(connection, ANNA, "a teapot", idempotency_key=None, limits=limits)
    await cancel(database, submitted.job_id)
    with pytest.raises(TooManySubmitted):
        async with database.transaction() as connection:
            await service.submit(connection, ANNA, "a teapot", idempotency_key=None, limits=limits)


async def test_only_so_many_jobs_may_wait_in_all(database: Database) -> None:
    limits = replace(LIMITS, waiting=2)

    async def ask(owner: Owner) -> UUID:
        async with database.transaction() as connection:
            return (await service.submit(connection, owner, "a teapot", idempotency_key=None, limits=limits)).job_id

    first = await ask(ANNA)
    await ask(BERT)
    with pytest.raises(QueueFull) as refused:
        await ask(NAMESAKE)
    assert refused.value.retry_after_seconds == 10  # nothing has been measured yet
    await draw(database, first)
    await ask(NAMESAKE)


async def test_who_has_too_many_unfinished_jobs_is_told_how_long_one_usually_takes(database: Database) -> None:
    await drawn_in(database, 17)
    await submit(database, max_unfinished=1)
    with pytest.raises(TooManyQueued) as refused:
        await submit(database, max_unfinished=1)
    assert refused.value.retry_after_seconds == 17


async def test_a_deleted_job_is_gone_for_its_owner_and_unknown_to_others(database: Database) -> None:
    job_id = uuid4()
    async with database.transaction() as connection:
        await connection.execute(
            "insert into expired_job values (%s, %s, %s, now())", [job_id, ANNA.tenant_id, ANNA.user_id]
        )
    with pytest.raises(JobExpired):
        await find(database, job_id)
    for owner in (BERT, NAMESAKE):
        with pytest.raises(JobNotFound):
            await find(database, job_id, owner)


async def test_jobs_are_found_on_connections_that_were_there_before_a_migration_added_a_column(
    database_url: str,
) -> None:
    alone = Database(database_url, application_name="test", max_connections=1)
    await alone.open()
    job_id = await submit(alone)
    for _ in range(8):  # psycopg prepares what it has seen five times
        await find(alone, job_id)
    async with alone.transaction() as connection:
        await connection.execute("alter table job add column added integer")
    assert (await find(alone, job_id)).id == job_id
    await alone.close()


async def test_a_process_that_is_frozen_within_a_transaction_gets_a_lost_connection(database: Database) -> None:
    async def be_frozen() -> None:
        async with database.transaction() as connection:
            await connection.execute("set local idle_in_transaction_session_timeout = '50ms'")
            time.sleep(0.5)  # the whole process, as when it is frozen
            await connection.execute("select 1")

    with pytest.raises(DatabaseUnavailable):
        await be_frozen()
