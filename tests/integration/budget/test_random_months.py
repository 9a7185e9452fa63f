"""Random months, as a hypothesis state machine: people, kills, prices, clocks and the end of a month at any moment.

`BUDGET_MONTHS=50 pytest --log-cli-level=INFO` walks through more of them than `make test` does, each time others, and
counts the lives of replicas.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from onbrand.budget.plan import GRACE_SECONDS, Plan
from onbrand.database.pool import Database
from tests.budget_world import STEP, World
from tests.clock import Clock

Result = TypeVar("Result")

PLAN = Plan(gpu_usd=3.0, fixed_usd=20.0, usd_per_second=0.001764, start_seconds=120, warm_seconds=120, attempts=3)
_NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
_ENDED = ("complete", "failed")


class Months(RuleBasedStateMachine):
    """Each rule is something that may happen at any moment. The platform's bill is counted without the product."""

    lives = 0  # of replicas, in all walks

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        super().__init__()
        self.runner, self.database = runner, database
        self.world = World(Clock(database), PLAN, random.Random(0))
        self.month = _NOON
        # Seconds that no ledger can know: since the last sign before the clock was set back, and of a replica beside
        # others that died before its first sign. The first one is known: it was waited for.
        self.unseen = 0.0
        self.run(self._empty())

    def run(self, doing: Awaitable[Result]) -> Result:
        async def do() -> Result:
            return await doing

        return self.runner.run(do())

    async def _empty(self) -> None:
        async with self.database.transaction() as connection:
            await connection.execute("truncate job, gpu_life cascade")
            await connection.execute("update gpu_demand set warm_until = 'epoch', closed_until = 'epoch'")
        await self.world.clock.set(_NOON)

    @initialize(gpu_usd=st.sampled_from([1.5, 2.2, 3.0]), most=st.integers(1, 3))
    def set_the_budget(self, gpu_usd: float, most: int) -> None:
        self.world.plan = replace(PLAN, gpu_usd=gpu_usd)
        self.world.most = most

    @rule(people=st.sampled_from([1, 2, 20]))
    def submit(self, people: int) -> None:
        for _ in range(people):
            if not self.run(self.world.submit()):
                break

    @rule()
    def warm(self) -> None:
        self.run(self.world.warm())

    @precondition(lambda self: self.world.lives or self.world.accepted)
    @rule(seconds=st.sampled_from([5.0, 40.0, 130.0, 400.0]))
    def pass_time(self, seconds: float) -> None:
        self.run(self.world.pass_time(seconds))

    @precondition(lambda self: self.world.replicas)
    @rule(which=st.integers(0, 2), seconds=st.sampled_from([0, 50]))
    def kill(self, which: int, seconds: int = 0) -> None:
        """A worker is gone without a word. The platform bills its replica until it notices."""
        gone = self.world.replicas[which % len(self.world.replicas)]
        gone.is_silent, gone.killed = True, self.world.now + seconds
        if len(self.world.replicas) > 1 and not self.world.has_given_a_sign(gone):
            self.unseen += gone.killed - gone.begun

    @precondition(lambda self: self.world.accepted)
    @rule(deaths=st.sampled_from([2, 4, 9]), seconds=st.sampled_from([0, 50]))
    def crash(self, deaths: int, seconds: int) -> None:
        """Whatever is started dies while it draws, again and again."""
        for _ in range(deaths):
            self.run(self.world.pass_time(160))
            for which in range(len(self.world.replicas)):
                self.kill(which, seconds)
            self.run(self.world.pass_time(seconds + 1.0))

    @precondition(lambda self: self.world.replicas)
    @rule(seconds=st.sampled_from([60, 3000]))
    def set_the_clock_back(self, seconds: int) -> None:
        self.unseen += STEP * (len(self.world.replicas) + 1)
        self.run(self.world.clock.move(timedelta(seconds=-seconds)))
        self.run(self.world.warm())  # whoever asks next repairs the ledger's times

    @precondition(lambda self: self.world.bill and not self.world.replicas)
    @rule(factor=st.sampled_from([0.5, 2.0]))
    def change_the_price(self, factor: float) -> None:
        """The operator sets another price, as long as nothing is promised at the old one."""
        if self.run(self.world.wanted()) == 0:
            price = PLAN.usd_per_second * factor
            self.world.plan = replace(self.world.plan, usd_per_second=price)

    @precondition(lambda self: self.world.bill)
    @rule()
    def begin_the_next_month(self) -> None:
        """Everything that was accepted is drawn before, so the bill can be told apart."""
        for _ in range(12):
            if not self.world.replicas and self.run(self.world.wanted()) == 0:
                break
            self.run(self.world.pass_time(600))
        else:
            raise AssertionError("after two hours something is still drawn or kept warm")
        self.run(self.world.pass_time(2 * GRACE_SECONDS))
        self.everything_is_known()
        self.month = (self.month.replace(day=1) + timedelta(days=32)).replace(day=10)
        self.run(self.world.clock.set(self.month))
        self.world.bill, self.unseen = 0.0, 0.0
        assert self.run(self.world.spent()) == 0

    @invariant()
    def the_ledger_knows_the_bill(self) -> None:
        unseen = self.world.plan.usd_per_second * 2 * self.unseen
        # What was begun since the platform last looked isn't in the ledger's rows for several replicas yet.
        starting = sum(one.usd_per_second * self.world.start_seconds for one in self.world.replicas)
        assert self.world.bill <= self.run(self.world.spent()) + unseen + starting + 1e-6

    @invariant()
    def the_budget_is_kept(self) -> None:
        assert self.world.bill <= self.world.plan.gpu_usd
        assert self.run(self.world.spent()) <= self.world.plan.gpu_usd

    def teardown(self) -> None:
        """In the end everything that was accepted has ended, and nothing is billed any more."""
        self.run(self.world.pass_time(5400))
        Months.lives += self.world.lives
        assert self.world.replicas == []
        self.everything_is_known()
        assert self.run(self._ended()) == len(self.world.accepted)

    def everything_is_known(self) -> None:
        unseen = self.world.plan.usd_per_second * 2 * self.unseen
        assert self.world.bill <= self.run(self.world.spent()) + unseen + 1e-6

    async def _ended(self) -> int:
        async with self.database.transaction() as connection:
            cursor = await connection.execute(
                "select count(*)::int as jobs from job where status = any(%s)", [list(_ENDED)]
            )
            row = await cursor.fetchone()
        return row["jobs"] if row else 0


def test_a_month_costs_at_most_its_budget_whatever_happens(clock_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 30)  # a failure is reported before pytest's timeout
    months = int(os.environ.get("BUDGET_MONTHS", "20"))
    profile = hypothesis_settings(
        max_examples=months,
        stateful_step_count=20,
        derandomize="BUDGET_MONTHS" not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        database = Database(clock_url, application_name="test", max_connections=2)
        runner.run(database.open())
        try:
            run_state_machine_as_test(
                lambda: Months(runner, database),  # type: ignore[arg-type]  # any callable will do
                settings=profile,
            )
        finally:
            runner.run(database.close())
    logging.getLogger(__name__).info("%d lives of replicas", Months.lives)
