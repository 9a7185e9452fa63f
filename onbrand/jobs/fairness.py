"""Whose job is drawn next: people take turns, so that nobody waits behind another person's backlog.

The order is computed by the view `waiting_job` (`database/migrations/0002_upkeep.sql`). It numbers every queued job
with its `place`, from 1:

1. Jobs that were begun and interrupted come first, because their deadline is already running.
2. Then comes each person's oldest job, then each person's second oldest, and so on.
3. Within such a round, the person whose latest attempt began longest ago comes first, and a person who has had no
   attempt comes before all others.
4. What is still equal is ordered by the time when the job was submitted.

The claim takes the first place, and the position that people see (`eta`) comes from the same view, so the two cannot
disagree. ADR 10 says why the queue does not decide this.
"""

from __future__ import annotations

from uuid import UUID

from onbrand.database.pool import Connection


async def next_job(connection: Connection) -> UUID | None:
    """The queued job to draw next, its row locked until the caller's transaction ends; None if there is none.

    A job that another worker is claiming at this moment is skipped.
    """
    cursor = await connection.execute(
        # The lateral join looks up one row after the other. As one plain join, a planner with outdated statistics reads
        # all jobs once for each row of the view.
        "select locked.id from (select id from waiting_job order by place) as turn cross join lateral"
        " (select id from job where job.id = turn.id and status = 'queued' for update skip locked) as locked limit 1"
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def next_prompt(connection: Connection) -> str | None:
    """The prompt of the job to draw next, so that it can be encoded while a model still loads; None if none is queued.

    Nothing is locked: by the time the model is loaded, another job may be next.
    """
    cursor = await connection.execute(
        "select job.prompt from waiting_job join job using (id) order by waiting_job.place limit 1"
    )
    row = await cursor.fetchone()
    return row["prompt"] if row else None
