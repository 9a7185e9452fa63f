"""What workers and the sweep do to jobs: claim, progress, publish, fail, give back.

Each change is a compare-and-set on `(id, attempt, status)`: the attempt number is the fencing token, and no row
changed means that somebody else owns the job by now. Each change of state and its delivery are one transaction, the
caller's. The database's clock is the only one.

`attempt` only ever grows. `tries` counts the attempts that used up one of `MAX_ATTEMPTS`; an attempt that a stopping
worker gives back is taken off it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from onbrand.errors import JobFailure, WorkerLost
from onbrand.job import IMAGES_PER_JOB, Claim, Pack, Progress, Status, StoredImage
from onbrand.postgres import Connection
from onbrand.tasks import QUEUE, deliver

_SWEEP_LOCK = 0x7377656570  # "sweep"


@dataclass(frozen=True)
class Swept:
    """What a sweep found: lapsed leases requeued or failed, and lost deliveries made again."""

    requeued: int = 0
    failed: int = 0
    delivered_again: int = 0


async def claim(
    connection: Connection, job_id: UUID, worker_id: str, *, pack: Pack, lease_seconds: float, max_attempts: int
) -> Claim | None:
    """Take the next attempt at a job that waits, or whose lease has lapsed; None if there is nothing to take."""
    cursor = await connection.execute(
        "update job set status = 'processing', attempt = attempt + 1, tries = tries + 1, worker_id = %(worker)s,"
        " phase = 'encoding', step = 0, steps = 0, percent = 0, started_at = now(),"
        " lease_until = now() + make_interval(secs => %(lease)s),"
        " pack_id = %(pack_id)s, pack_name = %(pack_name)s, pack_version = %(pack_version)s"
        " where id = %(id)s and (status = 'queued' or (status = 'processing' and lease_until < now()))"
        " and tries < %(max_attempts)s"
        " returning id, attempt, tries, prompt, seeds",
        {
            "id": job_id,
            "worker": worker_id,
            "lease": lease_seconds,
            "max_attempts": max_attempts,
            "pack_id": pack.id,
            "pack_name": pack.name,
            "pack_version": pack.version,
        },
    )
    row = await cursor.fetchone()
    return Claim(row["id"], row["attempt"], row["tries"], row["prompt"], tuple(row["seeds"])) if row else None


async def record_progress(connection: Connection, claim: Claim, progress: Progress, *, lease_seconds: float) -> bool:
    """Write how far the attempt is, which also renews its lease. False: the attempt is no longer ours, stop."""
    cursor = await connection.execute(
        "update job set phase = %(phase)s, step = %(step)s, steps = %(steps)s,"
        " percent = greatest(percent, %(percent)s), lease_until = now() + make_interval(secs => %(lease)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {
            "phase": progress.phase,
            "step": progress.step,
            "steps": progress.steps,
            "percent": progress.percent,
            "lease": lease_seconds,
            "id": claim.job_id,
            "attempt": claim.attempt,
        },
    )
    return cursor.rowcount == 1


async def publish(
    connection: Connection,
    claim: Claim,
    images: Sequence[StoredImage],
    *,
    prompt_truncated: bool,
    retention_hours: int,
) -> bool:
    """Make four stored images the job's result, in the caller's transaction. False: nothing was changed, we are late.

    The row is changed first: it is the fence, and the images are only inserted behind it. Safe to repeat after a
    commit whose answer was lost: an attempt that is already the result stays it.
    """
    if sorted(image.n for image in images) != list(range(1, IMAGES_PER_JOB + 1)):
        raise ValueError("a job has exactly the images 1 to 4")
    cursor = await connection.execute(
        "update job set status = 'complete', result_attempt = attempt, percent = 100, lease_until = null,"
        " step = steps, prompt_truncated = %(truncated)s, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {
            "truncated": prompt_truncated,
            "hours": retention_hours,
            "id": claim.job_id,
            "attempt": claim.attempt,
        },
    )
    if cursor.rowcount != 1:
        cursor = await connection.execute(
            "select from job where id = %s and result_attempt = %s", [claim.job_id, claim.attempt]
        )
        return cursor.rowcount == 1
    for image in images:
        await connection.execute(
            "insert into image (job_id, n, sha256, size) values (%s, %s, %s, %s)",
            [claim.job_id, image.n, image.sha256, image.size],
        )
    return True


async def holds(connection: Connection, claim: Claim) -> bool:
    """Whether the attempt is still the job's running one; a cancelled or requeued job's is not."""
    cursor = await connection.execute(
        "select from job where id = %s and attempt = %s and status = 'processing'", [claim.job_id, claim.attempt]
    )
    return cursor.rowcount == 1


async def end_attempt(
    connection: Connection, claim: Claim, failure: type[JobFailure], *, max_attempts: int, retention_hours: int
) -> Status | None:
    """End an attempt that brought no images: requeue the job with a new delivery, or fail it. None: no longer ours."""
    if failure.retryable and claim.tries < max_attempts:
        return Status.QUEUED if await _requeue(connection, claim.job_id, claim.attempt) else None
    failed = await _fail(connection, claim.job_id, claim.attempt, failure, retention_hours)
    return Status.FAILED if failed else None


async def give_back(connection: Connection, claim: Claim) -> bool:
    """Hand an attempt back because the worker must stop; it does not count as a try. False: no longer ours."""
    return await _requeue(connection, claim.job_id, claim.attempt, tries_used=0)


async def sweep(connection: Connection, *, max_attempts: int, retention_hours: int) -> Swept:
    """Requeue or fail jobs whose lease has lapsed, and deliver waiting jobs again whose queue entry was lost.

    Safe to run anywhere at any time; of several at once, one works.
    """
    cursor = await connection.execute("select pg_try_advisory_xact_lock(%s) as mine", [_SWEEP_LOCK])
    row = await cursor.fetchone()
    if row is None or not row["mine"]:
        return Swept()
    cursor = await connection.execute(
        "select id, attempt, tries from job where status = 'processing' and lease_until < now()"
        " order by lease_until limit 100 for update skip locked"
    )
    requeued = failed = 0
    for lapsed in await cursor.fetchall():
        if lapsed["tries"] < max_attempts:
            requeued += await _requeue(connection, lapsed["id"], lapsed["attempt"])
        else:
            failed += await _fail(connection, lapsed["id"], lapsed["attempt"], WorkerLost, retention_hours)
    cursor = await connection.execute(
        "select id from job where status = 'queued' and queued_at < now() - interval '10 seconds'"
        " and not exists (select from procrastinate_jobs entry where entry.queue_name = %s"
        " and entry.status = 'todo' and entry.args ->> 'job_id' = job.id::text)"
        " order by created_at limit 100 for update skip locked",
        [QUEUE],
    )
    lost = await cursor.fetchall()
    for waiting in lost:
        await connection.execute("update job set queued_at = now() where id = %s", [waiting["id"]])
        await deliver(connection, waiting["id"])
    return Swept(requeued, failed, len(lost))


async def _requeue(connection: Connection, job_id: UUID, attempt: int, *, tries_used: int = 1) -> bool:
    cursor = await connection.execute(
        "update job set status = 'queued', phase = 'waiting', step = 0, steps = 0, percent = 0, lease_until = null,"
        " worker_id = null, queued_at = now(), tries = tries - 1 + %(used)s"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {"used": tries_used, "id": job_id, "attempt": attempt},
    )
    if cursor.rowcount != 1:
        return False
    await deliver(connection, job_id)
    return True


async def _fail(
    connection: Connection, job_id: UUID, attempt: int, failure: type[JobFailure], retention_hours: int
) -> bool:
    cursor = await connection.execute(
        "update job set status = 'failed', error_code = %(code)s, lease_until = null, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {"code": failure.code, "hours": retention_hours, "id": job_id, "attempt": attempt},
    )
    return cursor.rowcount == 1
