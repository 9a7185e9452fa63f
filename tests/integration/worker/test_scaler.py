"""What starts and stops workers by demand, as KEDA does it: with the scaler's own role, and with real worker processes.

The scaler looks at the view, starts a process for each replica that is wanted, and stops all of them once nothing is.
The model is a double. The database's clock jumps over what would take minutes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.budget import governor, ledger
from onbrand.budget.plan import GRACE_SECONDS, Plan
from onbrand.config import Settings
from onbrand.database import scaler
from onbrand.jobs import service
from onbrand.jobs.models import Status
from tests.clock import Clock
from tests.integration.worker.harness import WorkerHarness, WorkerProcess, until
from tests.rules import LIMITS

LOOKS_EVERY = 0.1
COOLS_DOWN = 1.0  # seconds without demand
PASSWORD = "of the scaler alone"
PLAN = Plan(gpu_usd=9.0, fixed_usd=1.0, usd_per_second=0.001, start_seconds=20.0, warm_seconds=30.0, attempts=3)
SETTINGS = {
    "MONTHLY_BUDGET_USD": "10",
    "FIXED_USD_PER_MONTH": "1",
    "GPU_USD_PER_SECOND": "0.001",
    "GPU_START_SECONDS": "20",
    "WARM_SECONDS": "30",
}


@dataclass
class Platform:
    """The scaler, and the replicas that it has started."""

    harness: WorkerHarness
    clock: Clock
    most: int = 1
    loading: str = ""
    started: list[WorkerProcess] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)  # what the view said, each time it said something else

    @property
    def running(self) -> list[WorkerProcess]:
        """The replicas whose process lives."""
        return [replica for replica in self.started if replica.process.poll() is None]

    @asynccontextmanager
    async def scaling(self) -> AsyncIterator[None]:
        """Look at the view again and again, and do what it says; tend the ledger as the API does."""
        scaler.set_password(self.harness.database_url, PASSWORD)
        url = make_conninfo(self.harness.database_url, user=scaler.ROLE, password=PASSWORD)
        with ExitStack() as replicas, psycopg.connect(url, autocommit=True) as connection:
            looking = asyncio.create_task(self._look(connection, replicas))
            try:
                yield
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        if not looking.cancelled() and (error := looking.exception()):
            raise error

    async def _look(self, connection: psycopg.Connection[Any], replicas: ExitStack) -> None:
        quiet, asked = 0.0, list[WorkerProcess]()
        while True:
            async with self.harness.database.transaction() as ours:
                await governor.tend(ours, PLAN)
            await self.harness.sweep()
            row = connection.execute(f"select n from {scaler.VIEW}").fetchone()
            wanted = int(row[0]) if row else 0
            if self.seen[-1:] != [wanted]:
                self.seen.append(wanted)
            quiet = 0.0 if wanted else quiet + LOOKS_EVERY
            if quiet >= COOLS_DOWN:
                for replica in self.running:
                    if replica not in asked:
                        replica.signal(signal.SIGTERM)
                asked = self.running
            for _ in range(min(wanted, self.most) - len(self.running)):
                process = self.harness.worker_process(loading=self.loading, **SETTINGS)
                self.started.append(replicas.enter_context(process))
            await asyncio.sleep(LOOKS_EVERY)

    async def submit(self, prompt: str = "a teapot") -> UUID:
        """Somebody generates, within the budget."""
        async with self.harness.database.transaction() as connection:
            submitted = await service.submit(
                connection,
                self.harness.owner,
                prompt,
                idempotency_key=None,
                limits=LIMITS,
                admit=partial(governor.admit, plan=PLAN),
            )
            await ledger.want(connection, PLAN)
        return submitted.job_id

    async def pass_time(self, seconds: float) -> None:
        """Let the database's clock jump, but never within a decision about the budget."""
        async with self.harness.database.transaction() as connection:
            await ledger.lock(connection)
            await self.clock.move(timedelta(seconds=seconds))

    async def lives(self) -> list[dict[str, Any]]:
        """The ledger's rows; `seconds` is what is billed, once a life has ended."""
        return await self.harness.query(
            "select *, extract(epoch from ended_at - wanted_at)::float8 as seconds from gpu_life order by id"
        )

    async def a_start_has_failed(self) -> bool:
        """Whether a replica ended before its model was loaded."""
        return any(life["is_failed_start"] for life in await self.lives())

    async def all_are_gone(self) -> None:
        """Return once nothing is wanted, no replica lives, and no life is open."""

        async def look() -> bool:
            return not self.running and all(life["ended_at"] for life in await self.lives())

        await until(look)


