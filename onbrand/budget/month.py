"""The month so far and how it will go on: what `onbrand budget` shows."""

from __future__ import annotations

import calendar
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from onbrand.budget import governor, ledger
from onbrand.budget.plan import Plan
from onbrand.database.pool import Connection

_LATEST_DAYS = 7  # what was spent a day lately says how it goes on


@dataclass(frozen=True)
class Month:
    """The budget of this month in US dollars. `days`: what GPUs cost on each day so far (UTC)."""

    budget_usd: float
    fixed_usd: float
    gpu_usd: float  # what the fixed cost leaves
    spent_usd: float  # for GPUs
    reserved_usd: float  # the most that accepted generations and a warm GPU may still cost
    forecast_usd: float  # for GPUs, at the month's end, if it goes on like the latest days
    closes_on: date | None  # the day when the money is spent, if it goes on so; None if it lasts
    opens_at: datetime
    closed_until: datetime | None  # starts failed: until then no GPU is started
    days: Sequence[float]

    def as_fields(self) -> dict[str, object]:
        """For JSON: money rounded to cents' hundredths, times in ISO 8601."""
        fields = asdict(self)
        for name, value in fields.items():
            if isinstance(value, float):
                fields[name] = round(value, 4)
            elif isinstance(value, date):
                fields[name] = value.isoformat()
        return fields | {"days": [round(usd, 4) for usd in self.days]}


async def month(connection: Connection, plan: Plan) -> Month:
    """The month so far, by the database's clock."""
    standing = await governor.standing(connection, plan)
    days = await ledger.spent_by_day(connection)
    end = standing.opens_at.astimezone(UTC)
    now = end - timedelta(seconds=standing.seconds_to_opening)
    latest = days[-_LATEST_DAYS:]
    passed = len(latest) - 1 + (now.hour * 3600 + now.minute * 60 + now.second + 1) / 86400
    a_day = sum(latest) / passed
    left_days = standing.seconds_to_opening / 86400
    forecast = standing.spent_usd + a_day * left_days
    closes = None
    if forecast > plan.gpu_usd:
        closes = (now + timedelta(days=max(0.0, plan.gpu_usd - standing.spent_usd) / a_day)).date()
    return Month(
        budget_usd=plan.usd,
        fixed_usd=plan.fixed_usd,
        gpu_usd=plan.gpu_usd,
        spent_usd=standing.spent_usd,
        reserved_usd=standing.reserved_usd,
        forecast_usd=min(forecast, plan.gpu_usd),
        closes_on=closes,
        opens_at=end,
        closed_until=standing.closed_until,
        days=days,
    )


def chart(shown: Month, width: int = 640, height: int = 240) -> str:
    """An SVG: what was spent day by day, added up, below the line of the budget."""
    last = (shown.opens_at - timedelta(days=1)).date()
    count = calendar.monthrange(last.year, last.month)[1]
    top = max(shown.gpu_usd, shown.spent_usd) * 1.08
    left, bottom = 56, height - 28

    def x(day: float) -> float:
        return left + (width - left - 12) * day / count

    def y(usd: float) -> float:
        return bottom - (bottom - 12) * usd / top

    points, total = [f"{x(0):.1f},{y(0):.1f}"], 0.0
    for number, usd in enumerate(shown.days, 1):
        total += usd
        points.append(f"{x(number):.1f},{y(total):.1f}")
    area = " ".join([*points, f"{x(len(shown.days)):.1f},{y(0):.1f}"])
    step = 10 ** math.floor(math.log10(top))
    marks = [usd for n in range(1, 10) if (usd := n * step * (1 if top / step > 2 else 0.5)) < top]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif"'
        f' font-size="12"><title>${shown.spent_usd:.2f} of ${shown.gpu_usd:.2f} for GPUs in {last:%B %Y}</title>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for usd in marks:
        lines.append(f'<path d="M{left} {y(usd):.1f}H{width - 12}" stroke="#e4e4e8"/>')
        lines.append(f'<text x="{left - 8}" y="{y(usd) + 4:.1f}" text-anchor="end" fill="#5c5c66">${usd:g}</text>')
    lines += [
        f'<polygon points="{area}" fill="#2f86d6" fill-opacity="0.18"/>',
        f'<polyline points="{" ".join(points)}" fill="none" stroke="#2f86d6" stroke-width="2"/>',
        f'<path d="M{left} {y(shown.gpu_usd):.1f}H{width - 12}" stroke="#c43d3d" stroke-dasharray="5 4"/>',
        f'<text x="{width - 12}" y="{y(shown.gpu_usd) - 6:.1f}" text-anchor="end" fill="#a03030">'
        f"budget ${shown.gpu_usd:.2f}</text>",
        *(
            f'<text x="{x(day - 0.5):.1f}" y="{height - 8}" text-anchor="middle" fill="#5c5c66">{day}</text>'
            for day in range(1, count + 1, 5)
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
