"""The ledger: a row for each life of a GPU replica, from the moment when it was wanted until its end.

A replica is billed from when the platform begins to start it, and nobody tells us that moment. So a life begins when
the demand rose; a worker that comes takes the row over. A worker that vanished is billed until its last sign and
`GRACE_SECONDS` more. All times are the database's, so they are wrong together or not at all.
"""

from __future__ import annotations

from typing import LiteralString

from onbrand.budget.plan import GRACE_SECONDS, Plan
from onbrand.database.pool import Connection

_FAILED_STARTS = 3
_CLOSED_SECONDS = 600
_STARTS_WITHIN_SECONDS = 3600  # older failures say nothing about now
_PATIENCE = 5.0  # a start takes at most this many times as long as planned, but at least ten minutes
_LEAST_PATIENCE_SECONDS = 600.0
# Of a life, the dollars between two times. A time set back makes no life cost less than nothing.
_COST: LiteralString = (
    "usd_per_second * extract(epoch from greatest(interval '0',"
    " least(coalesce(ended_at, now()), {until}) - greatest(wanted_at, {since})))::float8"
)
_MONTH: LiteralString = "date_trunc('month', now() at time zone 'utc')"
_SINCE: LiteralString = f"({_MONTH} at time zone 'utc')"
NEXT_MONTH: LiteralString = f"(({_MONTH} + interval '1 month') at time zone 'utc')"


async def lock(connection: Connection) -> None:
    """Let one transaction at a time decide about the budget, or write down a worker's sign or end, until it ends.

    `tend` counts failed starts and then begins a start: between the two, no life may change.
    """
    await connection.execute("select pg_advisory_xact_lock(hashtextextended('onbrand budget', 0))")


async def spent(connection: Connection) -> float:
    """Dollars for GPUs in this month (UTC), up to now."""
    cost = _COST.replace("{since}", _SINCE).replace("{until}", NEXT_MONTH)
    cursor = await connection.execute(
        f"select coalesce(sum({cost}), 0) as usd from gpu_life where coalesce(ended_at, 'infinity') > {_SINCE}"
    )
    row = await cursor.fetchone()
    return float(row["usd"]) if row else 0.0


async def spent_by_day(connection: Connection) -> list[float]:
    """Dollars for GPUs on each day of this month (UTC), up to today."""
    cost = _COST.replace("{since}", "(day at time zone 'utc')")
    cost = cost.replace("{until}", "((day + interval '1 day') at time zone 'utc')")
    cursor = await connection.execute(
        f"select coalesce((select sum({cost}) from gpu_life), 0) as usd"
        f" from generate_series({_MONTH}, now() at time zone 'utc', interval '1 day') as day order by day"
    )
    return [float(row["usd"]) for row in await cursor.fetchall()]


async def saw(connection: Connection, worker_id: str, *, is_ready: bool, plan: Plan) -> None:
    """Record a sign of a worker. Its first sign takes over the life that was wanted, if there is one.

    A worker that nobody waited for (a second one, one started by hand) is billed from a usual start before its sign.
    """
    await lock(connection)
    await repair_future_times(connection, plan)
    ready = {"id": worker_id, "ready": is_ready, "price": plan.usd_per_second, "start": plan.start_seconds}
    cursor = await connection.execute(
        "update gpu_life set seen_at = now(), ended_at = null, is_failed_start = false,"
        " ready_at = coalesce(ready_at, case when %(ready)s then now() end) where worker_id = %(id)s",
        ready,
    )
    if cursor.rowcount == 0:
        cursor = await connection.execute(
            "update gpu_life set worker_id = %(id)s, seen_at = now(), came_at = now(),"
            " ready_at = case when %(ready)s then now() end where worker_id is null and ended_at is null",
            ready,
        )
    if cursor.rowcount == 0:
        await connection.execute(
            "insert into gpu_life (worker_id, wanted_at, came_at, seen_at, ready_at, usd_per_second) values"
            " (%(id)s, now() - make_interval(secs => %(start)s), now(), now(),"
            " case when %(ready)s then now() end, %(price)s) on conflict do nothing",
            ready,
        )


