"""What to change, by the reasons that a reviewer gave for the pack's pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onbrand.reviews.models import CardAnswer, Kind, Reason

_ADVICE = {
    Reason.COLOUR: "Look at the palette that `onbrand dataset check` shows: remove illustrations in other colours, and"
    " add some in the colours that were missed. Then train again.",
    Reason.LINE: "Keep illustrations of one line width and one kind of outline in the data set. Then train again.",
    Reason.SHADING: "Add illustrations that are shaded as the brand shades, and remove the others. Then train again.",
    Reason.BACKGROUND: "Give all illustrations the brand's own ground, or say in the captions which ground they have."
    " Then train again.",
    Reason.COMPOSITION: "Add illustrations that are arranged as the brand does it, and describe the arrangement in"
    " their captions. Then train again.",
    Reason.WRONG_OBJECT: "The style is too strong for the prompt: build the pack with a lower `--scale`, or take an"
    " earlier checkpoint. Check that each caption names what its picture shows.",
    Reason.ARTEFACT: "Take an earlier checkpoint, or build the pack with a lower `--scale`. Remove illustrations that"
    " are blurred or cut off.",
    Reason.COPY: "The training went on too long for so few illustrations: take an earlier checkpoint. Remove near"
    " duplicates, and add different illustrations.",
}


@dataclass(frozen=True)
class Change:
    """A reason, how many of the pack's pictures have it, and what to do about it."""

    reason: Reason
    count: int
    advice: str


def changes(kinds: Sequence[Kind], answers: Sequence[CardAnswer]) -> tuple[Change, ...]:
    """What to change, the most frequent reason first. Only the pack's own pictures count."""
    counted: Counter[Reason] = Counter()
    for kind, answer in zip(kinds, answers, strict=True):
        if kind is Kind.PACK:
            counted.update(answer.reasons)
    order = list(Reason)
    found = sorted(counted.items(), key=lambda item: (-item[1], order.index(item[0])))
    return tuple(Change(reason, count, _ADVICE[reason]) for reason, count in found)
