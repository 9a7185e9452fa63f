"""`onbrand budget`: the month as a table, as JSON and as a chart, and what is said without a budget."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from tests.system import onbrand

BUDGET = {"MONTHLY_BUDGET_USD": "50", "FIXED_USD_PER_MONTH": "20", "GPU_USD_PER_SECOND": "0.001"}


@pytest.fixture
def spent(database_url: str) -> dict[str, str]:
    """Settings of a database in which one replica has lived for a thousand seconds in this month."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "insert into gpu_life (wanted_at, seen_at, ended_at, usd_per_second) select at, at, at + interval '1000 s',"
            " 0.001 from (select date_trunc('month', now() at time zone 'utc') at time zone 'utc' as at) as month"
        )
    return {"DATABASE_URL": database_url, **BUDGET}


def test_a_table_says_what_is_spent_and_what_is_left(spent: dict[str, str]) -> None:
    done = onbrand("budget", **spent)
    assert done.returncode == 0, done.stderr
    rows = dict(line.rsplit(None, 1) for line in done.stdout.splitlines() if "$" in line)
    assert rows["spent on GPUs"] == "$1.00"
    assert rows["left for GPUs"] == "$30.00"
    assert rows["promised to accepted generations, at most"] == "$0.00"
    assert "day by day  █" in done.stdout


def test_a_terminal_without_bars_gets_others(spent: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = onbrand("budget", **spent)
    assert done.returncode == 0, done.stderr
    assert "day by day  #" in done.stdout


def test_json_and_a_chart(spent: dict[str, str], tmp_path: Path) -> None:
    chart = tmp_path / "month.svg"
    done = onbrand("budget", "--json", "--chart", str(chart), **spent)
    assert done.returncode == 0, done.stderr
    month = json.loads(done.stdout)
    assert (month["spent_usd"], month["gpu_usd"], month["days"][0]) == (1.0, 30.0, 1.0)
    assert month["closed_until"] is None
    assert "$1.00 of $30.00" in chart.read_text("utf-8")


def test_a_chart_that_cannot_be_written_is_one_line(spent: dict[str, str], tmp_path: Path) -> None:
    done = onbrand("budget", "--chart", str(tmp_path / "missing" / "month.svg"), **spent)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "can't be written" in done.stderr


def test_without_a_budget_it_says_which_settings_are_missing(database_url: str) -> None:
    done = onbrand("budget", DATABASE_URL=database_url)
    assert done.returncode == 78
    assert "ONBRAND_MONTHLY_BUDGET_USD" in done.stderr