async def ended(connection: Connection, worker_id: str, *, is_failure: bool = False) -> None:
    """Record that a worker stops now. With `is_failure`, it stops by an error, and its model may not be loaded yet."""
    await lock(connection)
    await connection.execute(
        "update gpu_life set ended_at = now(), seen_at = now(), is_failed_start = %s and ready_at is null"
        " where worker_id = %s and ended_at is null",
        [is_failure, worker_id],
    )


async def want(connection: Connection, plan: Plan) -> None:
    """Begin a life if a replica is wanted and none lives. Demand has just risen."""
    await connection.execute(
        "insert into gpu_life (wanted_at, seen_at, usd_per_second) select now(), now(), %s"
        " where (select n from keda_gpu_demand) > 0"
        " and not exists (select from gpu_life where ended_at is null) on conflict do nothing",
        [plan.usd_per_second],
    )


async def tend(connection: Connection, plan: Plan) -> bool:
    """End the lives of replicas that vanished or are no longer wanted, begin one that is wanted, count failed starts.

    A start that is no longer wanted is billed for a minute more: the platform notices later.

    Returns whether the demand was closed just now, because starts failed one after the other.
    """
    await repair_future_times(connection, plan)
    await connection.execute(
        "update gpu_life set ended_at = seen_at + make_interval(secs => %(grace)s), is_failed_start = ready_at is null"
        " where worker_id is not null and ended_at is null and seen_at < now() - make_interval(secs => %(grace)s)",
        {"grace": GRACE_SECONDS},
    )
    await connection.execute(
        "update gpu_life set seen_at = now(),"
        " ended_at = case when n = 0 then now() + make_interval(secs => %(grace)s)"
        "  when wanted_at < now() - make_interval(secs => %(patience)s) then now() end,"
        " is_failed_start = n > 0 and wanted_at < now() - make_interval(secs => %(patience)s)"
        " from keda_gpu_demand where worker_id is null and ended_at is null",
        {"patience": max(_LEAST_PATIENCE_SECONDS, _PATIENCE * plan.start_seconds), "grace": GRACE_SECONDS},
    )
    is_closed = await _close_after_failed_starts(connection)
    await want(connection, plan)
    return is_closed


async def _close_after_failed_starts(connection: Connection) -> bool:
    """Close the demand for ten minutes if the last three starts failed: a platform would start again and again.

    Starts that have closed it do so once: when it opens again, one more is tried.
    """
    cursor = await connection.execute(
        "update gpu_demand set closed_until = now() + make_interval(secs => %(closed)s), warm_until = 'epoch'"
        " from (select bool_and(is_failed_start) as all_failed, count(*) as starts, max(ended_at) as latest from"
        "  (select is_failed_start, ended_at from gpu_life where is_failed_start or ready_at is not null"
        "   order by id desc limit %(starts)s) as last) as found"
        " where all_failed and starts = %(starts)s and closed_until <= now()"
        " and latest > greatest(now() - make_interval(secs => %(within)s), closed_until)",
        {"closed": _CLOSED_SECONDS, "starts": _FAILED_STARTS, "within": _STARTS_WITHIN_SECONDS},
    )
    return cursor.rowcount == 1


async def repair_future_times(connection: Connection, plan: Plan) -> None:
    """After the clock was set back, some times are in the future. A life is moved back whole, so it costs as much.

    Only what passed since its last sign, some seconds, is lost.
    """
    await connection.execute(
        "update gpu_life set wanted_at = wanted_at - (seen_at - now()), came_at = came_at - (seen_at - now()),"
        " ready_at = ready_at - (seen_at - now()), seen_at = now() where ended_at is null and seen_at > now()"
    )
    await connection.execute(
        "update gpu_demand set closed_until = least(closed_until, now() + make_interval(secs => %(closed)s)),"
        " warm_until = least(warm_until, now() + make_interval(secs => %(warm)s))",
        {"closed": _CLOSED_SECONDS, "warm": plan.start_seconds + plan.warm_seconds},
    )
