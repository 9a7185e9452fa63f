"""The statements that docs/operations.md gives for a stuck job, run as they stand there against a real database."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from onbrand.config import REPOSITORY
from onbrand.database.pool import Database
from onbrand.jobs.models import Phase, Progress
from onbrand.jobs.sweep import sweep_jobs
from tests.jobs import announce, cancel, claim, draw, submit
from tests.rules import RULES

_TEXT = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
_SECTION = _TEXT.split("## A job is stuck: what to look at, in order\n")[1].split("\n## ")[0]
STATEMENTS = [
    statement.strip().removesuffix(";")
    for statement in [*re.findall(r"```sql\n(.*?)```", _SECTION, re.S), *re.findall(r"`(select [^`]*;)`", _SECTION)]
]


async def run(database: Database, statement: str, job_id: UUID) -> int:
    """How many rows a statement finds or changes."""
    async with database.transaction() as connection:
        return (await connection.execute(statement.replace("JOB_ID", str(job_id)).encode())).rowcount


async def test_every_statement_of_the_guide_works_for_a_job_in_every_status(database: Database) -> None:
    await announce(database, "ready")
    queued, running, failed, complete = [await submit(database) for _ in range(4)]
    await draw(database, complete)
    await draw(database, running, until=Progress(Phase.DRAWING, 3, 12))
    await claim(database, failed)
    await cancel(database, failed)
    assert len(STATEMENTS) == 11
    for statement in STATEMENTS:
        for job_id in (queued, running, failed, complete):
            await run(database, statement, job_id)


@pytest.mark.parametrize(
    ("beginning", "rows"),
    [
        ("select status, phase", 1),
        ("select id, state, now() - state_since", 1),
        ("select place", 1),
        ("select now() - swept_at", 1),
        ("select status, count(*)", 1),
        ("select id, state, now() - seen_at", 0),
        ("select error_code", 0),
        ("select 'jobs/'", 0),
    ],
)
async def test_the_guide_shows_what_it_says_for_a_queued_job(database: Database, beginning: str, rows: int) -> None:
    await announce(database, "ready")
    job_id = await submit(database)
    (statement,) = [statement for statement in STATEMENTS if statement.startswith(beginning)]
    assert await run(database, statement, job_id) == rows


async def test_a_running_job_is_given_to_another_worker_as_the_guide_says(database: Database) -> None:
    job_id = await submit(database)
    await draw(database, job_id, until=Progress(Phase.DRAWING, 3, 12))
    (statement,) = [statement for statement in STATEMENTS if statement.startswith("update")]
    assert await run(database, statement, job_id) == 1
    async with database.transaction() as connection:
        assert (await sweep_jobs(connection, RULES)).requeued == (job_id,)


async def test_a_complete_job_has_four_images_in_the_guide_s_statement(database: Database) -> None:
    job_id = await submit(database)
    await draw(database, job_id)
    (statement,) = [statement for statement in STATEMENTS if statement.startswith("select 'jobs/'")]
    assert await run(database, statement, job_id) == 4
