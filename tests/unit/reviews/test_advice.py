"""What to change, by the reasons that were given."""

from __future__ import annotations

from onbrand.reviews.advice import changes
from onbrand.reviews.models import Answer, CardAnswer, Kind, Reason
from tests.reviews import AS_IS, KINDS


def because(*reasons: Reason) -> CardAnswer:
    return CardAnswer(Answer.NO, frozenset(reasons))


def test_the_most_frequent_reason_comes_first_and_only_the_styles_pictures_count() -> None:
    answers = [because(Reason.SHADING), because(Reason.COPY, Reason.SHADING), because(Reason.LINE), *[AS_IS] * 7]
    answers += [because(Reason.COLOUR)] * 6  # originals and the bare base
    assert KINDS[10] is Kind.ORIGINAL
    found = changes(KINDS, answers)
    assert [(one.reason, one.count) for one in found] == [(Reason.SHADING, 2), (Reason.LINE, 1), (Reason.COPY, 1)]
    assert "near duplicates" in found[2].advice


def test_every_reason_has_advice() -> None:
    answers = [because(*Reason), *[AS_IS] * 15]
    found = changes(KINDS, answers)
    assert {one.reason for one in found} == set(Reason)
    assert all(one.advice.endswith(".") for one in found)
    assert len({one.advice for one in found}) == len(Reason)
