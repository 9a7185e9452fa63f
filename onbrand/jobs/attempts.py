"""What workers and the sweep do to jobs: claim, progress, publish, fail, give back.

Each change is a compare-and-set on `(id, attempt, status)`: the attempt number is the fencing token, and no row
changed means that somebody else owns the job by now. Each change of state and its delivery are one transaction, the
caller's. The database's clock is the only one.

`attempt` only ever grows. `tries` counts the attempts that used up one of `MAX_ATTEMPTS`; an attempt that a stopping
worker gives back is taken off it again. A job's deadline counts from the beginning of its first attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import DictRow

from onbrand.config import Settings
from onbrand.database.pool import Connection
from onbrand.errors import BadImage, DeadlinePassed, JobFailure, NoCapacity, WorkerLost
from onbrand.jobs.models import IMAGES_PER_JOB, Claim, Pack, Progress, Status, StoredImage, image_seeds, new_seed
from onbrand.jobs.queue import deliver, deliveries_waiting, forget_abandoned, forget_surplus

SWEEP_LOCK = 0x7377656570  # "sweep"; whoever holds it keeps the sweeps away
_BATCH = 100
_RENEWAL_SECONDS = 60  # in which whoever draws is heard of, after the clock was set back
_DELIVERY_SECONDS = 10  # a job that has waited so long should have been taken, or have a delivery that waits


@dataclass(frozen=True)
class Rules:
    """When a job is given up: after so many tries, or so long after it was first claimed or last queued."""

    max_attempts: int
    deadline_seconds: float
    max_waiting_seconds: float
    retention_hours: int  # how long what has ended is kept

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """The rules as they are set."""
        return cls(
            settings.max_attempts,
            settings.job_deadline_seconds,
            settings.max_waiting_seconds,
            settings.retention_hours,
        )


@dataclass(frozen=True)
class Swept:
    """What a sweep did: jobs requeued, jobs failed with the reason's code, deliveries made again."""

    requeued: tuple[UUID, ...] = ()
    failed: tuple[tuple[UUID, str], ...] = ()
    delivered_again: int = 0


async def drop_lost_claims(connection: Connection, worker_id: str, rules: Rules) -> None:
    """End the attempts of a worker that is not drawing: claims whose commit it never heard of.

    A worker that asks for work has nothing in hand. Without this such a job would wait until its lease lapses.
    """
    cursor = await connection.execute(
        "select id, attempt, tries, percent from job where status = 'processing' and worker_id = %s for update",
        [worker_id],
    )
    for lost in await cursor.fetchall():
        if lost["percent"] == 0:  # not a step was drawn, so it costs no try
            await _requeue(connection, lost["id"], lost["attempt"], tries_used=0)
        else:
            await _requeue_or_fail(connection, lost, rules)


