"""What a worker does to a job: claim it, report progress, publish images, fail, or give it back.

Each change is a compare-and-set on `(id, attempt, status)`. The attempt number is the fencing token: a statement that
changes no row means that the job was cancelled or belongs to another attempt by now. A change of state and the queue
entry (delivery) that belongs to it are one transaction, the caller's. The database's clock is the only one.

`attempt` only ever grows. `tries` counts the attempts that used up one of `ONBRAND_MAX_ATTEMPTS`. An attempt that a
stopping worker gives back is subtracted from `tries` again. A job's deadline counts from the start of its first
attempt. ADR 8 says why there are two numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import DictRow

from onbrand.config import Settings
from onbrand.database.pool import Connection
from onbrand.errors import BadImage, DeadlinePassed, JobFailure, WorkerLost
from onbrand.jobs.models import IMAGES_PER_JOB, Claim, Pack, Progress, Status, StoredImage, image_seeds, new_seed
from onbrand.jobs.queue import deliver


@dataclass(frozen=True)
class Rules:
    """When a job is given up: after so many tries, or so long after it was first claimed or last queued."""

    max_attempts: int
    deadline_seconds: float  # since the first claim
    max_waiting_seconds: float  # since the job was last queued
    retention_hours: int  # how long an ended job is kept

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """The rules that the settings name."""
        return cls(
            settings.max_attempts,
            settings.job_deadline_seconds,
            settings.max_waiting_seconds,
            settings.retention_hours,
        )


async def drop_lost_claims(connection: Connection, worker_id: str, rules: Rules) -> None:
    """End the attempts of a worker that asks for work, and so is not working on any job.

    Such an attempt exists when the claim was committed but the answer to the commit was lost. Without this call the
    job would wait until its lease lapses.
    """
    cursor = await connection.execute(
        "select id, attempt, tries, percent from job where status = 'processing' and worker_id = %s for update",
        [worker_id],
    )
    for lost in await cursor.fetchall():
        if lost["percent"] == 0:  # the model never began, so the attempt counts as no try
            await _requeue(connection, lost["id"], lost["attempt"], tries_used=0)
        else:
            await requeue_or_fail(connection, lost, rules)


async def claim(
    connection: Connection, job_id: UUID, worker_id: str, *, pack: Pack, lease_seconds: float
) -> Claim | None:
    """Start the next attempt at a queued job; None if the job is not queued any more."""
    cursor = await connection.execute(
        "update job set status = 'processing', attempt = attempt + 1, tries = tries + 1, worker_id = %(worker)s,"
        " phase = 'encoding', step = 0, steps = 0, percent = 0, drawn_at = null,"
        " started_at = now(), first_started_at = coalesce(first_started_at, now()),"
        " lease_until = now() + make_interval(secs => %(lease)s),"
        " pack_id = %(pack_id)s, pack_name = %(pack_name)s, pack_version = %(pack_version)s"
        " where id = %(id)s and status = 'queued'"
        " returning id, attempt, tries, prompt, seeds",
        {
            "id": job_id,
            "worker": worker_id,
            "lease": lease_seconds,
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
        " percent = greatest(percent, %(percent)s), lease_until = now() + make_interval(secs => %(lease)s),"
        " drawn_at = case when %(steps)s > 0 and %(step)s = %(steps)s then coalesce(drawn_at, now()) end"
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
    if cursor.rowcount != 1:
        return False
    if progress.previews:  # the update above has locked the job's row, so the attempt is still ours
        await connection.execute(
            "insert into preview (job_id, attempt, pictures) values (%s, %s, %s) on conflict (job_id)"
            " do update set attempt = excluded.attempt, pictures = excluded.pictures",
            [claim.job_id, claim.attempt, list(progress.previews)],
        )
    return True


async def renew(connection: Connection, claim: Claim, *, lease_seconds: float) -> bool:
    """Renew the lease of an attempt that has no progress to report. False: the attempt is no longer ours, stop."""
    cursor = await connection.execute(
        "update job set lease_until = now() + make_interval(secs => %s)"
        " where id = %s and attempt = %s and status = 'processing'",
        [lease_seconds, claim.job_id, claim.attempt],
    )
    return cursor.rowcount == 1


async def publish(
    connection: Connection,
    claim: Claim,
    images: Sequence[StoredImage],
    *,
    prompt_ignored: int,
    retention_hours: int,
) -> bool:
    """Make four stored images the job's result. False: nothing was changed, the attempt is no longer ours.

    The job's row is changed first, because that statement is the fence: the images are inserted only after it has
    succeeded. Calling this again after a commit whose answer was lost is safe: it returns True and adds nothing.

    Raises:
        ValueError: the images are not exactly number 1 to 4.
    """
    if sorted(image.n for image in images) != list(range(1, IMAGES_PER_JOB + 1)):
        raise ValueError("a job has exactly the images 1 to 4")
    cursor = await connection.execute(
        "update job set status = 'complete', result_attempt = attempt, percent = 100, lease_until = null,"
        " step = steps, prompt_truncated = %(ignored)s > 0, prompt_ignored = %(ignored)s, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {
            "ignored": prompt_ignored,
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
            "insert into image (job_id, n, sha256, size, rendition_sha256, rendition_size)"
            " values (%s, %s, %s, %s, %s, %s)",
            [
                claim.job_id,
                image.n,
                image.sha256,
                image.size,
                image.rendition and image.rendition.sha256,
                image.rendition and image.rendition.size,
            ],
        )
    return True


async def is_current(connection: Connection, claim: Claim) -> bool:
    """Whether this attempt is the job's running one. It is not after a cancel or when the job was queued again."""
    cursor = await connection.execute(
        "select from job where id = %s and attempt = %s and status = 'processing'", [claim.job_id, claim.attempt]
    )
    return cursor.rowcount == 1


