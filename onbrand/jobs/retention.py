"""How long a job is kept: which jobs are due for deletion, and which stored images belong to a result.

Here are only the statements; `maintenance` runs them in turns and deletes the images. The database's clock is the only
one. A job is deleted in three steps, each of which may be repeated:

1. `mark_for_deletion` marks its row. From then on nobody sees the job, whatever the clock does.
2. Its images are deleted.
3. `delete_row` deletes its row, and keeps one line that says that there was a job.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.jobs.models import StoredImage, stored_image

# When more jobs than this, and more than this share of all jobs, are due at once, the clock is probably wrong.
_MANY_JOBS = 100
_MANY_SHARE = 0.5
_HOLD_HOURS = 12
_STALE_MINUTES = 10  # after which another process takes over a deletion that was begun
_TOMBSTONE_DAYS = 90  # how long the owner of a deleted job is told "deleted" instead of "never existed"
ORPHAN_HOURS = 2  # younger images may belong to an attempt that is about to publish


@dataclass(frozen=True)
class Kept:
    """The one attempt at a job whose stored images must stay."""

    job_id: UUID
    attempt: int


async def is_deletion_held(connection: Connection) -> bool:
    """Whether the deletion must wait because so many jobs are due at once that the clock is probably wrong.

    Meanwhile nobody can reach the jobs, but nothing of them is deleted, so they are back once the clock is right. After
    twelve hours they are deleted all the same, because people were promised that their images are gone within a day.
    """
    cursor = await connection.execute(
        "select exists (select from job where expires_at <= now() and expiring_at is null offset %s)", [_MANY_JOBS]
    )
    row = await cursor.fetchone()
    if row is None or not row["exists"]:
        await connection.execute("update upkeep set retention_held_since = null where retention_held_since is not null")
        return False
    cursor = await connection.execute(
        "select count(*) filter (where expires_at <= now()) > %s * count(*) as many from job where expiring_at is null",
        [_MANY_SHARE],
    )
    row = await cursor.fetchone()
    assert row is not None  # an aggregate always has a row
    if not row["many"]:
        await connection.execute("update upkeep set retention_held_since = null where retention_held_since is not null")
        return False
    cursor = await connection.execute(
        "update upkeep set retention_held_since = least(coalesce(retention_held_since, now()), now())"
        " returning retention_held_since > now() - make_interval(hours => %s) as held",
        [_HOLD_HOURS],
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["held"])


async def mark_for_deletion(connection: Connection, limit: int) -> list[UUID]:
    """Mark up to `limit` jobs: those whose retention time is over, and those whose deletion was begun and not ended.

    A mark may be a little later than `now()`: `now()` is the time when this transaction began, and the transaction that
    wrote the mark may have begun after it. So marks up to one minute ahead count as fresh.
    """
    cursor = await connection.execute(
        "update job set expiring_at = now() where id in ("
        " select id from job where (expires_at <= now() and expiring_at is null)"
        " or expiring_at not between now() - make_interval(mins => %s) and now() + interval '1 minute'"
        " order by expires_at limit %s for update skip locked) returning id",
        [_STALE_MINUTES, limit],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def delete_row(connection: Connection, job_id: UUID) -> None:
    """Delete the row of a marked job whose images are deleted. What is kept names neither its prompt nor its images."""
    await connection.execute(
        "with gone as (delete from job where id = %s and expiring_at is not null returning *),"
        " told as (insert into expired_job (id, tenant_id, user_id, expired_at)"
        "  select id, tenant_id, user_id, expires_at from gone),"
        " kept as (insert into past_run"
        "  (id, tenant_id, user_id, status, error_code, created_at, completed_at, is_more, is_saved)"
        "  select id, tenant_id, user_id, status, error_code, created_at, completed_at, is_more, is_saved"
        "  from gone)"
        " insert into day_count (day, complete, failed)"
        "  select (completed_at at time zone 'UTC')::date, (status = 'complete')::int, (status = 'failed')::int"
        "  from gone"
        " on conflict (day) do update set complete = day_count.complete + excluded.complete,"
        "  failed = day_count.failed + excluded.failed",
        [job_id],
    )


async def delete_old_traces(connection: Connection) -> None:
    """Delete what is kept of jobs that were deleted 90 days ago, and note the time of this round of deletion."""
    await connection.execute(
        "delete from expired_job where expired_at < now() - make_interval(days => %s)", [_TOMBSTONE_DAYS]
    )
    await connection.execute("update upkeep set expired_at = now()")


async def overdue(connection: Connection) -> int:
    """The number of jobs that should have been deleted a day ago."""
    cursor = await connection.execute("select count(*) as jobs from job where expires_at < now() - interval '24 hours'")
    row = await cursor.fetchone()
    return row["jobs"] if row else 0


async def start_collection(connection: Connection, every_hours: int) -> bool:
    """Whether this process shall compare rows and stored images now. False: another one did within so many hours."""
    cursor = await connection.execute(
        "update upkeep set collected_at = now() where collected_at is null"
        " or collected_at not between now() - make_interval(hours => %s) and now() + interval '1 minute'",
        [every_hours],
    )
    return cursor.rowcount == 1


async def note_collection_held(connection: Connection, *, is_held: bool) -> None:
    """Note since when so many stored images belong to no job that none of them is deleted."""
    await connection.execute(
        "update upkeep set collection_held_since = case when %s then coalesce(collection_held_since, now()) end",
        [is_held],
    )


async def attempts_to_keep(connection: Connection, job_ids: Collection[UUID]) -> dict[UUID, Kept]:
    """The jobs among these that exist, each with the one attempt whose images must stay.

    For a complete job this is its result, for an unfinished job its latest attempt. A failed job keeps no images, so
    its attempt is 0 here.
    """
    cursor = await connection.execute(
        "select id, case status when 'complete' then result_attempt when 'failed' then 0 else attempt end as attempt"
        " from job where id = any(%s)",
        [list(job_ids)],
    )
    return {row["id"]: Kept(row["id"], row["attempt"]) for row in await cursor.fetchall()}


async def database_now(connection: Connection) -> datetime:
    """The database's clock, by which jobs end."""
    cursor = await connection.execute("select now() as now")
    row = await cursor.fetchone()
    assert row is not None  # it always has one
    now: datetime = row["now"]
    return now


