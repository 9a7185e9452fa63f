"""The governor: what may still be accepted and kept warm, so that a month never costs more than its budget.

What is spent, what accepted jobs may still cost, and what is asked for now must fit into the budget together. An
accepted job may cost its drawing as often as it may be tried, with a start for each try: so whatever was accepted is
drawn, even if replicas die. Only then is a new job refused, with the date when the budget opens again.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import datetime

from onbrand.budget import ledger
from onbrand.budget.plan import GRACE_SECONDS, Plan
from onbrand.database.pool import Connection
from onbrand.errors import BudgetSpent
from onbrand.jobs.eta import usual_drawing

logger = logging.getLogger(__name__)

LOW_SHARE = 0.8
_UNMEASURED_JOB_SECONDS = 60.0
_SLOWER = 1.5  # a job may take as many times as long as nine in ten do
_WARM_SHARE = 0.05  # of what is left, that one lease may cost
_SHORTEST_LEASE_SECONDS = 5.0
_RETRY_SECONDS = 60  # when the jobs before have ended, there may be room


@dataclass(frozen=True)
class Standing:
    """The budget at this moment, in US dollars. `reserved` is the most that what was accepted may still cost."""

    plan: Plan
    spent_usd: float
    reserved_usd: float
    job_usd: float  # the most that one more job may cost
    opens_at: datetime  # the beginning of the next month (UTC)
    seconds_to_opening: float
    closed_until: datetime | None  # starts failed: until then no GPU is started

    @property
    def left_usd(self) -> float:
        """What may still be promised."""
        return self.plan.gpu_usd - self.spent_usd - self.reserved_usd

    @property
    def share(self) -> float:
        """Of the whole budget, what is spent, the fixed cost included."""
        return (self.plan.fixed_usd + self.spent_usd) / self.plan.usd

    @property
    def is_spent(self) -> bool:
        """Whether not even one job fits any more in this month, once those that were accepted have ended."""
        return self.spent_usd + self.job_usd > self.plan.gpu_usd

    @property
    def is_low(self) -> bool:
        """Whether most of the money for GPUs is spent."""
        return self.spent_usd >= LOW_SHARE * self.plan.gpu_usd


async def standing(connection: Connection, plan: Plan) -> Standing:
    """The budget at this moment."""
    usual = await usual_drawing(connection)
    job_seconds = _SLOWER * usual.slow if usual else _UNMEASURED_JOB_SECONDS
    cursor = await connection.execute(
        "select (select count(*) from job where status in ('queued', 'processing')) as jobs,"
        " (select count(*) from gpu_life where ended_at is null) as lives,"
        " greatest(0, extract(epoch from warm_until - now()))::float8 as warm,"
        " case when closed_until > now() then closed_until end as closed_until,"
        f" {ledger.NEXT_MONTH} as opens_at, extract(epoch from {ledger.NEXT_MONTH} - now())::float8 as seconds"
        " from gpu_demand"
    )
    row = await cursor.fetchone()
    assert row is not None  # the migration inserted it
    start, warm = plan.start_seconds + GRACE_SECONDS, min(row["warm"], plan.start_seconds + plan.warm_seconds)
    tries = plan.attempts * (job_seconds + start)  # a start for each: several replicas may be started for several jobs
    seconds = row["jobs"] * tries + row["lives"] * (GRACE_SECONDS + warm)
    if row["lives"] == 0 and warm:
        seconds += start + warm
    return Standing(
        plan=plan,
        spent_usd=await ledger.spent(connection),
        reserved_usd=plan.usd_per_second * seconds,
        job_usd=plan.usd_per_second * tries,
        opens_at=row["opens_at"],
        seconds_to_opening=row["seconds"],
        closed_until=row["closed_until"],
    )


async def admit(connection: Connection, plan: Plan) -> None:
    """Do nothing if one more job fits. The caller stores it in the same transaction, which holds the budget's lock.

    Raises:
        BudgetSpent: it doesn't fit; it says when the budget opens again.
    """
    await ledger.lock(connection)
    await ledger.repair_future_times(connection, plan)
    now = await standing(connection, plan)
    if now.job_usd <= now.left_usd:
        return
    if now.is_spent:
        day = f"{now.opens_at:%-d %B %Y}"
        detail = f"The studio's budget for this month is spent. It opens again on {day} (UTC). Your prompt isn't lost."
        raise BudgetSpent(detail, retry_after_seconds=math.ceil(now.seconds_to_opening))
    detail = "What is left of this month's budget is promised to the generations before yours. Try again in a minute."
    raise BudgetSpent(detail, retry_after_seconds=_RETRY_SECONDS)


async def warm(connection: Connection, plan: Plan) -> float:
    """Ask for a GPU, because somebody is about to generate; the seconds that it is kept for, 0 if there is no money.

    The less is left, the shorter it is. A lease that is running is made longer, never shorter.
    """
    await ledger.lock(connection)
    await ledger.repair_future_times(connection, plan)
    now = await standing(connection, plan)
    seconds = min(plan.warm_seconds, _WARM_SHARE * (now.left_usd - now.job_usd) / plan.usd_per_second)
    if seconds < _SHORTEST_LEASE_SECONDS:
        return 0.0
    cursor = await connection.execute(
        "select exists (select from gpu_life where ready_at is not null and ended_at is null) as ready"
    )
    row = await cursor.fetchone()
    if not (row and row["ready"]):
        seconds += plan.start_seconds
        if plan.usd_per_second * seconds > now.left_usd - now.job_usd:
            return 0.0
    await connection.execute(
        "update gpu_demand set warm_until = greatest(warm_until, now() + make_interval(secs => %s))"
        " where closed_until <= now()",
        [seconds],
    )
    await ledger.want(connection, plan)
    return seconds


async def tend(connection: Connection, plan: Plan) -> None:
    """Keep the ledger true, keep a replica warm after its jobs, and warn once a month when most is spent."""
    await ledger.lock(connection)
    if await ledger.tend(connection, plan):
        logger.error(
            "Three GPUs were started and none became ready: none is started for ten minutes. Look at the worker's log.",
            extra={"action": "gpu_starts_failed"},
        )
    cursor = await connection.execute("select exists (select from job where status = 'processing') as drawing")
    row = await cursor.fetchone()
    if row and row["drawing"]:
        await warm(connection, plan)
    now = await standing(connection, plan)
    if now.is_low:
        cursor = await connection.execute(
            "update gpu_demand set warned_month = date_trunc('month', now() at time zone 'utc')::date"
            " where warned_month is distinct from date_trunc('month', now() at time zone 'utc')::date"
        )
        if cursor.rowcount == 1:
            logger.warning(
                "Of this month's budget for GPUs, %d %% is spent: $%.2f of $%.2f",
                100 * now.spent_usd / plan.gpu_usd,
                now.spent_usd,
                plan.gpu_usd,
                extra={"action": "budget_low"},
            )
