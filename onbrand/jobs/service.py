"""Jobs as their owners use them: submit, find, cancel. What workers do to jobs is in `attempts`.

Functions take the caller's connection: the caller opened the transaction and decides when it commits. Each statement
compares the owner, except those of `prompt_of`, `versions` and `find_image`. The database's clock is the only one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import DictRow

from onbrand.database.pool import Connection
from onbrand.errors import (
    Cancelled,
    IdempotencyKeyReused,
    JobExpired,
    JobNotFound,
)
from onbrand.jobs.limits import CLOCK, Limits, check_limits
from onbrand.jobs.models import (
    Job,
    Owner,
    Pack,
    Phase,
    Progress,
    Status,
    StoredImage,
    image_seeds,
    new_seed,
    stored_image,
)
from onbrand.jobs.queue import deliver

# Not `select *`: once a migration adds a column, a prepared `select *` fails once on each open connection.
_COLUMNS: LiteralString = (
    "id, tenant_id, user_id, prompt, prompt_truncated, prompt_ignored, seeds, status, phase, step, steps, percent,"
    " attempt, result_attempt, error_code, pack_id, pack_name, pack_version, created_at, started_at, completed_at,"
    " expires_at"
)
# `set local` would last until the end of the transaction.
_ONE_SUBMISSION: LiteralString = (
    "set local lock_timeout = '500ms'; select pg_advisory_xact_lock(hashtextextended('onbrand submission', 0));"
    " set local lock_timeout to default"
)


@dataclass(frozen=True)
class Submitted:
    """A job that is stored. `is_new` is False if an earlier request with the same Idempotency-Key stored it."""

    job_id: UUID
    is_new: bool


async def submit(
    connection: Connection,
    owner: Owner,
    prompt: str,
    *,
    idempotency_key: str | None,
    limits: Limits,
    admit: Callable[[Connection], Awaitable[None]] | None = None,
) -> Submitted:
    """Store a job and its delivery; both exist once the caller's transaction commits.

    The same key with the same prompt returns the first job again. A new job is stored if `admit` raises nothing.

    Raises:
        IdempotencyKeyReused: an earlier request used the key with another prompt.
        TooManyQueued, TooManySubmitted, QueueFull: see `check_limits`.
    """
    # One submission of a person at a time: two at once could both pass the limits, or both miss the key.
    lock = f"{owner.tenant_id}/{owner.user_id}"
    await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
    mine: dict[str, Any] = {"tenant": owner.tenant_id, "user": owner.user_id, "key": idempotency_key}
    if idempotency_key is not None:
        await connection.execute(
            "update job set idempotency_key = null where tenant_id = %(tenant)s and user_id = %(user)s"
            " and idempotency_key = %(key)s and (expires_at <= now() or expiring_at is not null)",
            mine,
        )  # nobody can see an expired job any more, so its key may be used again
        cursor = await connection.execute(
            "select id, prompt from job where tenant_id = %(tenant)s and user_id = %(user)s"
            " and idempotency_key = %(key)s",
            mine,
        )
        if (earlier := await cursor.fetchone()) is not None:
            if earlier["prompt"] != prompt:
                raise IdempotencyKeyReused
            return Submitted(earlier["id"], is_new=False)
    await _take_turn(connection)
    await check_limits(connection, owner, limits)
    if admit is not None:
        await admit(connection)
    job_id, seed = uuid4(), new_seed()
    await connection.execute(
        "insert into job"
        " (id, tenant_id, user_id, idempotency_key, prompt, seed, seeds, created_at, queued_at, is_more)"
        f" values (%(id)s, %(tenant)s, %(user)s, %(key)s, %(prompt)s, %(seed)s, %(seeds)s, {CLOCK}, {CLOCK}, exists ("
        "  select from job where tenant_id = %(tenant)s and user_id = %(user)s and status = 'complete'"
        "  and hashtextextended(prompt, 0) = hashtextextended(%(prompt)s, 0) and prompt = %(prompt)s"
        "  and expires_at > now() and expiring_at is null))",
        mine | {"id": job_id, "prompt": prompt, "seed": seed, "seeds": list(image_seeds(seed))},
    )
    await deliver(connection, job_id)
    return Submitted(job_id, is_new=True)


async def _take_turn(connection: Connection) -> None:
    """Let the submissions of all people commit one after the other, so that each counts those before it.

    Otherwise people who submit at the same moment are each told that nobody is before them. A submission that takes
    long (its process was frozen, say) is waited for only half a second: a wrong estimate is better than an error.
    """
    with suppress(psycopg.errors.LockNotAvailable):
        async with connection.transaction():
            await connection.execute(_ONE_SUBMISSION)


async def find(connection: Connection, owner: Owner, job_id: UUID) -> Job:
    """The owner's job.

    Raises:
        JobNotFound: there is no such job, or it belongs to another person.
        JobExpired: its retention time is over.
    """
    cursor = await connection.execute(
        f"select {_COLUMNS}, expiring_at is not null or coalesce(expires_at <= now(), false) as expired from job"
        " where id = %s and tenant_id = %s and user_id = %s",
        [job_id, owner.tenant_id, owner.user_id],
    )
    row = await cursor.fetchone()
    if row is None:
        cursor = await connection.execute(
            "select from expired_job where id = %s and tenant_id = %s and user_id = %s",
            [job_id, owner.tenant_id, owner.user_id],
        )
        raise JobExpired if cursor.rowcount == 1 else JobNotFound
    if row["expired"]:
        raise JobExpired
    return _job(row)


async def versions(connection: Connection, job_ids: list[UUID]) -> dict[UUID, str]:
    """Of each job that exists, a text that changes with its row. It says nothing else of the job."""
    cursor = await connection.execute("select id, xmin::text as version from job where id = any(%s)", [job_ids])
    return {row["id"]: row["version"] for row in await cursor.fetchall()}


async def prompt_of(connection: Connection, job_id: UUID) -> str | None:
    """The prompt of any person's job while the job is kept; None if there is no such job.

    Only for `onbrand reproduce`, whose user has the database's password. A request must use `find`.
    """
    cursor = await connection.execute(
        "select prompt from job where id = %s and coalesce(expires_at > now(), true) and expiring_at is null", [job_id]
    )
    row = await cursor.fetchone()
    return row["prompt"] if row else None


async def find_image(connection: Connection, job_id: UUID, n: int) -> StoredImage | None:
    """The published image `n` of a job that `find` has returned; None if there is none."""
    cursor = await connection.execute(
        "select n, sha256, size, rendition_sha256, rendition_size from image where job_id = %s and n = %s", [job_id, n]
    )
    row = await cursor.fetchone()
    return stored_image(row) if row else None


async def cancel(connection: Connection, owner: Owner, job_id: UUID, *, retention_hours: int) -> Job:
    """End an unfinished job as cancelled, and return it; a finished job stays as it is.

    The worker notices when it next writes progress, so within one denoising step.

    Raises:
        JobNotFound, JobExpired: see `find`.
    """
    await connection.execute(
        "update job set status = 'failed', error_code = %(code)s, lease_until = null, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and tenant_id = %(tenant)s and user_id = %(user)s and status in ('queued', 'processing')",
        {
            "code": Cancelled.code,
            "hours": retention_hours,
            "id": job_id,
            "tenant": owner.tenant_id,
            "user": owner.user_id,
        },
    )
    return await find(connection, owner, job_id)


def _job(row: DictRow) -> Job:
    return Job(
        id=row["id"],
        owner=Owner(row["tenant_id"], row["user_id"]),
        prompt=row["prompt"],
        prompt_truncated=row["prompt_truncated"],
        prompt_ignored=row["prompt_ignored"],
        seeds=tuple(row["seeds"]),
        status=Status(row["status"]),
        progress=Progress(Phase(row["phase"]), row["step"], row["steps"]),
        percent=row["percent"],
        attempt=row["attempt"],
        result_attempt=row["result_attempt"],
        error_code=row["error_code"],
        pack=Pack(row["pack_id"], row["pack_name"], row["pack_version"]) if row["pack_id"] else None,
        created_at=row["created_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        expires_at=row["expires_at"],
    )
