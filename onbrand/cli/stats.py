"""`onbrand stats`: whether people used Onbrand in a month and found it useful. It names nobody."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from onbrand.database.address import Address
    from onbrand.jobs.usage import Usage

_FEW = 10  # with fewer cases, a percentage would claim more than is known
_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])")


def stats_command(
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="The month, in UTC. Default: this month.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show how many people used Onbrand in a month, and whether they found it useful."""
    from rich.console import Console

    from onbrand.local.database_url import url_for_command

    try:
        first_day = None if month is None else parse_month(month)
    except ValueError:
        raise typer.BadParameter("write a month as YYYY-MM, such as 2026-11", param_hint="--month") from None
    silence_logs()
    counted = asyncio.run(stats(url_for_command(load_settings()), first_day))
    if as_json:
        typer.echo(counted.as_json())
    else:
        counted.show(Console())


@dataclass(frozen=True)
class Share:
    """A count, and the total that it is a part of."""

    count: int
    of: int

    @property
    def percent(self) -> int | None:
        """None if there are too few cases for a percentage to mean anything."""
        return round(100 * self.count / self.of) if self.of >= _FEW else None

    def __str__(self) -> str:
        return f"{self.count} of {self.of}" + ("" if self.percent is None else f" ({self.percent} %)")


@dataclass(frozen=True)
class Stats:
    """The usage of a month, ready to be shown."""

    usage: Usage

    @property
    def saved(self) -> Share:
        """Complete jobs of which somebody saved a picture."""
        return Share(self.usage.saved, self.usage.complete)

    @property
    def more(self) -> Share:
        """Jobs submitted to get more pictures of the same prompt."""
        return Share(self.usage.more, self.usage.submitted)

    @property
    def useful(self) -> Share:
        """Answers that say "useful". A question that was closed without an answer is not counted."""
        return Share(self.usage.useful, self.usage.useful + self.usage.not_yet)

    def as_json(self) -> str:
        """One JSON document for a script. `percent` is null with fewer than ten cases."""
        month = self.usage
        document = {
            "month": f"{month.month:%Y-%m}",
            "is_over": month.is_over,
            "is_kept": month.is_kept,
            "people": {"signed_in": month.people_signed_in, "with_pictures": month.people_with_pictures},
            "runs": {
                "submitted": month.submitted,
                "complete": month.complete,
                "failed": month.failed,
                "cancelled": month.cancelled,
                "unfinished": month.unfinished,
                "saved": _share(self.saved),
                "more": _share(self.more),
                "median_seconds": month.median_seconds,
            },
            "question": {
                "asked": month.asked,
                "useful": _share(self.useful),
                "not_yet": month.not_yet,
                "remarks": [asdict(remark) for remark in month.remarks],
            },
        }
        return json.dumps(document, indent=2, ensure_ascii=False)

    def show(self, console: Console) -> None:
        """Print a table and the comments."""
        from rich.table import Table
        from rich.text import Text

        from onbrand.jobs.usage import KEPT_DAYS

        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, value in self._rows():
            table.add_row(Text(label), Text(value))
        console.print(Text(self._title(), style="bold"))
        console.print(table)
        for line in self._remarks():
            can_be_shown = line.encode(console.encoding, "replace").decode(console.encoding)
            console.print(Text(can_be_shown), soft_wrap=True)
        if not self.usage.is_kept:
            console.print(Text(f"Some of this month is deleted already: usage is kept for {KEPT_DAYS} days."))

    def _title(self) -> str:
        return f"Onbrand in {self.usage.month:%Y-%m}{'' if self.usage.is_over else ', so far'}"

    def _rows(self) -> list[tuple[str, str]]:
        month = self.usage
        median = "none yet" if month.median_seconds is None else f"{month.median_seconds:.0f} s"
        return [
            ("People who signed in", str(month.people_signed_in)),
            ("People who got pictures", str(month.people_with_pictures)),
            ("Runs submitted", str(month.submitted)),
            ("  complete", str(month.complete)),
            ("  failed", str(month.failed)),
            ("  cancelled", str(month.cancelled)),
            ("  unfinished", str(month.unfinished)),
            ("Complete runs with a picture saved", str(self.saved)),
            ("Runs for more of the same prompt", str(self.more)),
            ("Median time to pictures", f"{median}, waiting included (n = {month.complete})"),
            ('"Was this useful?" was asked', str(month.asked)),
            ("  useful", str(self.useful)),
            ("  not yet", str(Share(month.not_yet, self.useful.of))),
        ]

    def _remarks(self) -> list[str]:
        verdicts = {True: "useful", False: "not yet", None: "no answer"}
        said = [f"  {verdicts[remark.useful]}: {remark.comment}" for remark in self.usage.remarks]
        return ["Comments", *said] if said else []


def _share(share: Share) -> dict[str, int | None]:
    return {"count": share.count, "of": share.of, "percent": share.percent}


def parse_month(text: str) -> date:
    """The first day of a month such as 2026-11.

    Raises:
        ValueError: the text is not a month.
    """
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ValueError(f"not a month: {text}")
    return date(int(found[1]), int(found[2]), 1)


async def stats(address: Address, month: date | None) -> Stats:
    """The usage of a month. Default: the current month, by the database's clock.

    Raises:
        DatabaseNotReady: the database's schema is older than this version.
        DatabaseUnavailable: the database did not answer.
    """
    from onbrand.database import migrations
    from onbrand.database.pool import Database
    from onbrand.jobs import usage

    database = Database(address, application_name="onbrand stats", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
            return Stats(await usage.of_month(connection, month or await usage.this_month(connection)))
    finally:
        await database.close()
