"""What waiting people are told: their place, how long it takes, whether that is longer than usual; nothing guessed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean
from typing import Literal
from uuid import UUID

import pytest

from onbrand.budget import ledger
from onbrand.budget.plan import Plan
from onbrand.database.pool import Database
from onbrand.jobs import attempts, eta, service
from onbrand.jobs.eta import Outlook
from onbrand.jobs.models import Pack, Phase, Progress
from tests.clock import Clock
from tests.jobs import ANNA, BERT, announce, cancel, claim, draw, drawn_in, outlook, publish, report, submit
from tests.rules import LIMITS

PLAN = Plan(gpu_usd=9.0, fixed_usd=1.0, usd_per_second=0.001, start_seconds=20.0, warm_seconds=30.0, attempts=3)


async def test_the_position_counts_the_jobs_that_were_queued_before(database: Database) -> None:
    running, *waiting = [await submit(database) for _ in range(4)]
    await draw(database, running, until=Progress(Phase.ENCODING))
    assert [(await outlook(database, job_id)).queue_position for job_id in waiting] == [1, 2, 3]
    await cancel(database, waiting[0])
    assert [(await outlook(database, job_id)).queue_position for job_id in waiting] == [None, 1, 2]


async def test_nothing_is_promised_before_a_job_has_been_measured(database: Database) -> None:
    await announce(database, "ready")
    waiting = await submit(database)
    assert await outlook(database, waiting) == Outlook(queue_position=1)
    await draw(database, waiting, until=Progress(Phase.DRAWING, 6, 12))
    assert await outlook(database, waiting) == Outlook()


async def test_the_wait_is_the_median_of_the_latest_seven_runs_for_each_round_of_the_ready_workers(
    clock: Clock,
) -> None:
    database = clock.database
    for seconds in (1000, 1000, 1000, 12, 10, 11, 13, 10, 12, 10):
        await drawn_in(database, seconds)  # the first three are too old to count
    await clock.move(timedelta(minutes=1))  # the last one says nothing about now
    running, *waiting = [await submit(database) for _ in range(5)]
    await draw(database, running, until=Progress(Phase.ENCODING))
    await announce(database, "ready")
    assert [(await outlook(database, job_id)).eta_seconds for job_id in waiting] == [22, 33, 44, 55]
    await announce(database, "ready", "ready", "loading")
    assert [(await outlook(database, job_id)).eta_seconds for job_id in waiting] == [11, 22, 22, 33]


async def test_waiting_people_are_told_at_the_pace_of_the_job_before_them(clock: Clock) -> None:
    """Five at once on a busy machine: what the running job shows about it counts for those behind it, too."""
    database = clock.database
    for _ in range(5):
        await drawn_in(database, 10)
    await clock.move(timedelta(minutes=1))
    await announce(database, "ready")
    first, second, third = [await submit(database) for _ in range(3)]
    held = await claim(database, first)
    told = []
    for step in range(11):
        await report(database, held, Progress(Phase.DRAWING, step, 10))
        told.append((await outlook(database, third)).eta_seconds)
        await clock.move(timedelta(seconds=1.5))  # it takes one and a half times as long as usual
    await publish(database, held)
    assert told[0] == 30
    assert told[10] == pytest.approx(30, abs=2)  # of the two jobs that are left
    await claim(database, second)
    assert (await outlook(database, third)).eta_seconds == pytest.approx(33, abs=3)  # without it, 20 and soon 30 again


async def test_jobs_with_others_behind_them_are_measured_apart(clock: Clock) -> None:
    """Where the API and the model share processors, those who wait for their own jobs slow the one that is drawn."""
    database = clock.database
    for _ in range(5):
        await drawn_in(database, 10)
    crowd = [await submit(database) for _ in range(4)]
    for job_id in crowd:
        held = await claim(database, job_id)
        await clock.move(timedelta(seconds=16 if job_id != crowd[-1] else 10))  # the last one has nobody behind it
        await publish(database, held)
    await clock.move(timedelta(minutes=1))
    await announce(database, "ready")
    first = await submit(database)
    assert (await outlook(database, first)).eta_seconds == 10
    second = await submit(database)
    assert [(await outlook(database, job_id)).eta_seconds for job_id in (first, second)] == [16, 32]
    await claim(database, first)
    assert (await outlook(database, first)).eta_seconds == 16
    await cancel(database, second)
    assert (await outlook(database, first)).eta_seconds == 10


async def test_people_who_submit_at_the_same_moment_are_told_of_each_other(database: Database) -> None:
    async def submit_and_look() -> int | None:
        async with database.transaction() as connection:
            submitted = await service.submit(connection, BERT, "a teapot", idempotency_key=None, limits=LIMITS)
            job = await service.find(connection, BERT, submitted.job_id)
            return (await eta.outlook(connection, job)).queue_position

    async def is_waiting() -> bool:
        async with database.transaction() as connection:
            cursor = await connection.execute("select from pg_locks where locktype = 'advisory' and not granted")
            return cursor.rowcount > 0

    async def at_the_same_moment() -> int | None:
        async with database.transaction() as connection:
            await service.submit(connection, ANNA, "a teapot", idempotency_key=None, limits=LIMITS)
            other = asyncio.create_task(submit_and_look())
            while not other.done() and not await is_waiting():
                await asyncio.sleep(0)
        return await other

    # It waits for half a second only, so on a machine that stands still for longer another try is needed.
    for jobs in range(0, 20, 2):
        if await at_the_same_moment() == jobs + 2:
            return
    pytest.fail("each was told to be the first")


async def test_places_are_in_the_order_in_which_people_were_told(database: Database) -> None:
    """A submission that began first and waited for others is behind them."""
    async with database.transaction() as connection:
        await connection.execute("select")  # it has begun
        assert (await outlook(database, await submit(database, ANNA))).queue_position == 1
        later = await service.submit(connection, BERT, "a teapot", idempotency_key=None, limits=LIMITS)
        job = await service.find(connection, BERT, later.job_id)
        assert (await eta.outlook(connection, job)).queue_position == 2


async def test_a_submission_that_hangs_holds_up_nobody(database: Database) -> None:
    async with database.transaction() as connection:
        await service.submit(connection, ANNA, "a teapot", idempotency_key=None, limits=LIMITS)
        assert await submit(database, BERT)


async def test_runs_of_another_pack_count_only_until_there_are_a_few_of_the_live_one(database: Database) -> None:
    await announce(database, "ready")  # with PACK
    other = Pack("b" * 64, "Brand with more steps", "1")
    for _ in range(20):
        await drawn_in(database, 100, pack=other)
    waiting = await submit(database)
    for eta_seconds in (100, 100, 100, 10, 10):
        assert (await outlook(database, waiting)).eta_seconds == eta_seconds
        await drawn_in(database, 10)
    for _ in range(30):  # the other pack was live for long, but is not any more
        await drawn_in(database, 100, pack=other)
    assert (await outlook(database, waiting)).eta_seconds == 10


async def test_a_running_job_takes_what_is_left_of_its_steps_and_what_comes_after_them(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 20, saving=8)
    job_id = await submit(database)
    held = await claim(database, job_id)
    for passed, step, eta_seconds in ((0.5, 0, 20), (6, 6, 14), (5.5, 12, 8)):
        await clock.move(timedelta(seconds=passed))
        await report(database, held, Progress(Phase.DRAWING, step, 12))
        assert await outlook(database, job_id) == Outlook(eta_seconds=eta_seconds)
    await clock.move(timedelta(seconds=3))
    await report(database, held, Progress(Phase.SAVING, 12, 12))
    assert await outlook(database, job_id) == Outlook(eta_seconds=5)
    await clock.move(timedelta(seconds=9))
    # Not 0: the images are not there yet.
    assert await outlook(database, job_id) == Outlook(eta_seconds=1, is_late=True)


@pytest.mark.parametrize(
    ("pace", "eta_seconds"),
    [(2, [20, 21, 16]), (0.75, [20, 12, 6]), (10, [20, 21, 16])],
    ids=["half as fast", "faster", "interrupted"],
)
async def test_a_run_s_own_pace_counts_the_more_the_more_of_it_is_done(
    clock: Clock, pace: float, eta_seconds: list[int]
) -> None:
    database = clock.database
    for _ in range(2):
        await drawn_in(database, 20, saving=8)
    job_id = await submit(database)
    held = await claim(database, job_id)
    seen = []
    for seconds, step in ((0.5, 0), (6, 6), (5.5, 12)):
        await clock.move(timedelta(seconds=seconds * pace))
        await report(database, held, Progress(Phase.DRAWING, step, 12))
        seen.append((await outlook(database, job_id)).eta_seconds)
    assert seen == eta_seconds


async def test_the_next_attempt_has_all_of_it_before_it_again(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 20, saving=8)
    job_id = await submit(database)
    held = await draw(database, job_id, until=Progress(Phase.SAVING, 12, 12))
    await clock.move(timedelta(seconds=7))
    async with database.transaction() as connection:
        await attempts.give_back(connection, held)
    again = await claim(database, job_id)
    assert await outlook(database, job_id) == Outlook(eta_seconds=20)
    await clock.move(timedelta(seconds=5))
    await publish(database, again)  # none of its progress could be recorded
    async with database.transaction() as connection:
        usual = await eta.usual_drawing(connection)
    assert usual is not None
    assert usual.saving == 8  # from the job whose progress was recorded


async def test_a_run_is_late_once_it_takes_longer_than_nine_in_ten_did(clock: Clock) -> None:
    database = clock.database
    for seconds in range(10, 31):  # 11 to 30 are the latest twenty: p90 is 28.1
        await drawn_in(database, seconds)
    first, second = await submit(database), await submit(database)
    await clock.move(timedelta(seconds=100))  # the time in the queue does not count
    await draw(database, first, until=Progress(Phase.DRAWING, 3, 12))
    await clock.move(timedelta(seconds=28))
    await draw(database, second, until=Progress(Phase.DRAWING, 3, 12))
    assert [(await outlook(database, job_id)).is_late for job_id in (first, second)] == [False, False]
    await clock.move(timedelta(seconds=1))
    assert [(await outlook(database, job_id)).is_late for job_id in (first, second)] == [True, False]


async def test_a_waiting_job_is_late_once_its_forecast_has_passed_by_as_much_as_a_slow_run(clock: Clock) -> None:
    database = clock.database
    for seconds in (*range(10, 17), *range(24, 31), 17, 18, 19, 21, 22, 23, 20):  # typically 20, slowly 28.1
        await drawn_in(database, seconds)
    told, untold = await submit(database), await submit(database)
    await announce(database, "ready")
    async with database.transaction() as connection:
        eta_seconds = (await eta.outlook(connection, await service.find(connection, ANNA, told))).eta_seconds
        assert eta_seconds == 20
        await eta.remember(connection, told, eta_seconds)
    await clock.move(timedelta(seconds=25))  # of 20 * 28.1 / 20
    await announce(database, "ready")
    assert [(await outlook(database, job_id)).is_late for job_id in (told, untold)] == [False, False]
    await clock.move(timedelta(seconds=4))
    assert [(await outlook(database, job_id)).is_late for job_id in (told, untold)] == [True, False]


async def loaded_in(clock: Clock, *times: float) -> None:
    """For each number of seconds, a worker has loaded its model in that time and has stopped."""
    for seconds in times:
        await announce(clock.database, "loading")
        await clock.move(timedelta(seconds=seconds))
        await announce(clock.database, "ready")
        await announce(clock.database)


async def test_a_cold_start_takes_the_rest_of_the_usual_load_and_then_the_drawing(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 10)
    await loaded_in(clock, *[1000] * 5, *[40, 60] * 10)  # the latest twenty count
    first, second = await submit(database), await submit(database)
    assert await outlook(database, first) == Outlook(
        1, None, Phase.STARTING_GPU
    )  # the start of a machine was never measured
    await announce(database, "loading")
    for passed, eta_seconds, is_late in ((0, 60, False), (20, 40, False), (50, 10, False), (61, 10, True)):
        await clock.move(timedelta(seconds=passed))
        await announce(database, "loading")  # it is still loading
        assert await outlook(database, first) == Outlook(1, eta_seconds, Phase.LOADING_MODEL, is_late)
        assert (await outlook(database, second)).eta_seconds == eta_seconds + 10
        await clock.move(timedelta(seconds=-passed))


async def test_the_start_of_a_gpu_takes_what_it_usually_takes_where_the_ledger_counts(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 10)

    async def start(came: float, ready: float) -> None:
        async with database.transaction() as connection:
            await ledger.want(connection, PLAN)
        for seconds, is_ready in ((came, False), (ready, True)):
            await clock.move(timedelta(seconds=seconds))
            async with database.transaction() as connection:
                await ledger.saw(connection, "a replica", is_ready=is_ready, plan=PLAN)

    first = await submit(database)
    await start(60, 40)
    async with database.transaction() as connection:
        await ledger.ended(connection, "a replica")
        await ledger.want(connection, PLAN)  # the next one
    for passed, eta_seconds, is_late in ((0, 110, False), (70, 40, False), (101, 10, True)):
        await clock.move(timedelta(seconds=passed))
        assert await outlook(database, first) == Outlook(1, eta_seconds, Phase.STARTING_GPU, is_late)
        await clock.move(timedelta(seconds=-passed))
    await announce(database, "loading")  # it has come: its load was never measured alone
    assert await outlook(database, first) == Outlook(1, None, Phase.LOADING_MODEL)


async def test_of_two_workers_that_load_the_first_to_be_ready_draws_the_next_job(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 10)
    await loaded_in(clock, 50)
    jobs = [await submit(database) for _ in range(4)]
    await announce(database, "loading")
    await clock.move(timedelta(seconds=35))
    await announce(database, "loading", "loading")
    assert [(await outlook(database, job_id)).eta_seconds for job_id in jobs] == [25, 35, 45, 55]


@pytest.mark.parametrize("measured", ["drawing", "loading"])
async def test_a_cold_start_is_not_guessed_from_half_of_what_it_takes(clock: Clock, measured: str) -> None:
    if measured == "drawing":
        await drawn_in(clock.database, 10)
    else:
        await loaded_in(clock, 50)
    await announce(clock.database, "loading")
    assert await outlook(clock.database, await submit(clock.database)) == Outlook(1, None, Phase.LOADING_MODEL)


async def test_a_model_that_is_loaded_again_is_measured_from_its_loss(clock: Clock) -> None:
    database = clock.database
    await drawn_in(database, 10)
    await announce(database, "ready")
    await clock.move(timedelta(seconds=500))
    await announce(database, "loading")
    await clock.move(timedelta(seconds=30))
    await announce(database, "ready")
    await announce(database, "loading")
    assert (await outlook(database, await submit(database))).eta_seconds == 40


async def test_a_clock_that_is_set_back_while_a_model_loads_measures_nothing(clock: Clock) -> None:
    await drawn_in(clock.database, 10)
    await loaded_in(clock, -30)
    await announce(clock.database, "loading")
    assert (await outlook(clock.database, await submit(clock.database))).eta_seconds is None


@dataclass(frozen=True)
class Kind:
    """Jobs of one kind: seconds from claim to result, seconds of these after the last step, and steps."""

    seconds: float
    saving: float
    steps: int


@pytest.mark.parametrize(
    "kind", [Kind(35, 3, 28), Kind(90, 6, 50), Kind(12, 7, 12)], ids=["a GPU", "a slow one", "mostly saving"]
)
async def test_what_is_shown_is_within_30_percent_of_the_truth_in_four_looks_of_five(clock: Clock, kind: Kind) -> None:
    """A simulation: the speed of a job varies by 15 % (one standard deviation), that of each step by 10 %.

    The owner looks in the middle of each step and while the images are saved; the owner of the next job looks, too.
    Seconds are shown as whole numbers, so an error below one second counts as correct.
    """
    chance, database = random.Random(20261122), clock.database
    own: list[bool] = []
    behind_it: list[bool] = []

    def of_one_run() -> tuple[list[float], float]:
        pace = max(0.5, chance.gauss(1, 0.15))
        step = (kind.seconds - kind.saving) / kind.steps
        return [pace * step * max(0.3, chance.gauss(1, 0.1)) for _ in range(kind.steps)], pace * kind.saving

    async def look(job_id: UUID, real: float) -> bool:
        shown = (await outlook(database, job_id)).eta_seconds
        assert shown is not None
        return abs(shown - real) <= max(0.3 * real, 1.0)

    for _ in range(20):
        steps, saving = of_one_run()
        await drawn_in(database, sum(steps) + saving, saving=saving)
    for _ in range(10):
        job_id, (steps, saving) = await submit(database), of_one_run()
        behind, (its_steps, its_saving) = await submit(database), of_one_run()
        held = await claim(database, job_id)
        left = sum(steps) + saving
        for done, seconds in enumerate([*steps, saving]):
            await report(database, held, Progress(Phase.DRAWING, done, kind.steps))
            await clock.move(timedelta(seconds=seconds / 2))
            await announce(database, "ready")
            own.append(await look(job_id, left - seconds / 2))
            behind_it.append(await look(behind, left - seconds / 2 + sum(its_steps) + its_saving))
            await clock.move(timedelta(seconds=seconds / 2))
            left -= seconds
        await publish(database, held)
        await cancel(database, behind)
    assert min(fmean(own), fmean(behind_it)) >= 0.8


@pytest.mark.parametrize(
    ("states", "phase"),
    [((), Phase.STARTING_GPU), (("loading",), Phase.LOADING_MODEL), (("loading", "ready"), None)],
    ids=["no worker", "one that loads", "one is ready"],
)
async def test_a_waiting_job_says_what_it_waits_for(
    database: Database, states: tuple[Literal["loading", "ready"], ...], phase: Phase | None
) -> None:
    await drawn_in(database, 10)
    await announce(database, *states)
    seen = await outlook(database, await submit(database))
    assert (seen.queue_position, seen.phase) == (1, phase)
    assert seen.eta_seconds == (None if phase else 10)  # how long a GPU takes to start has not been measured


async def test_a_worker_that_fell_silent_is_not_counted_on(database: Database) -> None:
    await announce(database, "ready")
    async with database.transaction() as connection:
        await connection.execute("update worker set seen_at = now() - interval '31 seconds'")
    assert (await outlook(database, await submit(database))).phase is Phase.STARTING_GPU


async def test_a_job_that_has_ended_has_no_outlook(database: Database) -> None:
    complete, cancelled = await submit(database), await submit(database)
    await draw(database, complete)
    await cancel(database, cancelled)
    assert [await outlook(database, job_id) for job_id in (complete, cancelled)] == [Outlook(), Outlook()]
