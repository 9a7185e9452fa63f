"""What is on brand, in a designer's words: each criterion inside or outside the range of the brand's own work.

There is never one score. The range comes from the brand's own pictures, each compared with the others; a set with two
sub-styles has wide ranges, and `onbrand dataset check` says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from onbrand.dataset.features import FEATURES, NAMES, Features, in_words, measure, view
from onbrand.dataset.likeness import Fingerprint, fingerprint
from onbrand.dataset.palette import Colours, brand_palette, colours_of, palette_distance
from onbrand.dataset.ranges import Range, own_ranges

CRITERIA = ("ground", "colours", "line", "flatness", "composition")


@dataclass(frozen=True)
class Outside:
    """A feature that lies outside the brand's range, in words."""

    criterion: str
    words: str


@dataclass(frozen=True)
class Seen:
    """What is kept of a picture: its features, and what likeness is compared by."""

    features: Features
    colours: Colours
    ground: np.ndarray
    print: Fingerprint


@dataclass(frozen=True)
class Brand:
    """A brand's palette and ranges."""

    palette: Colours
    ranges: Mapping[str, Range]

    def outside(self, seen: Seen) -> tuple[Outside, ...]:
        """Every feature that is outside, the farthest first."""
        away = palette_distance(seen.colours, self.palette, seen.ground)
        features = replace(seen.features, palette_distance=away)
        return outside(features, self.ranges)


def look(pixels: np.ndarray) -> Seen:
    """Measure (S, S, 3) uint8."""
    seen = view(pixels)
    return Seen(measure(pixels, seen), colours_of(seen), seen.ground, fingerprint(seen))


def fit_brand(own: Sequence[Seen]) -> tuple[Brand, list[tuple[Outside, ...]]]:
    """The brand of its own pictures, and what lies outside in each of them, compared with all the others."""
    features = []
    for index, one in enumerate(own):
        others = brand_palette([other.colours for place, other in enumerate(own) if place != index])
        away = palette_distance(one.colours, others, one.ground)
        features.append(replace(one.features, palette_distance=away))
    brand = Brand(brand_palette([one.colours for one in own]), own_ranges(features))
    left_out = [
        outside(one, own_ranges([other for place, other in enumerate(features) if place != index]))
        for index, one in enumerate(features)
    ]
    return brand, left_out


def outside(features: Features, ranges: Mapping[str, Range]) -> tuple[Outside, ...]:
    """The features that are outside their range, the farthest first."""
    found = []
    for name in FEATURES:
        value, own = getattr(features, name), ranges[name]
        if name == "palette_distance" and value < own.median:  # nearer to the palette than usual is no fault
            continue
        if not own.contains(value):
            found.append((abs(own.steps(value)), Outside(NAMES[name].criterion, _words(name, value, own))))
    return tuple(one for _, one in sorted(found, key=lambda pair: -pair[0]))


def _words(name: str, value: float, own: Range) -> str:
    named = NAMES[name]
    direction = named.more if value > own.median else named.less
    shown, low, high = (in_words(name, number) for number in (value, max(0.0, own.low), own.high))
    return f"{direction} ({shown}; yours {low} to {high})" if shown else direction


def inside_shares(pictures: Sequence[Sequence[Outside]]) -> dict[str, float]:
    """For each criterion, the share of pictures in which nothing of it is outside."""
    count = max(1, len(pictures))
    return {
        criterion: sum(all(one.criterion != criterion for one in found) for found in pictures) / count
        for criterion in CRITERIA
    }
