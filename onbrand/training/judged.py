"""What an evaluation found, as plain data: the page and the pack are made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from onbrand.training.choose import Candidate, doubt
from onbrand.training.copies import Nearest
from onbrand.training.criteria import Outside, inside_shares
from onbrand.training.kept import Checkpoint
from onbrand.training.record import Record


@dataclass(frozen=True)
class Judged:
    """One checkpoint at one strength, measured: for each of the ten samples what is outside, and what is nearest."""

    step: int
    scale: float
    pictures: Sequence[Callable[[], np.ndarray]]
    outside: Sequence[tuple[Outside, ...]]
    nearest: Sequence[Nearest]
    diversity: float

    @property
    def inside(self) -> dict[str, float]:
        """By criterion, the share of samples inside."""
        return inside_shares(self.outside)

    @property
    def candidate(self) -> Candidate:
        """What the rule looks at."""
        shares = self.inside.values()
        flagged = sum(one.is_flagged for one in self.nearest)
        return Candidate(self.step, self.scale, round(sum(shares) / len(shares), 4), flagged, self.diversity)


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of a run."""

    record: Record
    own: Mapping[str, Callable[[], np.ndarray]]  # the brand's pictures by name
    own_inside: Mapping[str, float]
    base: Judged
    checkpoints: Sequence[Checkpoint]
    judged: Sequence[Judged]  # every checkpoint at full strength, by step
    strengths: Sequence[Judged]  # the chosen checkpoint at each strength, the strongest first
    by_rule: int  # the step that the rule takes
    chosen: Judged

    @property
    def is_overruled(self) -> bool:
        """Whether a person chose another checkpoint than the rule."""
        return self.chosen.step != self.by_rule

    @property
    def doubt(self) -> str:
        """What the rule has against the checkpoint that was taken; "" for nothing."""
        return doubt(self.chosen.candidate, [one.candidate for one in self.judged])

    @property
    def checkpoint(self) -> Checkpoint:
        """The training's figures of the chosen checkpoint."""
        return next(one for one in self.checkpoints if one.step == self.chosen.step)