async def published_images(
    connection: Connection, before: datetime, after: UUID | None, limit: int
) -> list[tuple[UUID, int, StoredImage]]:
    """The published images of the next `limit` jobs after the id `after`, in the order of ids: job, attempt, image.

    Only jobs that ended before `before`. Their images were stored earlier still, because a job is published after its
    images are stored. So a list of the store that begins at `before` or later has every one of them.
    """
    cursor = await connection.execute(
        "select job.id, job.result_attempt, image.n, image.sha256, image.size,"
        " image.rendition_sha256, image.rendition_size from ("
        " select id, result_attempt from job where status = 'complete' and expiring_at is null and expires_at > now()"
        " and completed_at < %(before)s"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s) as job"
        " join image on image.job_id = job.id order by job.id, image.n",
        {"before": before, "after": after, "limit": limit},
    )
    rows = await cursor.fetchall()
    return [(row["id"], row["result_attempt"], stored_image(row)) for row in rows]


async def note_missing(connection: Connection, missing: Sequence[tuple[UUID, int]]) -> None:
    """Note which published images have lost their PNG or rendition; those not named here are whole again."""
    job_ids, numbers = [job_id for job_id, _ in missing], [n for _, n in missing]
    await connection.execute(
        "update image set missing_since = now() from unnest(%s::uuid[], %s::int[]) as gone (job_id, n)"
        " where image.job_id = gone.job_id and image.n = gone.n and missing_since is null",
        [job_ids, numbers],
    )
    await connection.execute(
        "update image set missing_since = null where missing_since is not null and not exists ("
        " select from unnest(%s::uuid[], %s::int[]) as gone (job_id, n)"
        " where image.job_id = gone.job_id and image.n = gone.n)",
        [job_ids, numbers],
    )
