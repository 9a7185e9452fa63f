"""The rule that decides, stated before anybody sees a picture: pure functions.

What ten pictures can tell: a pack of which eight in ten would be usable passes with a probability of 68 %, one of which
six in ten would be with 17 %. So the interval is always shown beside the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from onbrand.reviews.models import BASES, ORIGINALS, SAMPLES, CardAnswer, Kind, Outcome, Reason

VERSION = 1
LEAST_USABLE = 8  # of the ten
LEAST_ORIGINALS = 2  # of the three, accepted by a reviewer who knows the brand
MOST_BASES = 1  # of the three
_Z = 1.959964  # 97.5 % of the normal distribution are below

SENTENCES = (
    f"{SAMPLES + ORIGINALS + BASES} pictures: {SAMPLES} were drawn in this style, {ORIGINALS} are the studio's own, and"
    f" {BASES} were drawn without the style. Which is which, you are told at the end.",
    f"The style is approved if you can use at least {LEAST_USABLE} of its {SAMPLES}, as they are or after a small fix,"
    " and if none of them copies an existing piece.",
    f"Your answers count if you accept at least {LEAST_ORIGINALS} of the studio's own {ORIGINALS}, and at most"
    f" {MOST_BASES} of the {BASES} without the style. Otherwise nothing is decided.",
    "Say of each picture whether the studio would use it for what was asked. You can change your mind until you send"
    " all answers; after that they stay.",
)


@dataclass(frozen=True)
class Judgement:
    """What a reviewer's sixteen answers add up to."""

    outcome: Outcome
    usable: int  # of the pack's ten
    copies: int  # of the pack's ten
    originals_accepted: int
    bases_accepted: int

    @property
    def is_calibrated(self) -> bool:
        """Whether the reviewer tells the brand from what isn't the brand."""
        return self.originals_accepted >= LEAST_ORIGINALS and self.bases_accepted <= MOST_BASES

    @property
    def interval(self) -> tuple[float, float]:
        """The share of usable pictures that these ten let one expect, with 95 % confidence."""
        return wilson_interval(self.usable, SAMPLES)

    @property
    def why(self) -> tuple[str, ...]:
        """The rule's parts, each with what was found, as sentences."""
        low, high = (round(100 * share) for share in self.interval)
        return (
            f"{self.usable} of {SAMPLES} are usable; {LEAST_USABLE} are needed. Of many more pictures, between {low}"
            f" and {high} in 100 would be (95 % interval, Wilson).",
            f"{self.copies or 'None'} of {SAMPLES} {'copy' if self.copies > 1 else 'copies'} an existing piece; none"
            " may.",
            f"Of the studio's own {ORIGINALS}, {_were(self.originals_accepted)} accepted; at least {LEAST_ORIGINALS}"
            " must be.",
            f"Of the {BASES} without the style, {_were(self.bases_accepted)} accepted; at most {MOST_BASES} may be.",
        )


def judge(kinds: Sequence[Kind], answers: Sequence[CardAnswer]) -> Judgement:
    """Apply the rule. `kinds` and `answers` are of the same cards, in the same order."""

    def of(kind: Kind) -> list[CardAnswer]:
        return [answer for one, answer in zip(kinds, answers, strict=True) if one is kind]

    def accepted(kind: Kind) -> int:
        return sum(answer.answer.is_usable for answer in of(kind))

    usable, copies = accepted(Kind.PACK), sum(Reason.COPY in answer.reasons for answer in of(Kind.PACK))
    found = Judgement(Outcome.UNDECIDED, usable, copies, accepted(Kind.ORIGINAL), accepted(Kind.BASE))
    if not found.is_calibrated:
        return found
    passes = usable >= LEAST_USABLE and not copies
    return Judgement(
        Outcome.APPROVED if passes else Outcome.REJECTED,
        usable,
        copies,
        found.originals_accepted,
        found.bases_accepted,
    )


def _were(count: int) -> str:
    return f"{count or 'none'} {'was' if count < 2 else 'were'}"


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson (1927), https://doi.org/10.1080/01621459.1927.10502953.

    It covers well for ten trials too, and it never leaves 0 to 1. The normal approximation does both badly.
    """
    share, spread = successes / trials, _Z * _Z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)
