"""The month's budget over HTTP: what people, the scaler's demand and Prometheus see of it, and what is refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.config import Settings
from onbrand.database.migrations import migrate
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.api.service import Person, Service, assert_problem, running

GPU_USD = 8.0


@pytest.fixture(scope="module")
def governed(postgres: EmbeddedPostgres, make_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service with a budget, and a database of its own."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create database governed")
    url = make_conninfo(postgres.url, dbname="governed")
    migrate(url)
    budget = {"monthly_budget_usd": 10, "fixed_usd_per_month": 2, "gpu_usd_per_second": 0.001}
    with running(make_settings(**budget), url) as service:
        yield service


@pytest.fixture(autouse=True)
async def _new_month(governed: Service) -> None:
    """Nothing has been spent, and nobody waits."""
    async with governed.transaction() as connection:
        await connection.execute("truncate gpu_life, job cascade")
        await connection.execute("update gpu_demand set warm_until = 'epoch', closed_until = 'epoch'")


@pytest.fixture
async def person(governed: Service) -> AsyncIterator[Person]:
    """A member of the studio."""
    async with governed.person() as person:
        yield person


async def spend(service: Service, dollars: float) -> None:
    """A GPU that ran for so much in this month, all of it in its last second but one."""
    await service.execute(
        "insert into gpu_life (worker_id, wanted_at, came_at, ready_at, seen_at, ended_at, usd_per_second)"
        " values (gen_random_uuid()::text, now() - interval '2 s', now() - interval '2 s', now() - interval '2 s',"
        " now() - interval '1 s', now() - interval '1 s', %s)",
        dollars,
    )


async def demand(service: Service) -> int:
    """What the scaler reads."""
    (row,) = await service.execute("select n from keda_gpu_demand")
    return int(row["n"])


@pytest.mark.parametrize(("dollars", "state", "percent"), [(1, "open", 12), (6.5, "low", 81), (8, "spent", 100)])
async def test_everybody_sees_how_the_month_stands_but_no_amounts(
    governed: Service, person: Person, dollars: float, state: str, percent: int
) -> None:
    await spend(governed, dollars)
    answer = await person.http.get("/me")
    seen = answer.json()["budget"]
    assert (seen["state"], seen["percent"]) == (state, percent)
    opens_at = datetime.fromisoformat(seen["opens_at"])
    assert (opens_at.day, opens_at.hour, opens_at.utcoffset().total_seconds()) == (1, 0, 0)  # type: ignore[union-attr]
    assert "usd" not in answer.text


async def test_a_spent_month_refuses_with_the_day_on_which_it_opens(governed: Service, person: Person) -> None:
    await spend(governed, GPU_USD)
    answer = await person.http.post("/generate", json={"prompt": "a teapot"})
    problem = assert_problem(answer, 429, "budget_spent")
    assert re.search(r"It opens again on 1 [A-Z][a-z]+ \d{4} \(UTC\)\. Your prompt isn't lost\.", problem["detail"])
    assert int(answer.headers["Retry-After"]) <= 31 * 86400
    assert await demand(governed) == 0


async def test_who_is_about_to_generate_wakes_a_gpu_within_the_budget(governed: Service, person: Person) -> None:
    assert await demand(governed) == 0
    assert (await person.http.post("/warm")).status_code == 204
    assert await demand(governed) == 1
    (life,) = await governed.execute("select worker_id, ended_at from gpu_life")
    assert life == {"worker_id": None, "ended_at": None}
    await governed.execute("update gpu_demand set warm_until = 'epoch'")
    await spend(governed, GPU_USD)
    assert (await person.http.post("/warm")).status_code == 204
    assert await demand(governed) == 0


async def test_warming_needs_a_token(governed: Service) -> None:
    async with governed.client() as nobody:
        assert (await nobody.post("/warm")).status_code == 401
    assert await demand(governed) == 0


async def test_prometheus_sees_the_money_and_stopped_starts(governed: Service) -> None:
    await spend(governed, 3)
    await governed.execute("update gpu_demand set closed_until = now() + interval '5 minutes'")
    async with governed.client() as prometheus:
        text = (await prometheus.get("/metrics")).text
    figures = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(("onbrand_budget", "onbrand_gpu"))
    )
    assert float(figures["onbrand_budget_usd"]) == GPU_USD
    assert float(figures["onbrand_budget_spent_usd"]) == pytest.approx(3)
    assert float(figures["onbrand_budget_reserved_usd"]) == 0
    assert float(figures["onbrand_gpu_starts_stopped"]) == 1
