"""Curves as SVG that stands in a page: no script, no file beside it, colours from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 12, 34


@dataclass(frozen=True)
class Series:
    """One line. `has_dots` for few points, such as one of each checkpoint."""

    name: str
    points: Sequence[tuple[float, float]]
    has_dots: bool = False


def curve(title: str, series: Sequence[Series], marked: float | None = None) -> str:
    """An SVG with one line for each series, named below; `marked` is an x with a vertical line."""
    points = [point for one in series for point in one.points]
    if not points:
        return ""
    (left, right), (low, high) = (_span([point[axis] for point in points]) for axis in (0, 1))

    def x(value: float) -> float:
        return round(_LEFT + (value - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *(
            f'<text x="{_LEFT - 6}" y="{y(value) + 4}" text-anchor="end">{value:.3g}</text>'
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value)}" y2="{y(value)}"/>'
            for value in _ticks(low, high)
        ),
        *(
            f'<text x="{x(value)}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{value:g}</text>'
            for value in _ticks(left, right)
        ),
    ]
    if marked is not None:
        parts.append(f'<line class="marked" x1="{x(marked)}" x2="{x(marked)}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
    for number, one in enumerate(series):
        drawn = " ".join(f"{x(a)},{y(b)}" for a, b in one.points)
        parts.append(f'<polyline class="line{number}" points="{drawn}"/>')
        if one.has_dots:
            parts += [f'<circle class="dot{number}" cx="{x(a)}" cy="{y(b)}" r="4"/>' for a, b in one.points]
    parts.append("</svg>")
    legend = " ".join(f'<span class="key{n}">{escape(one.name)}</span>' for n, one in enumerate(series))
    return "".join(parts) + f'<p class="legend">{legend}</p>'


def smoothed(values: Sequence[float], window: int) -> list[tuple[float, float]]:
    """(step, mean of the last `window` values), at most about 200 points."""
    every = max(1, len(values) // 200)
    points = []
    for end in range(every, len(values) + 1, every):
        some = values[max(0, end - window) : end]
        points.append((float(end), sum(some) / len(some)))
    return points


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers between the two."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
