"""`onbrand budget`: what GPUs have cost in this month, what is promised, and how long the money lasts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings
from onbrand.errors import ConfigError, DataDirUnwritable

if TYPE_CHECKING:
    from rich.console import Console

    from onbrand.budget.month import Month
    from onbrand.budget.plan import Plan
    from onbrand.database.address import Address

_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-:=+*#"  # for a terminal that has no others


def budget_command(
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Also write a chart of the month, to look at.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what GPUs have cost in this month, what is promised, and how long the budget lasts."""
    from rich.console import Console

    from onbrand.budget.month import chart as chart_of
    from onbrand.budget.plan import Plan
    from onbrand.local.database_url import url_for_command

    silence_logs()
    settings = load_settings()
    plan = Plan.of(settings)
    if plan is None:
        raise ConfigError("No budget is set: give ONBRAND_MONTHLY_BUDGET_USD and ONBRAND_GPU_USD_PER_SECOND.")
    shown = asyncio.run(_month(url_for_command(settings), plan))
    if chart is not None:
        _write(chart, chart_of(shown))
    if as_json:
        typer.echo(json.dumps(shown.as_fields(), indent=2))
    else:
        _show(shown, Console())


async def _month(address: Address, plan: Plan) -> Month:
    from onbrand.budget.month import month
    from onbrand.database.pool import Database

    database = Database(address, application_name="onbrand budget", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            return await month(connection, plan)
    finally:
        await database.close()


def _write(path: Path, svg: str) -> None:
    try:
        path.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise DataDirUnwritable(f"{path} can't be written ({error.strerror}): name another file.") from None


def _show(shown: Month, console: Console) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, usd in (
        ("budget of the month", shown.budget_usd),
        ("fixed cost", shown.fixed_usd),
        ("left for GPUs", shown.gpu_usd),
        ("spent on GPUs", shown.spent_usd),
        ("promised to accepted generations, at most", shown.reserved_usd),
        ("spent on GPUs at the month's end, if it goes on like this", shown.forecast_usd),
    ):
        table.add_row(name, f"${usd:.2f}")
    console.print(table)
    most = max(shown.days) or 1.0
    bars = _BARS if _can_show(_BARS, console.encoding) else _PLAIN_BARS
    console.print("day by day  " + "".join(bars[min(7, int(8 * usd / most))] for usd in shown.days), markup=False)
    if shown.closes_on is not None:
        console.print(f"It lasts until {shown.closes_on:%-d %B}, and opens again on {shown.opens_at:%-d %B} (UTC).")
    if shown.closed_until is not None:
        console.print(
            f"Three GPUs in a row did not become ready: none is started before {shown.closed_until:%H:%M} (UTC)."
            " Look at the worker's log."
        )


def _can_show(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
