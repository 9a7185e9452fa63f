"""How much may be asked for: unfinished jobs of one person, jobs of one person in a minute, queued jobs of everybody.

The limits are settings (`ONBRAND_MAX_…`). What each error tells the person is in `errors`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import LiteralString

from onbrand.config import Settings
from onbrand.database.pool import Connection
from onbrand.errors import QueueFull, TooManyQueued, TooManySubmitted
from onbrand.jobs.eta import round_seconds, usual_drawing
from onbrand.jobs.models import Owner

# The time of this statement. `now()` is that of the transaction's beginning, and a submission waits for others.
CLOCK: LiteralString = "now() + (clock_timestamp() - transaction_timestamp())"
_LONGEST_RETRY_SECONDS = 60
_UNMEASURED_RETRY_SECONDS = 10  # as long as no job has been measured


@dataclass(frozen=True)
class Limits:
    """How much may be asked for. The first two are exact. The last may be exceeded by a few jobs submitted at once."""

    unfinished_per_user: int
    submitted_per_minute: int  # by one user
    waiting: int  # by everybody

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that the settings name."""
        return cls(settings.max_queued_per_user, settings.max_submitted_per_minute, settings.max_queued)


async def check_limits(connection: Connection, owner: Owner, limits: Limits) -> None:
    """Do nothing if this person may submit one more job.

    The caller lets one submission of a person run at a time: otherwise two could both take the last free place.

    Raises:
        TooManyQueued: the person has too many unfinished jobs.
        TooManySubmitted: the person has submitted too many jobs in the last minute.
        QueueFull: too many jobs of everybody are queued.
    """
    cursor = await connection.execute(
        "select"
        " (select count(*) from job where tenant_id = %(tenant)s and user_id = %(user)s"
        "  and status in ('queued', 'processing')) as unfinished,"
        " (select count(*) from job where status = 'queued') as waiting,"
        f" (select extract(epoch from created_at + interval '1 minute' - ({CLOCK}))::float8 from job"
        f"  where tenant_id = %(tenant)s and user_id = %(user)s and created_at <= {CLOCK}"  # it may be set back
        "  order by created_at desc offset %(rate)s - 1 limit 1) as seconds_to_wait",
        {"tenant": owner.tenant_id, "user": owner.user_id, "rate": limits.submitted_per_minute},
    )
    row = await cursor.fetchone()
    assert row is not None  # a select without a table always has a row
    if row["unfinished"] >= limits.unfinished_per_user:
        raise TooManyQueued(retry_after_seconds=await _seconds_for_one_job(connection))
    if row["seconds_to_wait"] is not None and row["seconds_to_wait"] > 0:
        raise TooManySubmitted(retry_after_seconds=math.ceil(row["seconds_to_wait"]))
    if row["waiting"] >= limits.waiting:
        raise QueueFull(retry_after_seconds=await _seconds_for_one_job(connection))


async def _seconds_for_one_job(connection: Connection) -> int:
    """When to ask again: after as many seconds as a job usually takes, because one has then probably ended."""
    usual = await usual_drawing(connection)
    return min(round_seconds(usual.typical), _LONGEST_RETRY_SECONDS) if usual else _UNMEASURED_RETRY_SECONDS
