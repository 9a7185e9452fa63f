"""The range of a brand's own work, feature by feature: what lies outside it, and whether it is two styles in one.

Each picture is compared with the others, never with itself. All is robust: the median and the median distance from it,
so that a few outliers do not widen the range that they are measured by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onbrand.dataset.features import FEATURES, NAMES, Features, can_tell

INSIDE = 3.0  # spreads from the median: the least that counts as inside
OUTLIER = 6.0  # spreads from the median of the others
_LEAST_PICTURES = 10  # below, nothing can be said about a range
_TO_DEVIATION = 1.4826  # of the median distance to the standard deviation, for a normal distribution
STYLE = (
    "ground_lightness",
    "ground_chroma",
    "ground_spread",
    "soft_share",
    "noise",
    "sharpness",
    "stroke_width",
    "colour_count",
    "chroma",
)
_SEPARATE = 6.0  # distance of two groups in their own deviations: a normal distribution cut in two has 2.6, an even 3.5
_LEAST_GROUP = 0.15  # of the pictures
_AGREE = 0.9  # of the pictures that two features divide alike


@dataclass(frozen=True)
class Range:
    """One feature's range. `limit` is how many spreads from the median count as inside."""

    median: float
    spread: float
    limit: float = INSIDE

    def steps(self, value: float) -> float:
        """How many spreads a value is above (or below, negative) the median."""
        return (value - self.median) / self.spread

    def contains(self, value: float) -> bool:
        """Whether the value is inside."""
        return abs(self.steps(value)) <= self.limit

    @property
    def low(self) -> float:
        """The least value that is inside."""
        return self.median - self.limit * self.spread

    @property
    def high(self) -> float:
        """The greatest value that is inside."""
        return self.median + self.limit * self.spread


@dataclass(frozen=True)
class Strangeness:
    """A feature in which a picture differs from the others."""

    feature: str
    value: float
    median: float  # of the others
    steps: float  # signed


@dataclass(frozen=True)
class SubStyles:
    """Two groups of pictures, by index, and the features that tell them apart, the clearest first."""

    smaller: tuple[int, ...]
    larger: tuple[int, ...]
    features: tuple[str, ...]


def fit(values: Sequence[float], floor: float, limit: float = INSIDE) -> Range:
    """The range of some values; `floor` is the least spread."""
    numbers = np.asarray(values, float)
    median = float(np.median(numbers))
    return Range(median, max(_TO_DEVIATION * float(np.median(np.abs(numbers - median))), floor), limit)


def own_ranges(pictures: Sequence[Features]) -> Mapping[str, Range]:
    """The range of each feature, for samples to be compared with.

    The limit of a feature is where 19 of 20 own pictures are inside when each is compared with the others.
    """
    ranges = {}
    for name in FEATURES:
        values = [getattr(one, name) for one in pictures]
        own = [abs(_others(values, index, NAMES[name].floor).steps(value)) for index, value in enumerate(values)]
        limit = max(INSIDE, float(np.percentile(own, 95))) if len(own) >= _LEAST_PICTURES else INSIDE
        ranges[name] = fit(values, NAMES[name].floor, limit)
    return ranges


def strange(pictures: Sequence[Features]) -> list[list[Strangeness]]:
    """For each picture, in which features it lies far outside the others' range, the farthest first."""
    if len(pictures) < _LEAST_PICTURES:
        return [[] for _ in pictures]
    found: list[list[Strangeness]] = [[] for _ in pictures]
    for name in FEATURES:
        values = [getattr(one, name) for one in pictures]
        for index, value in enumerate(values):
            others = _others(values, index, NAMES[name].floor)
            steps = others.steps(value)
            if abs(steps) > OUTLIER and can_tell(pictures[index], name):
                found[index].append(Strangeness(name, value, others.median, steps))
    return [sorted(one, key=lambda strangeness: -abs(strangeness.steps)) for one in found]


def two_sub_styles(pictures: Sequence[Features], style: Sequence[str] = STYLE) -> SubStyles | None:
    """Whether the pictures fall into two groups by how they are drawn, not by what they show.

    `style` are the features that are looked at.
    """
    count = len(pictures)
    if count < _LEAST_PICTURES:
        return None
    splits = {name: _split([getattr(one, name) for one in pictures], NAMES[name].floor) for name in style}
    clear = {name: split for name, split in splits.items() if split is not None and split[0] > _SEPARATE}
    if not clear:
        return None
    best = max(clear, key=lambda name: clear[name][0])
    group = clear[best][1]
    named = [best]
    for name in sorted(clear, key=lambda name: -clear[name][0]):
        alike = float((clear[name][1] == group).mean())
        if name != best and max(alike, 1 - alike) >= _AGREE:
            named.append(name)
    if group.sum() > count / 2:
        group = ~group
    smaller, larger = np.flatnonzero(group).tolist(), np.flatnonzero(~group).tolist()
    return SubStyles(tuple(smaller), tuple(larger), tuple(named))


def _others(values: Sequence[float], index: int, floor: float) -> Range:
    return fit([*values[:index], *values[index + 1 :]], floor)


def _split(values: Sequence[float], floor: float) -> tuple[float, np.ndarray] | None:
    """The best cut of one feature: how far the two groups are apart, and which pictures are above the cut."""
    numbers = np.asarray(values, float)
    order = np.sort(numbers)
    least = max(4, round(_LEAST_GROUP * len(order)))
    best: tuple[float, np.ndarray] | None = None
    for at in range(least, len(order) - least + 1):
        low, high = order[:at], order[at:]
        if high[0] - low[-1] < 2 * floor:
            continue
        # A mean deviation from the median is not blown up by one value far off.
        width = (np.abs(low - np.median(low)).mean() + np.abs(high - np.median(high)).mean()) / 2 * 1.2533
        apart = float((np.median(high) - np.median(low)) / max(width, floor))
        if best is None or apart > best[0]:
            best = (apart, numbers >= high[0])
    return best
