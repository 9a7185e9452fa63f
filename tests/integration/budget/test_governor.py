"""The governor on the real PostgreSQL: whatever happens, a month costs at most its budget, and the ledger knows it."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import uuid4

import psycopg
import pytest

from onbrand.budget import governor, ledger
from onbrand.budget.plan import Plan
from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.errors import BudgetSpent
from onbrand.jobs import service
from onbrand.jobs.models import Owner
from tests.budget_world import World, accept_until_refused
from tests.clock import Clock
from tests.rules import LIMITS

PRICE = 0.001764
PLAN = Plan(gpu_usd=3.0, fixed_usd=20.0, usd_per_second=PRICE, start_seconds=120, warm_seconds=120, attempts=3)
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture
async def world(clock: Clock) -> World:
    await clock.set(NOON)
    return World(clock, PLAN, random.Random(1))


async def test_a_replica_is_billed_from_the_demand_to_its_end(world: World) -> None:
    assert await world.submit()
    await world.pass_time(900)
    assert world.replicas == []
    assert world.lives == 1
    assert world.bill > PRICE * world.start_seconds
    assert world.bill <= await world.spent() <= world.bill + PRICE * 60
    standing = await world.standing()
    assert standing.reserved_usd == 0
    assert standing.closed_until is None


async def test_nothing_is_demanded_without_a_reason(world: World) -> None:
    await world.pass_time(3600)
    assert (world.lives, await world.spent()) == (0, 0)


async def test_a_spent_budget_refuses_with_the_date_and_opens_with_the_month(world: World) -> None:
    while await world.submit():
        await world.pass_time(1800)
    await world.pass_time(1800)
    with pytest.raises(BudgetSpent, match=r"opens again on 1 December 2026 \(UTC\)") as refused:
        async with world.clock.database.transaction() as connection:
            await governor.admit(connection, PLAN)
    assert refused.value.retry_after_seconds == pytest.approx(
        (datetime(2026, 12, 1, tzinfo=UTC) - NOON).total_seconds() - world.now, abs=60
    )
    assert PLAN.gpu_usd * 0.4 < world.bill <= await world.spent() <= PLAN.gpu_usd
    await world.clock.set(datetime(2026, 12, 1, 0, 0, 1, tzinfo=UTC))
    assert await world.spent() == 0
    assert await world.submit()


async def test_what_was_accepted_is_drawn_although_the_budget_is_spent(world: World) -> None:
    while await world.submit():
        pass
    await world.pass_time(7200)
    async with world.clock.database.transaction() as connection:
        cursor = await connection.execute("select status, count(*) as jobs from job group by status")
        assert {row["status"]: row["jobs"] for row in await cursor.fetchall()} == {"complete": len(world.accepted)}
    assert world.bill <= await world.spent() <= PLAN.gpu_usd


async def test_room_that_is_only_promised_is_told_from_a_spent_month(world: World) -> None:
    while await world.submit():
        pass
    with pytest.raises(BudgetSpent, match="promised to the generations before yours") as refused:
        async with world.clock.database.transaction() as connection:
            await governor.admit(connection, PLAN)
    assert refused.value.retry_after_seconds == 60


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_random_lives_with_kills_never_cost_more_than_the_budget(clock: Clock, seed: int) -> None:
    await clock.set(NOON)
    chance = random.Random(seed)
    world = World(clock, replace(PLAN, gpu_usd=2.0), chance, kills=0.4)
    for _ in range(12):
        if chance.random() < 0.5:
            await world.warm()
        for _ in range(chance.randint(0, 3)):
            await world.submit()
        await world.pass_time(chance.choice([20.0, 120.0, 900.0]))
    await world.pass_time(5400)
    spent = await world.spent()
    assert world.bill <= spent + 1e-6
    assert spent <= world.plan.gpu_usd
    assert world.accepted


async def test_two_processes_that_accept_at_once_never_overshoot(clock: Clock, clock_url: str) -> None:
    await clock.set(NOON)
    plan = replace(PLAN, gpu_usd=30.0)
    context = multiprocessing.get_context("spawn")
    begin, answers = context.Event(), context.SimpleQueue()
    processes = [
        context.Process(target=accept_until_refused, args=(clock_url, plan, begin, answers), daemon=True)
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    begin.set()
    accepted = [await asyncio.to_thread(answers.get) for _ in processes]
    for process in processes:
        await asyncio.to_thread(process.join, 30)
    async with clock.database.transaction() as connection:
        standing = await governor.standing(connection, plan)
        cursor = await connection.execute("select count(*)::int as jobs from job")
        row = await cursor.fetchone()
    assert row == {"jobs": sum(accepted)}
    assert standing.spent_usd + standing.reserved_usd <= plan.gpu_usd
    assert standing.left_usd < standing.job_usd  # all that fits was accepted


@pytest.mark.parametrize(
    "step",
    [
        partial(governor.admit, plan=PLAN),
        partial(governor.tend, plan=PLAN),
        partial(ledger.saw, worker_id="a replica", is_ready=False, plan=PLAN),
        partial(ledger.ended, worker_id="a replica"),
    ],
    ids=["admit", "tend", "saw", "ended"],
)
async def test_a_decision_waits_for_the_one_before_it(
    clock: Clock, step: Callable[[Connection], Awaitable[None]]
) -> None:
    async def decide() -> None:
        async with clock.database.transaction() as connection:
            await step(connection)

    waiting = "select count(*) as n from pg_locks where locktype = 'advisory' and not granted"
    async with clock.database.transaction() as before, clock.database.transaction() as looking:
        await governor.admit(before, PLAN)
        other = asyncio.create_task(decide())
        row = None
        while not other.done() and (row is None or row["n"] == 0):
            row = await (await looking.execute(waiting)).fetchone()
            await asyncio.sleep(0.01)
        assert not other.done()
    await other


async def test_the_same_key_is_answered_although_the_budget_is_spent(world: World) -> None:
    owner, spent = Owner(uuid4(), uuid4()), replace(PLAN, gpu_usd=0.0001)

    async def submit(plan: Plan) -> service.Submitted:
        async with world.clock.database.transaction() as connection:
            admit = partial(governor.admit, plan=plan)
            return await service.submit(connection, owner, "a cup", idempotency_key="k", limits=LIMITS, admit=admit)

    first = await submit(PLAN)
    assert (await submit(spent)).job_id == first.job_id


async def test_three_failed_starts_close_the_demand_for_ten_minutes(world: World) -> None:
    assert await world.submit()
    for n in range(3):
        assert await world.wanted() == 1
        async with world.clock.database.transaction() as connection:
            await ledger.saw(connection, f"crash {n}", is_ready=False, plan=PLAN)
            await ledger.ended(connection, f"crash {n}", is_failure=True)
        async with world.clock.database.transaction() as connection:
            await governor.tend(connection, PLAN)
    assert await world.wanted() == 0
    assert (await world.standing()).closed_until is not None
    await world.clock.move(timedelta(minutes=10, seconds=1))
    assert await world.wanted() == 1  # the job was not dropped
    world.now += 601
    await world.pass_time(600)
    assert len(world.accepted) == 1
    assert (await world.standing()).closed_until is None


async def test_a_demand_that_opens_again_is_not_closed_for_the_starts_before(world: World) -> None:
    """Although the third start's end was written by a transaction that began after the one which counted it."""
    assert await world.submit()
    async with world.clock.database.transaction() as tending:
        await tending.execute("select now()")
        for n in range(3):
            await asyncio.sleep(0.002)
            async with world.clock.database.transaction() as connection:
                await ledger.saw(connection, f"crash {n}", is_ready=False, plan=PLAN)
                await ledger.ended(connection, f"crash {n}", is_failure=True)
        await governor.tend(tending, PLAN)
    assert await world.wanted() == 0
    await world.clock.move(timedelta(minutes=10, seconds=1))
    async with world.clock.database.transaction() as connection:
        await governor.tend(connection, PLAN)
    assert await world.wanted() == 1