async def end_attempt(connection: Connection, claim: Claim, failure: type[JobFailure], rules: Rules) -> Status | None:
    """End an attempt that produced no images: queue the job again with a new delivery, or fail it.

    Returns the job's new status; None if the attempt is no longer ours.
    """
    cursor = await connection.execute(
        "select tries, first_started_at + make_interval(secs => %s) < now() as late from job"
        " where id = %s and attempt = %s and status = 'processing' for update",
        [rules.deadline_seconds, claim.job_id, claim.attempt],
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if failure.retryable and row["tries"] < rules.max_attempts and not row["late"]:
        await _requeue(connection, claim.job_id, claim.attempt, new_seeds=failure is BadImage)
        return Status.QUEUED
    reason = DeadlinePassed if row["late"] and failure.retryable else failure
    await fail(connection, claim.job_id, reason, rules)
    return Status.FAILED


async def give_back(connection: Connection, claim: Claim) -> bool:
    """Queue the job of an attempt again because its worker must stop; that costs the job no try.

    Returns False if the attempt is no longer ours.
    """
    return await _requeue(connection, claim.job_id, claim.attempt, tries_used=0)


async def requeue_or_fail(connection: Connection, lost: DictRow, rules: Rules) -> Status:
    """Queue a job again whose worker is gone, or fail it if it has no try left. Returns the new status.

    `lost` is the job's row (id, attempt, tries), which the caller's transaction has locked.
    """
    if lost["tries"] < rules.max_attempts:
        await _requeue(connection, lost["id"], lost["attempt"])
        return Status.QUEUED
    await fail(connection, lost["id"], WorkerLost, rules)
    return Status.FAILED


async def fail(connection: Connection, job_id: UUID, failure: type[JobFailure], rules: Rules) -> None:
    """Fail an unfinished job whose row the caller's transaction has locked."""
    await connection.execute(
        "update job set status = 'failed', error_code = %(code)s, lease_until = null, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and status in ('queued', 'processing')",
        {"code": failure.code, "hours": rules.retention_hours, "id": job_id},
    )


async def _requeue(
    connection: Connection, job_id: UUID, attempt: int, *, tries_used: int = 1, new_seeds: bool = False
) -> bool:
    cursor = await connection.execute(
        "update job set status = 'queued', phase = 'waiting', step = 0, steps = 0, percent = 0, lease_until = null,"
        " worker_id = null, queued_at = now(), tries = tries - 1 + %(used)s"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        {"used": tries_used, "id": job_id, "attempt": attempt},
    )
    if cursor.rowcount != 1:
        return False
    if new_seeds:  # the same seeds would produce the same unusable image again
        seed = new_seed()
        await connection.execute(
            "update job set seed = %s, seeds = %s where id = %s", [seed, list(image_seeds(seed)), job_id]
        )
    await deliver(connection, job_id)
    return True
