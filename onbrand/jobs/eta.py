"""How long a job still takes, from what was measured. What was never measured is None: nothing is guessed.

Measured are the latest complete jobs, from claim to result, the latest times a model was loaded, and the latest starts
of a GPU where the budget's ledger counts them. Brand packs differ in their number of steps, so only jobs of the live
pack count, once there are a few. Where the API and the model share processors, people who wait for their own jobs slow
the one that is drawn: jobs with others behind them are measured apart. Nothing else in Onbrand decides anything by
these seconds. The database's clock is the only one.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import LiteralString
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.jobs.models import Job, Phase, Progress, Status

_JOBS_MEASURED = 20
_JOBS_TYPICAL: LiteralString = "7"  # a machine's speed changes with what else it does; the latest say how it is now
_STARTS_MEASURED = 20
_FEW = 3  # with fewer jobs of the live pack, jobs of all packs are the better measure
_ORDINARY = 0.25  # jobs differ by as much for no reason that lasts
_STEADY = 2.0  # a job more than two times slower or faster than usual had a pause, and will not go on like that
_SECONDS_TAKEN: LiteralString = (
    "extract(epoch from completed_at - started_at)::float8 as seconds,"
    " extract(epoch from completed_at - drawn_at)::float8 as saving"
)
_SECONDS_SPENT: LiteralString = (
    "extract(epoch from coalesce(drawn_at, now()) - started_at)::float8 as drawing,"
    " coalesce(extract(epoch from now() - drawn_at), 0)::float8 as saving"
)


@dataclass(frozen=True)
class Usual:
    """Seconds: half of the latest took less than `typical` (median), nine in ten less than `slow` (90th percentile)."""

    typical: float
    slow: float


@dataclass(frozen=True)
class UsualDrawing(Usual):
    """Seconds from claim to result: the median of the latest seven, the 90th percentile of the latest twenty.

    `saving` is the median of the part after the last denoising step. `pace` is the time that the job before took, as a
    share of the median, if it has just ended and was clearly slower or faster; otherwise 1. `typical` is of jobs that
    were alone, `crowded` of those during which another one waited or was drawn, too.
    """

    saving: float
    pace: float = 1.0
    crowded: float = 0.0

    def among(self, others: int) -> UsualDrawing:
        """What is usual while so many other jobs wait or are drawn."""
        return replace(self, typical=self.crowded) if others else self


@dataclass(frozen=True)
class Outlook:
    """What a waiting person is told. None means unknown or not applicable."""

    queue_position: int | None = None  # 1 is next
    eta_seconds: int | None = None
    phase: Phase | None = None  # of a queued job: which part of starting a worker it waits for
    is_late: bool = False  # it takes longer than nine in ten did
    previews: tuple[bytes, ...] = ()  # JPEG files, one for each image


def round_seconds(seconds: float) -> int:
    """Whole seconds, at least one: what people are told."""
    return max(1, round(seconds))


def remaining_seconds(progress: Progress, usual: UsualDrawing, drawing: float, saving: float) -> float:
    """Seconds until a running job is complete that was drawn for `drawing` and then saved for `saving` seconds so far.

    All steps are assumed to take the same time, and saving as long as it usually takes.
    """
    usual_drawing = usual.typical - usual.saving
    if not progress.steps or usual_drawing <= 0:
        return usual.pace * usual.typical
    share = progress.step / progress.steps
    return max(0.0, present_pace(progress, usual, drawing) * (usual_drawing * (1 - share) + usual.saving) - saving)


def present_pace(progress: Progress, usual: UsualDrawing, drawing: float) -> float:
    """How slow the machine is now: the time that jobs take, as a share of `typical`.

    If the machine is busy with something else, it probably stays slow. At first the pace is that of the job before.
    The more steps are done, the more the job's own pace counts, so seconds don't jump between two jobs.
    """
    usual_drawing = usual.typical - usual.saving
    if not progress.steps or usual_drawing <= 0:
        return usual.pace
    share = progress.step / progress.steps
    until_now = min(1.0, share + 0.5 / progress.steps)  # on average, half of the next step is done too
    return usual.pace + share * (_steady(drawing / (usual_drawing * until_now)) - usual.pace)


def _steady(pace: float) -> float:
    return min(max(pace, 1 / _STEADY), _STEADY)


def until_drawn(place: int, running: Sequence[float], free_in: Sequence[float], typical: float) -> float:
    """Seconds until the queued job at `place` (1 is next) is complete.

    `running`: the remaining seconds of each running job. `free_in`: for each worker, the seconds until its model is
    loaded (0 if it is). A worker takes the next job as soon as it is free.
    """
    free = sorted(free_in)
    for seconds in [*running, *[typical] * (place - 1)]:
        heapq.heapreplace(free, free[0] + seconds)
    return free[0] + typical


async def outlook(connection: Connection, job: Job) -> Outlook:
    """The position, the remaining seconds, what a queued job waits for, and the previews of a running one."""
    match job.status:
        case Status.QUEUED:
            return await _of_waiting(connection, job.id)
        case Status.PROCESSING:
            return await _of_running(connection, job)
        case _:
            return Outlook()


async def usual_drawing(connection: Connection) -> UsualDrawing | None:
    """How long a job takes, by the latest complete jobs of the live pack, or of all packs; None before the first."""
    cursor = await connection.execute(
        f"with of_live_pack as materialized (select true as is_live, created_at, completed_at, {_SECONDS_TAKEN}"
        "  from job where status = 'complete'"
        "  and pack_id = (select pack_id from live_worker order by started_at desc limit 1)"
        "  order by completed_at desc limit %(jobs)s),"
        f" of_any as (select false as is_live, created_at, completed_at, {_SECONDS_TAKEN} from job"
        "  where status = 'complete' order by completed_at desc limit %(jobs)s),"
        " latest as (select * from of_live_pack where (select count(*) from of_live_pack) >= %(few)s"
        "  union all select * from of_any where (select count(*) from of_live_pack) < %(few)s),"
        " compared as (select *, coalesce(lead(created_at) over (order by completed_at) < completed_at,"
        "  exists (select from job where status in ('queued', 'processing') and created_at < latest.completed_at))"
        "  as is_crowded from latest),"
        " numbered as (select *, row_number() over (order by completed_at desc) as number,"
        "  row_number() over (partition by is_crowded order by completed_at desc) as number_of_kind from compared),"
        f" medians as (select {_median('seconds', 'number')} as typical, {_median('saving', 'number')} as saving,"
        f"  {_median('seconds', 'number_of_kind', 'not is_crowded')} as alone,"
        f"  {_median('seconds', 'number_of_kind', 'is_crowded')} as crowded,"
        "  count(*) filter (where not is_crowded) as alone_count, count(*) filter (where is_crowded) as crowded_count,"
        "  percentile_cont(0.9) within group (order by seconds) as slow from numbered)"
        " select medians.*, before.seconds as before, before.is_crowded as was_crowded,"
        " extract(epoch from now() - before.completed_at)::float8 as ended"
        " from medians left join numbered before on before.number = 1 and before.is_live",
        {"jobs": _JOBS_MEASURED, "few": _FEW},
    )
    row = await cursor.fetchone()
    if row is None or row["typical"] is None:
        return None
    alone = row["alone"] if row["alone_count"] >= _FEW else row["typical"]
    crowded = row["crowded"] if row["crowded_count"] >= _FEW else row["typical"]
    pace = 1.0
    typical = crowded if row["was_crowded"] else alone
    if row["before"] is not None and 0 <= row["ended"] < _STEADY * typical:
        before = _steady(row["before"] / typical)
        pace = before if abs(before - 1) > _ORDINARY else 1.0
    return UsualDrawing(alone, row["slow"], row["saving"] or 0.0, pace, crowded)


def _median(column: LiteralString, number: LiteralString, condition: LiteralString = "true") -> LiteralString:
    """The median of a column of the first jobs by that number."""
    return (
        f"percentile_cont(0.5) within group (order by {column})"
        f" filter (where {number} <= {_JOBS_TYPICAL} and {condition})"
    )


async def _others(connection: Connection, job_id: UUID) -> int:
    """How many jobs besides this one wait or are drawn."""
    cursor = await connection.execute(
        "select count(*)::int as number from job where status in ('queued', 'processing') and id <> %s", [job_id]
    )
    row = await cursor.fetchone()
    return row["number"] if row else 0


async def remember(connection: Connection, job_id: UUID, eta_seconds: int | None) -> None:
    """Store the seconds that were told when the job was submitted: a job that takes much longer is late."""
    await connection.execute("update job set forecast_seconds = %s where id = %s", [eta_seconds, job_id])


async def _of_running(connection: Connection, job: Job) -> Outlook:
    cursor = await connection.execute(
        "select extract(epoch from now() - started_at)::float8 as seconds, pictures,"
        f" {_SECONDS_SPENT} from job left join preview on preview.job_id = job.id and preview.attempt = job.attempt"
        " where id = %s and job.attempt = %s and status = 'processing'",
        [job.id, job.attempt],
    )
    row = await cursor.fetchone()
    if row is None:  # the job has ended since the caller read it
        return Outlook()
    previews = tuple(row["pictures"] or ())
    usual = await usual_drawing(connection)
    if usual is None:
        return Outlook(previews=previews)
    usual = usual.among(await _others(connection, job.id))
    return Outlook(
        eta_seconds=round_seconds(remaining_seconds(job.progress, usual, row["drawing"], row["saving"])),
        is_late=row["seconds"] > usual.slow,
        previews=previews,
    )


async def _of_waiting(connection: Connection, job_id: UUID) -> Outlook:
    cursor = await connection.execute(
        "select extract(epoch from now() - created_at)::float8 as seconds, forecast_seconds,"
        " (select place from waiting_job where id = %(id)s) as place,"
        " (select count(*) from live_worker where state = 'ready') as ready,"
        " array(select extract(epoch from now() - state_since)::float8 from live_worker where state = 'loading')"
        " as loading,"
        " (select extract(epoch from now() - wanted_at)::float8 from gpu_life where worker_id is null and"
        "  ended_at is null) as wanted from job where id = %(id)s",
        {"id": job_id},
    )
    row = await cursor.fetchone()
    if row is None or row["place"] is None:  # the job was claimed or cancelled since the caller read it
        return Outlook()
    phase, free_in, is_late = None, [0.0] * row["ready"], False
    if not row["ready"]:
        phase = Phase.LOADING_MODEL if row["loading"] else Phase.STARTING_GPU
        load = await _usual_load(connection) if row["loading"] else None
        if load is not None:
            free_in = [max(0.0, load.typical - seconds) for seconds in row["loading"]]
            is_late = min(row["loading"]) > load.slow
        start = await _usual_start(connection) if row["wanted"] is not None and not row["loading"] else None
        if start is not None:
            free_in = [max(0.0, start.typical - row["wanted"])]
            is_late = row["wanted"] > start.slow
    usual = await usual_drawing(connection)
    if usual is None:
        return Outlook(row["place"], None, phase, is_late)
    if row["forecast_seconds"] is not None:
        is_late |= row["seconds"] * usual.typical > row["forecast_seconds"] * usual.slow
    usual = usual.among(await _others(connection, job_id))
    eta = None
    if free_in:
        running, pace = await _running(connection, usual)
        eta = round_seconds(until_drawn(row["place"], running, free_in, pace * usual.typical))
    return Outlook(row["place"], eta, phase, is_late)


async def _usual_load(connection: Connection) -> Usual | None:
    """How long a worker takes to load its model; None before the first was loaded."""
    cursor = await connection.execute(
        "select percentile_cont(0.5) within group (order by seconds) as typical,"
        " percentile_cont(0.9) within group (order by seconds) as slow from model_load"
    )
    row = await cursor.fetchone()
    return Usual(row["typical"], row["slow"]) if row and row["typical"] is not None else None


async def _usual_start(connection: Connection) -> Usual | None:
    """How long a GPU takes from the demand to a loaded model; None before the first, or if no budget counts them."""
    cursor = await connection.execute(
        "select percentile_cont(0.5) within group (order by seconds) as typical,"
        " percentile_cont(0.9) within group (order by seconds) as slow from"
        " (select extract(epoch from ready_at - wanted_at)::float8 as seconds from gpu_life"
        "  where ready_at is not null order by id desc limit %s) as latest",
        [_STARTS_MEASURED],
    )
    row = await cursor.fetchone()
    return Usual(row["typical"], row["slow"]) if row and row["typical"] is not None else None


async def _running(connection: Connection, usual: UsualDrawing) -> tuple[list[float], float]:
    """The remaining seconds of each running job, and the pace at which the jobs after them will probably be drawn."""
    cursor = await connection.execute(
        f"select phase, step, steps, {_SECONDS_SPENT} from job where status = 'processing'"
    )
    jobs = [
        (Progress(Phase(row["phase"]), row["step"], row["steps"]), row["drawing"], row["saving"])
        for row in await cursor.fetchall()
    ]
    remaining = [remaining_seconds(progress, usual, drawing, saving) for progress, drawing, saving in jobs]
    paces = [present_pace(progress, usual, drawing) for progress, drawing, _ in jobs]
    return remaining, fmean(paces) if paces else usual.pace