async def next_job(connection: Connection) -> UUID | None:
    """The waiting job to draw next, locked until the caller's transaction ends; None if there is none.

    People take turns (`waiting_job`), so that nobody waits behind another's backlog. A job that another worker is
    claiming at this moment is passed over.
    """
    cursor = await connection.execute(
        # One row after the other: joined as a whole, a planner with old statistics reads all of them for each.
        "select locked.id from (select id from waiting_job order by place) as turn cross join lateral"
        " (select id from job where job.id = turn.id and status = 'queued' for update skip locked) as locked limit 1"
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def next_prompt(connection: Connection) -> str | None:
    """The prompt of the job that would be drawn next, if any waits: to be read while a model still loads."""
    cursor = await connection.execute(
        "select job.prompt from waiting_job join job using (id) order by waiting_job.place limit 1"
    )
    row = await cursor.fetchone()
    return row["prompt"] if row else None


async def claim(
    connection: Connection, job_id: UUID, worker_id: str, *, pack: Pack, lease_seconds: float
) -> Claim | None:
    """Take the next attempt at a job that waits; None if it does not wait (any more)."""
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
    if progress.previews:  # the row that was just changed is locked, so the attempt is still ours
        await connection.execute(
            "insert into preview (job_id, attempt, pictures) values (%s, %s, %s) on conflict (job_id)"
            " do update set attempt = excluded.attempt, pictures = excluded.pictures",
            [claim.job_id, claim.attempt, list(progress.previews)],
        )
    return True


async def renew(connection: Connection, claim: Claim, *, lease_seconds: float) -> bool:
    """Renew the lease of an attempt that waits with nothing new to report. False: it is no longer ours, stop."""
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
    """Make four stored images the job's result, in the caller's transaction. False: nothing was changed, we are late.

    The row is changed first: it is the fence, and the images are only inserted behind it. Safe to repeat after a
    commit whose answer was lost: an attempt that is already the result stays it.
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


async def end_attempt(connection: Connection, claim: Claim, failure: type[JobFailure], rules: Rules) -> Status | None:
    """End an attempt that brought no images: requeue the job with a new delivery, or fail it. None: no longer ours."""
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
    await _fail(connection, claim.job_id, reason, rules)
    return Status.FAILED


async def give_back(connection: Connection, claim: Claim) -> bool:
    """Hand an attempt back because the worker must stop; it does not count as a try. False: no longer ours."""
    return await _requeue(connection, claim.job_id, claim.attempt, tries_used=0)


async def sweep(connection: Connection, rules: Rules) -> Swept:
    """Requeue or fail what nobody works on any more or what took too long, and make lost deliveries again.

    Safe to run anywhere at any time; of several at once, one works.
    """
    cursor = await connection.execute("select pg_try_advisory_xact_lock(%s) as mine", [SWEEP_LOCK])
    row = await cursor.fetchone()
    if row is None or not row["mine"]:
        return Swept()
    await _outlive_a_clock_set_back(connection)
    failed = await _fail_late(connection, rules)
    cursor = await connection.execute(
        "select id, attempt, tries from job where status = 'processing' and lease_until < now()"
        " order by lease_until limit %s for update skip locked",
        [_BATCH],
    )
    requeued = []
    for lapsed in await cursor.fetchall():
        if await _requeue_or_fail(connection, lapsed, rules) is Status.QUEUED:
            requeued.append(lapsed["id"])
        else:
            failed.append((lapsed["id"], WorkerLost.code))
    delivered_again = await _deliver_again(connection)
    await forget_abandoned(connection)
    await forget_surplus(connection)
    await connection.execute("update upkeep set swept_at = now()")
    return Swept(tuple(requeued), tuple(failed), delivered_again)


async def _outlive_a_clock_set_back(connection: Connection) -> None:
    """What lies ahead counts from now, or it would wait until the clock is there again. A live worker renews its lease.

    One that was set back by less than an attempt has been running is not noticed: that delays nothing past a deadline.
    """
    await connection.execute(
        "update job set queued_at = now() where status in ('queued', 'processing') and queued_at > now()"
    )
    await connection.execute(
        "update job set started_at = now(), first_started_at = least(first_started_at, now()), lease_until ="
        " case status when 'processing' then least(lease_until, now() + make_interval(secs => %s)) end"
        " where status in ('queued', 'processing') and started_at > now()",
        [_RENEWAL_SECONDS],
    )


async def _fail_late(connection: Connection, rules: Rules) -> list[tuple[UUID, str]]:
    """Fail what is past its deadline, drawn at this moment or not, and what no worker took in time."""
    cursor = await connection.execute(
        "select id, first_started_at is not null as was_started from job"
        " where status in ('queued', 'processing')"
        " and (first_started_at + make_interval(secs => %s) < now()"
        "  or (status = 'queued' and queued_at + make_interval(secs => %s) < now()))"
        " order by created_at limit %s for update skip locked",
        [rules.deadline_seconds, rules.max_waiting_seconds, _BATCH],
    )
    failed = []
    for late in await cursor.fetchall():
        failure = DeadlinePassed if late["was_started"] else NoCapacity
        await _fail(connection, late["id"], failure, rules)
        failed.append((late["id"], failure.code))
    return failed


async def _requeue_or_fail(connection: Connection, lost: DictRow, rules: Rules) -> Status:
    """What becomes of a processing job that nobody draws, whose row the caller's transaction has locked."""
    if lost["tries"] < rules.max_attempts:
        await _requeue(connection, lost["id"], lost["attempt"])
        return Status.QUEUED
    await _fail(connection, lost["id"], WorkerLost, rules)
    return Status.FAILED


async def _deliver_again(connection: Connection) -> int:
    """Make up for deliveries that were lost. Any delivery serves any job, so their numbers are compared."""
    cursor = await connection.execute(
        "select id from job where status = 'queued' and queued_at < now() - make_interval(secs => %s)"
        " order by queued_at limit %s",
        [_DELIVERY_SECONDS, _BATCH],
    )
    waiting = [row["id"] for row in await cursor.fetchall()]
    lost = waiting[await deliveries_waiting(connection) :]
    for job_id in lost:
        await deliver(connection, job_id)
    return len(lost)


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
    if new_seeds:  # the same ones would bring the same unusable picture again
        seed = new_seed()
        await connection.execute(
            "update job set seed = %s, seeds = %s where id = %s", [seed, list(image_seeds(seed)), job_id]
        )
    await deliver(connection, job_id)
    return True


async def _fail(connection: Connection, job_id: UUID, failure: type[JobFailure], rules: Rules) -> None:
    """Fail an unfinished job, whose row the caller's transaction has locked."""
    await connection.execute(
        "update job set status = 'failed', error_code = %(code)s, lease_until = null, completed_at = now(),"
        " expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and status in ('queued', 'processing')",
        {"code": failure.code, "hours": rules.retention_hours, "id": job_id},
    )
