"""A simulated month with a budget: the product's own statements on a real PostgreSQL whose clock is moved.

The platform is simulated (`tests/budget_world.py`): it looks at the scaler's view every half minute, starts a replica
in 120 seconds, and bills from that look to the replica's end. People come in bursts of 2 generations, 12 hours a day on
workdays. Each month is simulated twice with the same people: with a governor, and with a budget so large that it never
refuses.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.report import Figure
from onbrand.budget.month import Month, chart, month
from onbrand.budget.plan import Plan
from onbrand.database.migrations import migrate
from onbrand.database.pool import Database
from onbrand.local.postgres import EmbeddedPostgres
from tests.budget_world import World
from tests.clock import Clock, give_clock

BURSTS = (2, 4, 8, 16, 40)  # a day
PLAN = Plan(
    gpu_usd=28.7, fixed_usd=21.3, usd_per_second=0.001764, start_seconds=120, warm_seconds=120, attempts=3
)  # an A100 on Azure Container Apps: docs/deploy.md
_FIRST = datetime(2026, 11, 1, tzinfo=UTC)
_OPENS, _HOURS, _WORKDAYS = 7, 12, 5


@dataclass(frozen=True)
class Simulated:
    """A month of so many bursts a day."""

    bursts: int
    bill: float
    ledger: float
    accepted: int
    refused: int
    month: Month


def measure(bursts: Sequence[int] = BURSTS, chart_file: Path | None = None) -> Iterator[Figure]:
    """Dollars, refused generations, and how far the ledger is above the bill; optionally a chart of the third month."""
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder)) as server:
            for number, count in enumerate(bursts):
                governed = asyncio.run(_simulate(server.url, f"governed_{number}", count, PLAN))
                free = asyncio.run(_simulate(server.url, f"free_{number}", count, replace(PLAN, gpu_usd=10_000)))
                name = f"{count} bursts a day"
                yield Figure(f"{name}: GPUs without a budget", "$", [free.bill])
                yield Figure(f"{name}: GPUs with it", "$", [governed.bill], f"≤ ${PLAN.gpu_usd}")
                yield Figure(f"{name}: … by the ledger", "$", [governed.ledger], f"≤ ${PLAN.gpu_usd}")
                yield Figure(f"{name}: refused of {governed.accepted + governed.refused}", "", [governed.refused])
                if chart_file is not None and count == bursts[len(bursts) // 2]:
                    chart_file.write_text(chart(governed.month), encoding="utf-8")


async def _simulate(server: str, name: str, bursts: int, plan: Plan) -> Simulated:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
        connection.execute(f"create database {name}")  # our own name
    url = make_conninfo(server, dbname=name)
    give_clock(url)
    migrate(url)
    database = Database(url, application_name="budget", max_connections=4)
    await database.open()
    try:
        clock, chance = Clock(database), random.Random(bursts)
        await clock.set(_FIRST)
        world = World(clock, plan, chance)
        for at in _bursts(chance, bursts):
            await world.pass_time(max(0.0, at - world.now))
            await world.warm()
            await world.pass_time(15)  # somebody types
            for _ in range(2):
                await world.submit()
        await world.pass_time(29.9 * 86400 - world.now)
        async with database.transaction() as connection:
            shown = await month(connection, plan)
        return Simulated(bursts, world.bill, await world.spent(), len(world.accepted), world.refused, shown)
    finally:
        await database.close()


def _bursts(chance: random.Random, count: int) -> list[float]:
    times = []
    for day in range(30):
        if (_FIRST + timedelta(days=day)).weekday() < _WORKDAYS:
            times += [(day * 24 + _OPENS + _HOURS * chance.random()) * 3600 for _ in range(count)]
    return sorted(times)


def main() -> None:
    """Simulate from the command line, and write the chart."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--bursts", type=lambda text: tuple(map(int, text.split(","))), default=BURSTS)
    parser.add_argument("--chart", type=Path)
    given = parser.parse_args()
    for figure in measure(given.bursts, given.chart):
        sys.stdout.write(f"| {figure.name} | {figure.unit}{figure.samples[0]:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