async def test_a_running_job_counts_although_starts_failed(world: World) -> None:
    assert await world.submit()
    await world.pass_time(140)
    async with world.clock.database.transaction() as connection:
        cursor = await connection.execute("select status from job")
        assert [row["status"] for row in await cursor.fetchall()] == ["processing"]
        await connection.execute("update gpu_demand set closed_until = now() + interval '5 minutes'")
    assert await world.wanted() == 1


async def test_a_price_change_counts_from_the_next_life_on(world: World) -> None:
    assert await world.submit()
    await world.pass_time(900)
    before = await world.spent()
    world.plan = replace(PLAN, usd_per_second=PRICE * 2)
    assert await world.spent() == before
    assert await world.submit()
    await world.pass_time(900)
    assert await world.spent() == pytest.approx(3 * before, rel=0.25)


async def test_a_life_over_midnight_belongs_to_both_months(world: World) -> None:
    await world.clock.set(datetime(2026, 11, 30, 23, 59, 0, tzinfo=UTC))
    assert await world.submit()
    await world.pass_time(900)
    async with world.clock.database.transaction() as connection:
        cursor = await connection.execute(
            "select sum(extract(epoch from ended_at - wanted_at))::float8 as s from gpu_life"
        )
        row = await cursor.fetchone()
    assert row is not None
    assert await world.spent() == pytest.approx(PRICE * (row["s"] - 60), rel=0.02)


