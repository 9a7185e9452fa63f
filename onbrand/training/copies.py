"""How near a sample is to the pictures that were trained on, and how much the four pictures of one prompt differ.

What counts as near is measured on the set itself: nearer than any two of its own pictures are to one another. It is a
flag, not a verdict: the nearest training picture is shown beside every sample, and a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from onbrand.dataset.likeness import SAME_PICTURE, SAME_THING, Fingerprint, likeness

_LEAST, _MOST = 0.5, 2.0  # how far the set's own distance may move what counts as one drawing


@dataclass(frozen=True)
class Nearest:
    """The training picture that is most like a sample. A `closeness` below 1 is nearer than any two own pictures."""

    name: str
    closeness: float
    is_mirrored: bool

    @property
    def is_flagged(self) -> bool:
        """Whether a person has to look."""
        return self.closeness < 1


@dataclass(frozen=True)
class Nearness:
    """What counts as near in a set: distances of cut-out things, and of whole pictures."""

    thing: float
    picture: float

    @classmethod
    def of(cls, own: Sequence[Fingerprint]) -> Nearness:
        """Calibrate on the brand's own pictures. Pairs that are one drawing anyway don't count."""
        pairs = [likeness(one, other) for one, other in combinations(own, 2)]
        apart = [pair for pair in pairs if not pair.is_near]
        thing = min((pair.thing for pair in apart), default=SAME_THING)
        picture = min((pair.picture for pair in apart), default=SAME_PICTURE)
        return cls(_limited(thing, SAME_THING), _limited(picture, SAME_PICTURE))

    def closeness(self, one: Fingerprint, other: Fingerprint) -> tuple[float, bool]:
        """How far apart two pictures are, and whether one is mirrored; below 1 is near."""
        found = likeness(one, other)
        return min(found.thing / self.thing, found.picture / self.picture), found.is_mirrored

    def nearest(self, sample: Fingerprint, training: Mapping[str, Fingerprint]) -> Nearest:
        """The nearest of the training pictures."""
        return self.nearest_ones(sample, training, 1)[0]

    def nearest_ones(self, sample: Fingerprint, training: Mapping[str, Fingerprint], count: int) -> list[Nearest]:
        """So many of the training pictures, or all if there are fewer, the nearest first."""
        found = {name: self.closeness(sample, one) for name, one in training.items()}
        order = sorted(found, key=lambda name: (found[name][0], name))
        return [Nearest(name, *found[name]) for name in order[:count]]

    def diversity(self, pictures: Sequence[Fingerprint]) -> float:
        """The mean distance of each two pictures; below 1 they are more alike than any two of the brand's own."""
        distances = [self.closeness(one, other)[0] for one, other in combinations(pictures, 2)]
        return sum(distances) / len(distances)


def _limited(own: float, usual: float) -> float:
    return min(max(own, _LEAST * usual), _MOST * usual)
