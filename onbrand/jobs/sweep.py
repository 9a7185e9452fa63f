"""The sweep: finds jobs whose worker is gone, jobs that wait or run for too long, and jobs whose delivery was lost.

`maintenance` runs it every five seconds in each API process, so it works with no worker alive. The database's clock is
the only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.errors import DeadlinePassed, NoCapacity, WorkerLost
from onbrand.jobs.attempts import Rules, fail, requeue_or_fail
from onbrand.jobs.models import Status
from onbrand.jobs.queue import delete_abandoned, delete_surplus, deliver, deliveries_waiting

SWEEP_LOCK = 0x7377656570  # "sweep" in ASCII: the advisory lock that lets one sweep at a time work
_BATCH = 100
_RENEWAL_SECONDS = 60  # after the clock was set back, a live worker renews its lease within this time
_DELIVERY_SECONDS = 10  # a job queued for longer should have been claimed, or have a delivery that waits


@dataclass(frozen=True)
class Swept:
    """What a sweep did: jobs queued again, jobs failed with the reason's code, deliveries made again."""

    requeued: tuple[UUID, ...] = ()
    failed: tuple[tuple[UUID, str], ...] = ()
    delivered_again: int = 0


async def sweep_jobs(connection: Connection, rules: Rules) -> Swept:
    """Queue again or fail the jobs that nobody works on or that took too long, and make lost deliveries again.

    Any process may call it at any time. While one sweep works, the others do nothing.
    """
    cursor = await connection.execute("select pg_try_advisory_xact_lock(%s) as mine", [SWEEP_LOCK])
    row = await cursor.fetchone()
    if row is None or not row["mine"]:
        return Swept()
    await _repair_future_times(connection)
    failed = await _fail_late(connection, rules)
    cursor = await connection.execute(
        "select id, attempt, tries from job where status = 'processing' and lease_until < now()"
        " order by lease_until limit %s for update skip locked",
        [_BATCH],
    )
    requeued = []
    for lapsed in await cursor.fetchall():
        if await requeue_or_fail(connection, lapsed, rules) is Status.QUEUED:
            requeued.append(lapsed["id"])
        else:
            failed.append((lapsed["id"], WorkerLost.code))
    delivered_again = await _deliver_again(connection)
    await delete_abandoned(connection)
    await delete_surplus(connection)
    await connection.execute("update upkeep set swept_at = now()")
    return Swept(tuple(requeued), tuple(failed), delivered_again)


async def _repair_future_times(connection: Connection) -> None:
    """After the database's clock was set back, some times in the rows are in the future: replace them with now.

    Otherwise an unfinished job would wait until the clock reaches those times again. A live worker renews its lease
    within `_RENEWAL_SECONDS` anyway. If the clock was set back by less than an attempt has been running, its times are
    in the past and this function changes nothing; that delays no job beyond its deadline.
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
    """Fail jobs past their deadline, even while they are drawn, and jobs that no worker claimed in time."""
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
        await fail(connection, late["id"], failure, rules)
        failed.append((late["id"], failure.code))
    return failed


async def _deliver_again(connection: Connection) -> int:
    """Replace deliveries that were lost. Any delivery serves any job, so it is enough to compare their numbers."""
    cursor = await connection.execute(
        "select id from job where status = 'queued' and queued_at < now() - make_interval(secs => %s)"
        " order by queued_at limit %s",
        [_DELIVERY_SECONDS, _BATCH],
    )
    queued = [row["id"] for row in await cursor.fetchall()]
    without_delivery = queued[await deliveries_waiting(connection) :]
    for job_id in without_delivery:
        await deliver(connection, job_id)
    return len(without_delivery)