@pytest.mark.parametrize("begins_with", ["saw", "tend"])
async def test_a_clock_that_is_set_back_makes_no_life_cheaper_or_dearer(world: World, begins_with: str) -> None:
    assert await world.submit()
    await world.pass_time(100)
    before = await world.spent()
    await world.clock.move(timedelta(seconds=-3000))
    async with world.clock.database.transaction() as connection:  # whoever comes first
        if begins_with == "saw":
            await ledger.saw(connection, world.replicas[0].name, is_ready=False, plan=PLAN)
        await governor.tend(connection, PLAN)
    assert before - PRICE <= await world.spent() <= before + PRICE * 15  # not what passed since the last sign
    await world.pass_time(1200)
    assert world.replicas == []
    assert world.bill <= await world.spent() <= world.bill + PRICE * 90


async def test_a_lease_does_not_get_longer_by_a_clock_that_is_set_back(world: World) -> None:
    await world.warm()
    await world.clock.move(timedelta(hours=-5))
    async with world.clock.database.transaction() as connection:
        await governor.tend(connection, PLAN)
    await world.clock.move(timedelta(seconds=PLAN.start_seconds + PLAN.warm_seconds + 1))
    assert await world.wanted() == 0


@pytest.mark.parametrize("seed", [1, 2])
async def test_several_replicas_never_cost_more_than_the_budget(clock: Clock, seed: int) -> None:
    await clock.set(NOON)
    world = World(clock, replace(PLAN, gpu_usd=4.0), random.Random(seed), kills=0.4, most=3)
    for _ in range(8):
        for _ in range(3):
            await world.submit()
        await world.pass_time(world.chance.choice([20.0, 300.0]))
    await world.pass_time(5400)
    assert world.lives > 3
    assert world.bill <= await world.spent() + 1e-6
    assert await world.spent() <= world.plan.gpu_usd


async def test_a_lease_gets_shorter_with_the_money_and_none_is_given_for_the_last(world: World) -> None:
    async def seconds(gpu_usd: float) -> float:
        async with world.clock.database.transaction() as connection:
            await connection.execute("update gpu_demand set warm_until = 'epoch'")
            return await governor.warm(connection, replace(PLAN, gpu_usd=gpu_usd))

    rich, poor, none = await seconds(28), await seconds(3), await seconds(0.8)
    assert rich == PLAN.warm_seconds + PLAN.start_seconds
    assert PLAN.start_seconds < poor < rich
    assert none == 0


async def test_most_of_the_budget_is_warned_of_once_a_month(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with world.clock.database.transaction() as connection:
        await connection.execute(
            "insert into gpu_life (wanted_at, seen_at, ended_at, usd_per_second) values"
            " (now() - interval '1500 seconds', now(), now(), %s)",
            [PRICE],
        )
        await governor.tend(connection, PLAN)
        await governor.tend(connection, PLAN)
    assert [record.message for record in caplog.records] == [
        "Of this month's budget for GPUs, 88 % is spent: $2.65 of $3.00"
    ]
    standing = await world.standing()
    assert standing.is_low
    assert standing.is_spent


async def test_the_scalers_role_reads_the_number_and_nothing_else(database: Database, database_url: str) -> None:
    async with database.transaction() as connection:
        await connection.execute("drop role if exists onbrand_scaler_test")
        await connection.execute("create role onbrand_scaler_test")
        await connection.execute("grant select on keda_gpu_demand to onbrand_scaler_test")
    with psycopg.connect(database_url, autocommit=True) as scaler:
        scaler.execute("set role onbrand_scaler_test")
        assert scaler.execute("select n from keda_gpu_demand").fetchone() == (0,)
        for table in ("job", "gpu_life", "gpu_demand", "worker"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                scaler.execute(f"select * from {table}")
    async with database.transaction() as connection:
        await connection.execute("drop owned by onbrand_scaler_test")
        await connection.execute("drop role onbrand_scaler_test")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"monthly_budget_usd": 50}, "needs ONBRAND_GPU_USD_PER_SECOND"),
        ({"monthly_budget_usd": 50, "gpu_usd_per_second": -1}, "gpu_usd_per_second"),
        ({"monthly_budget_usd": 20, "gpu_usd_per_second": 0.001, "fixed_usd_per_month": 21}, "must be above"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(changed: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Settings(**changed)  # type: ignore[arg-type]


async def test_without_a_budget_nothing_is_governed(database: Database, settings: Settings) -> None:
    assert Plan.of(settings) is None
    async with database.transaction() as connection:
        assert await ledger.spent(connection) == 0
