"""Shares without a false precision, months as people write them, and comments by the rule for prompts."""

from __future__ import annotations

from datetime import date

import pytest

from onbrand.cli.stats import Share, parse_month
from onbrand.errors import CommentInvalid, CommentTooLong
from onbrand.jobs.usage import MAX_COMMENT_CODE_POINTS, normalise_comment


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [(0, 0, "0 of 0"), (9, 9, "9 of 9"), (5, 9, "5 of 9"), (0, 10, "0 of 10 (0 %)"), (7, 12, "7 of 12 (58 %)")],
)
def test_a_share_says_of_how_many_and_is_no_percentage_under_ten(count: int, of: int, shown: str) -> None:
    share = Share(count, of)
    assert str(share) == shown
    assert (share.percent is None) == (of < 10)


def test_a_month_is_its_first_day() -> None:
    assert [parse_month(text) for text in ("2026-11", "2028-02")] == [date(2026, 11, 1), date(2028, 2, 1)]


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-00", "2026-1", "26-11", "2026-11-01", " 2026-11", "1999-12", "２０26-11"]
)
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a month"):
        parse_month(text)


def test_a_comment_is_one_visible_line_or_none() -> None:
    assert normalise_comment("  too\nblue\u200b ") == "too blue"
    assert [normalise_comment(text) for text in (None, "", "\n", "\u200b")] == [None] * 4


def test_a_comment_is_counted_after_it_was_normalised() -> None:
    longest = "é" * MAX_COMMENT_CODE_POINTS
    assert normalise_comment("e\u0301" * MAX_COMMENT_CODE_POINTS) == longest
    for text in (longest + "é", "a" * 501):
        with pytest.raises(CommentTooLong):
            normalise_comment(text)


@pytest.mark.parametrize("text", ["a\0", "a\x1b[31m", "\ud800", "z" + "\u0301" * 10])
def test_a_comment_with_characters_that_could_do_harm_is_refused(text: str) -> None:
    with pytest.raises(CommentInvalid):
        normalise_comment(text)