@pytest.fixture
def platform(
    clock: Clock, clock_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Platform:
    notes_dir = tmp_path / "notes"
    notes_dir.mkdir()
    return Platform(WorkerHarness(clock.database, clock_url, settings, notes_dir, monkeypatch), clock)


async def test_without_demand_there_is_no_worker(platform: Platform) -> None:
    async with platform.scaling():
        await asyncio.sleep(5 * LOOKS_EVERY)
    assert (platform.started, platform.seen) == ([], [0])


async def test_a_job_brings_a_worker_and_its_end_takes_it_away(platform: Platform) -> None:
    async with platform.scaling():
        job_id = await platform.submit()
        assert (await platform.harness.ended(job_id)).status is Status.COMPLETE
        assert len(platform.running) == 1  # it is kept warm
        await platform.pass_time(PLAN.warm_seconds + PLAN.start_seconds + 1)
        await platform.all_are_gone()
    (replica,), (life,) = platform.started, await platform.lives()
    assert replica.process.returncode == 0
    assert life["seconds"] >= PLAN.warm_seconds
    assert (life["is_failed_start"], life["worker_id"] is None) == (False, False)


async def test_a_worker_that_is_killed_while_it_draws_is_replaced_and_billed(platform: Platform) -> None:
    async with platform.scaling():
        job_id = await platform.submit("a teapot once sluggish")
        await platform.harness.drawing(job_id)
        (first,) = platform.running
        os.kill(first.process.pid, signal.SIGKILL)
        await platform.pass_time(platform.harness.settings.lease_seconds + GRACE_SECONDS)
        job = await platform.harness.ended(job_id)
        assert (job.status, job.result_attempt) == (Status.COMPLETE, 2)
        await platform.pass_time(PLAN.warm_seconds + PLAN.start_seconds + 1)
        await platform.all_are_gone()
    lives = await platform.lives()
    assert len(platform.started) == len(lives) == 2
    assert lives[0]["ended_at"] == lives[0]["seen_at"] + timedelta(seconds=GRACE_SECONDS)
    assert [life["is_failed_start"] for life in lives] == [False, False]


async def test_starts_that_fail_again_and_again_are_stopped(platform: Platform) -> None:
    platform.loading = "refuses"
    async with platform.scaling():
        job_id = await platform.submit()

        async def closed() -> bool:
            return len(platform.started) >= 3 and platform.seen[-1] == 0 and not platform.running

        await until(closed)
        started = len(platform.started)
        await asyncio.sleep(10 * LOOKS_EVERY)
        assert len(platform.started) == started
        platform.loading = ""  # the operator mends it
        await platform.pass_time(600)
        assert (await platform.harness.ended(job_id)).status is Status.COMPLETE
    assert [life["is_failed_start"] for life in await platform.lives()] == [True] * started + [False]


async def test_a_start_that_fails_is_never_seen_as_a_life_that_just_ended(platform: Platform) -> None:
    """Between the two, the budget would begin another start, and bill it."""
    async with platform.harness.database.transaction() as connection:
        await connection.execute(
            "create table state as select is_failed_start, ended_at from gpu_life;"
            " create function note() returns trigger language plpgsql as"
            " 'begin insert into public.state values (new.is_failed_start, new.ended_at); return new; end';"
            " create trigger note after update on gpu_life for each row execute function note()"
        )
    platform.loading = "refuses"
    async with platform.scaling():
        await platform.submit()
        await until(platform.a_start_has_failed)
    assert await platform.harness.query("select from state where ended_at is not null and not is_failed_start") == []


async def test_two_jobs_are_drawn_by_two_replicas(platform: Platform) -> None:
    platform.most = 2
    async with platform.scaling():
        jobs = [await platform.submit(f"a teapot {number} sluggish") for number in (1, 2)]
        for job_id in jobs:
            assert (await platform.harness.ended(job_id)).status is Status.COMPLETE
        await platform.pass_time(PLAN.warm_seconds + PLAN.start_seconds + 1)
        await platform.all_are_gone()
    assert len(platform.started) == len(await platform.lives()) == 2
    assert {replica.process.returncode for replica in platform.started} == {0}
    workers = await platform.harness.query("select distinct worker_id from gpu_life")
    assert len(workers) == 2
