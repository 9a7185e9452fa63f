"""The prompt rule: the vectors it shares with the page, and what holds for any text."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onbrand.errors import ProblemError, PromptBlank, PromptInvalid, PromptTooLong
from onbrand.jobs.prompt import MAX_CODE_POINTS, normalise

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "prompts.json").read_text(encoding="utf-8")
)
# Anything at all, and often what the rule is about: joiners, invisible characters, marks, spaces, the length limit.
SPECIAL = "\u200d\u200b\u202e\u0301\u0327 \u00a0\n\u2028ae\u1100\u1161\ud800"
ANY_TEXT = st.text(st.characters() | st.sampled_from(SPECIAL))
LONG_TEXT = st.builds(lambda text, count: text * count, ANY_TEXT, st.integers(min_value=1, max_value=600))


@pytest.mark.parametrize("vector", [pytest.param(vector, id=vector["name"]) for vector in VECTORS])
def test_a_vector_is_normalised_or_refused_as_written(vector: dict[str, Any]) -> None:
    if "error" in vector:
        with pytest.raises(ProblemError) as refusal:
            normalise(vector["input"])
        assert refusal.value.code == vector["error"]
    else:
        assert normalise(vector["input"]) == vector["normalised"]


def test_the_vectors_have_names_of_their_own_and_cover_every_refusal() -> None:
    names = [vector["name"] for vector in VECTORS]
    assert len(names) == len(set(names))
    refusals = {vector["error"] for vector in VECTORS if "error" in vector}
    assert refusals == {PromptBlank.code, PromptTooLong.code, PromptInvalid.code}


def _normalised(text: str) -> str | None:
    """The normalised prompt, or None if it was refused in one of the three ways; anything else fails the test."""
    try:
        return normalise(text)
    except (PromptBlank, PromptTooLong, PromptInvalid):
        return None


@given(ANY_TEXT | LONG_TEXT)
@example("a\u200d\u0301")
@example("\u0344" * 5)
@example("a\u200d \u200d")
def test_a_normalised_prompt_stays_as_it_is(text: str) -> None:
    once = _normalised(text)
    if once is not None:
        assert normalise(once) == once


@given(ANY_TEXT | LONG_TEXT)
def test_a_normalised_prompt_can_be_stored_sent_and_drawn(text: str) -> None:
    prompt = _normalised(text)
    if prompt is not None:
        assert 1 <= len(prompt) <= MAX_CODE_POINTS
        assert prompt == prompt.strip()
        assert prompt.encode("utf-8")
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in prompt)
        assert not any(unicodedata.category(char) == "Cf" and char != "\u200d" for char in prompt)
