"""The rule that decides a review, and the interval that is shown beside it."""

from __future__ import annotations

import math

import pytest

from onbrand.reviews.models import SAMPLES, Answer, CardAnswer, Kind, Outcome, Reason
from onbrand.reviews.rule import SENTENCES, judge, wilson_interval
from tests.reviews import AS_IS, COPY, KINDS, NO, SMALL_FIX


def given(usable: int, originals: int = 3, bases: int = 0) -> list[CardAnswer]:
    """So many of each kind are accepted."""
    pack = [SMALL_FIX if n % 2 else AS_IS for n in range(usable)] + [NO] * (10 - usable)
    return [*pack, *[AS_IS] * originals, *[NO] * (3 - originals), *[AS_IS] * bases, *[NO] * (3 - bases)]


@pytest.mark.parametrize(("usable", "outcome"), [(10, "approved"), (8, "approved"), (7, "rejected"), (0, "rejected")])
def test_eight_usable_pictures_of_ten_are_enough_and_seven_are_not(usable: int, outcome: str) -> None:
    found = judge(KINDS, given(usable))
    assert (found.outcome, found.usable) == (Outcome(outcome), usable)


@pytest.mark.parametrize(
    ("originals", "bases", "counts"),
    [(3, 0, True), (2, 1, True), (1, 0, False), (0, 0, False), (3, 2, False), (3, 3, False), (1, 2, False)],
)
@pytest.mark.parametrize("usable", [0, 10])
def test_answers_of_somebody_who_does_not_tell_the_brand_decide_nothing(
    originals: int, bases: int, counts: bool, usable: int
) -> None:
    found = judge(KINDS, given(usable, originals, bases))
    assert found.is_calibrated is counts
    assert (found.outcome is Outcome.UNDECIDED) is not counts


@pytest.mark.parametrize("answer", list(Answer))
def test_one_copy_is_enough_to_reject_whatever_else_is_said_of_it(answer: Answer) -> None:
    answers = given(10)
    answers[4] = CardAnswer(answer, frozenset({Reason.COPY}))
    found = judge(KINDS, answers)
    assert (found.outcome, found.copies) == (Outcome.REJECTED, 1)


def test_an_original_that_looks_like_a_copy_is_no_copy() -> None:
    answers = given(10)
    answers[KINDS.index(Kind.ORIGINAL)] = CardAnswer(Answer.AS_IS, frozenset({Reason.COPY}))
    answers[KINDS.index(Kind.BASE)] = COPY
    found = judge(KINDS, answers)
    assert (found.outcome, found.copies) == (Outcome.APPROVED, 0)


def test_the_order_of_the_cards_does_not_matter() -> None:
    pairs = list(zip(KINDS, given(8, 2, 1), strict=True))[::-1]
    assert judge([kind for kind, _ in pairs], [answer for _, answer in pairs]) == judge(KINDS, given(8, 2, 1))


# https://www.itl.nist.gov/div898/handbook/prc/section2/prc241.htm gives the formula; these were computed with R's
# binom.confint(x, 10, methods = "wilson").
@pytest.mark.parametrize(
    ("successes", "low", "high"),
    [
        (0, 0.0, 0.2775328),
        (1, 0.01787621, 0.4041500),
        (5, 0.2365931, 0.7634069),
        (8, 0.4901625, 0.9433178),
        (10, 0.7224672, 1.0),
    ],
)
def test_the_interval_is_wilsons(successes: int, low: float, high: float) -> None:
    found = wilson_interval(successes, SAMPLES)
    assert math.isclose(found[0], low, abs_tol=1e-6)
    assert math.isclose(found[1], high, abs_tol=1e-6)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.95])
def test_the_interval_covers_the_true_share_about_as_often_as_it_says(share: float) -> None:
    covered = sum(
        math.comb(10, k) * share**k * (1 - share) ** (10 - k)
        for k in range(11)
        if wilson_interval(k, 10)[0] <= share <= wilson_interval(k, 10)[1]
    )
    assert covered > 0.89


def test_the_rule_is_stated_with_the_numbers_that_decide() -> None:
    text = " ".join(SENTENCES)
    for part in ("16 pictures", "10 were drawn", "at least 8 of its 10", "at least 2", "at most 1 of the 3"):
        assert part in text


def test_what_was_found_is_told_in_sentences_with_the_interval() -> None:
    why = judge(KINDS, given(8, 2, 1)).why
    assert why[0] == (
        "8 of 10 are usable; 8 are needed. Of many more pictures, between 49 and 94 in 100 would be (95 % interval,"
        " Wilson)."
    )
    assert why[1] == "None of 10 copies an existing piece; none may."
    assert why[2] == "Of the studio's own 3, 2 were accepted; at least 2 must be."
    assert why[3] == "Of the 3 without the style, 1 was accepted; at most 1 may be."
