"""Deleting jobs whose retention time is over, and telling stored images that belong to no result.

Only the statements; `upkeep` decides when, and deletes the images. The database's clock is the only one. A job goes in
three steps, each of which may be repeated: it is marked (from then on nobody sees it, whatever the clock does), its
images are deleted, its row becomes one line that says that it was there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.jobs.models import StoredImage

# More jobs at once than this, and more than this share of all: more likely a wrong clock than an old studio.
_MANY_JOBS = 100
_MANY_SHARE = 0.5
_HOLD_HOURS = 12
_STALE_MINUTES = 10
_TOMBSTONE_DAYS = 90
ORPHAN_HOURS = 2  # younger images may belong to an attempt that is about to publish


@dataclass(frozen=True)
class Kept:
    """What the row of a stored image's job says: which attempt may still be, or become, the result."""

    job_id: UUID
    attempt: int


async def is_held(connection: Connection) -> bool:
    """Whether a deletion must wait because it is so large that the clock is more likely wrong.

    Held, the jobs are unreachable but whole, so a clock that is set right brings them back. After twelve hours it is
    believed, because people were promised that their images are gone within a day.
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


async def begin(connection: Connection, limit: int) -> list[UUID]:
    """Mark up to `limit` jobs whose time is over, and take up what another process left unfinished.

    A mark may be a little ahead of `now()`: it stands still within a transaction, and another one began later.
    """
    cursor = await connection.execute(
        "update job set expiring_at = now() where id in ("
        " select id from job where (expires_at <= now() and expiring_at is null)"
        " or expiring_at not between now() - make_interval(mins => %s) and now() + interval '1 minute'"
        " order by expires_at limit %s for update skip locked) returning id",
        [_STALE_MINUTES, limit],
    )
    return [row["id"] for row in await cursor.fetchall()]


async def finish(connection: Connection, job_id: UUID) -> None:
    """Delete the row of a marked job whose images are gone; what is left says neither prompt nor picture."""
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


async def forget(connection: Connection) -> None:
    """Delete what still tells of jobs that went long ago, and note that the deletion was looked after."""
    await connection.execute(
        "delete from expired_job where expired_at < now() - make_interval(days => %s)", [_TOMBSTONE_DAYS]
    )
    await connection.execute("update upkeep set expired_at = now()")


async def overdue(connection: Connection) -> int:
    """How many jobs should have been deleted a day ago."""
    cursor = await connection.execute("select count(*) as jobs from job where expires_at < now() - interval '24 hours'")
    row = await cursor.fetchone()
    return row["jobs"] if row else 0


async def may_collect(connection: Connection, every_hours: int) -> bool:
    """Take the turn at comparing rows and stored images, unless somebody did within so many hours."""
    cursor = await connection.execute(
        "update upkeep set collected_at = now() where collected_at is null"
        " or collected_at not between now() - make_interval(hours => %s) and now() + interval '1 minute'",
        [every_hours],
    )
    return cursor.rowcount == 1


async def note_held(connection: Connection, *, held: bool) -> None:
    """Remember since when so many images belong to no job that none of them is deleted."""
    await connection.execute(
        "update upkeep set collection_held_since = case when %s then coalesce(collection_held_since, now()) end", [held]
    )


async def known(connection: Connection, job_ids: Collection[UUID]) -> dict[UUID, Kept]:
    """The jobs among these that exist, each with the one attempt whose images must stay.

    That is the result of a complete job, and the running or the next attempt of an unfinished one. A failed job keeps
    none (attempt 0).
    """
    cursor = await connection.execute(
        "select id, case status when 'complete' then result_attempt when 'failed' then 0 else attempt end as attempt"
        " from job where id = any(%s)",
        [list(job_ids)],
    )
    return {row["id"]: Kept(row["id"], row["attempt"]) for row in await cursor.fetchall()}


async def published(connection: Connection, after: UUID | None, limit: int) -> list[tuple[UUID, int, StoredImage]]:
    """Published images in the order of their jobs' ids, with their attempt: the next `limit` jobs behind `after`.

    Only of jobs that ended a while ago, so that whoever lists the store beforehand has seen them.
    """
    cursor = await connection.execute(
        "select job.id, job.result_attempt, image.n, image.sha256, image.size from ("
        " select id, result_attempt from job where status = 'complete' and expiring_at is null and expires_at > now()"
        " and completed_at < now() - make_interval(hours => %(hours)s)"
        " and (%(after)s::uuid is null or id > %(after)s) order by id limit %(limit)s) as job"
        " join image on image.job_id = job.id order by job.id, image.n",
        {"hours": ORPHAN_HOURS, "after": after, "limit": limit},
    )
    rows = await cursor.fetchall()
    return [(row["id"], row["result_attempt"], StoredImage(row["n"], row["sha256"], row["size"])) for row in rows]


async def note_missing(connection: Connection, missing: Sequence[tuple[UUID, int]]) -> None:
    """Remember which published images (job and number) the store no longer has, and which it has again."""
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
