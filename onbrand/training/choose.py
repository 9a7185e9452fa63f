"""Which checkpoint becomes the pack, by a rule that is written down. A designer may overrule it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_FLAGGED = 1  # of ten samples: one may be chance
LEAST_DIVERSITY = 1.0
SCALES = (1.0, 0.85, 0.7)

RULE = (
    "A checkpoint is left out if more than one of its ten samples is nearer to a training picture than any two of the"
    " brand's own pictures are to one another, or if its four pictures of one prompt are that near to each other. Of"
    " the others the one with the most criteria inside the brand's own range is taken, and of equal ones the earliest."
    " If all are left out, the one with the fewest flags is taken, and the page says so. Then the LoRA's strength is"
    " chosen in the same way, at 1.0, 0.85 and 0.7; of equal ones the strongest."
)


@dataclass(frozen=True)
class Candidate:
    """A checkpoint at a strength of its LoRA, as it was measured."""

    step: int
    scale: float
    inside: float  # share of criteria inside, over all samples
    flagged: int  # samples that are near to a training picture
    diversity: float

    @property
    def is_left_out(self) -> bool:
        """Whether the rule leaves it out."""
        return self.flagged > MOST_FLAGGED or self.diversity < LEAST_DIVERSITY


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The rule: for candidates in the order in which equal ones are preferred."""
    left = [one for one in candidates if not one.is_left_out]
    if left:
        return max(left, key=lambda one: one.inside)  # the first of equal ones
    return min(candidates, key=lambda one: (one.flagged, one.diversity < LEAST_DIVERSITY, -one.inside))


def doubt(taken: Candidate, candidates: Sequence[Candidate]) -> str:
    """What the rule has against the candidate that was taken; "" for nothing. `candidates` are all checkpoints."""
    reasons = []
    if taken.flagged > MOST_FLAGGED:
        reasons.append(f"{taken.flagged} of its samples are nearly training pictures")
    if taken.diversity < LEAST_DIVERSITY:
        reasons.append("its four pictures of one prompt are nearly the same")
    if not reasons:
        return ""
    where = "this checkpoint"
    if (best := choose(candidates)).is_left_out:
        where = "every checkpoint"
        if taken.step == best.step:
            where += ", and of them this one has the fewest flags"
    return f"The rule leaves out {where}: {' and '.join(reasons)}. Look at the samples with care."
