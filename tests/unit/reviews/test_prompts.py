"""What is drawn for a review is fixed before training, and no prompt betrays what a card shows."""

from __future__ import annotations

import json
from random import Random

import pytest

from onbrand.config import REPOSITORY
from onbrand.errors import ManifestInvalid
from onbrand.jobs.prompt import normalise
from onbrand.reviews.prompts import (
    _BASE_PROMPTS,
    _LONG_BASE_PROMPTS,
    DEFAULT_SAMPLES,
    base_prompts,
    parse_samples,
)

LONG = 120  # characters
THINGS = json.loads((REPOSITORY / "models" / "mini" / "known.json").read_text(encoding="utf-8"))["things"]
KNOWN = [word for thing in THINGS for word in (thing["name"], *thing["words"])]


def test_ten_prompts_one_of_them_long_are_drawn_for_a_pack_that_names_none() -> None:
    assert len({one.prompt for one in DEFAULT_SAMPLES}) == len({one.seed for one in DEFAULT_SAMPLES}) == 10
    assert sum(len(one.prompt) > LONG for one in DEFAULT_SAMPLES) == 1


@pytest.mark.parametrize("prompt", [*(one.prompt for one in DEFAULT_SAMPLES), *_BASE_PROMPTS, *_LONG_BASE_PROMPTS])
def test_the_mini_knows_each_thing_and_the_page_would_take_the_prompt(prompt: str) -> None:
    assert normalise(prompt) == prompt
    assert any(thing in prompt for thing in KNOWN), prompt


def test_the_bare_base_gets_other_prompts_each_time_and_one_long_one() -> None:
    taken = [one.prompt for one in DEFAULT_SAMPLES]
    chosen = [base_prompts(taken, Random(seed)) for seed in range(20)]
    for bases in chosen:
        assert len({one.prompt for one in bases} | set(taken)) == 13
        assert sum(len(one.prompt) > LONG for one in bases) == 1
    assert len({tuple(one.prompt for one in bases) for bases in chosen}) > 10


def test_a_prompt_of_the_pack_is_never_drawn_with_the_bare_base() -> None:
    taken = ["A GIFT", *_BASE_PROMPTS[:8]]
    for seed in range(20):
        assert not {one.prompt for one in base_prompts(taken, Random(seed))} & {*_BASE_PROMPTS[:8], "a gift"}


def test_the_packs_own_prompts_are_read_and_what_else_is_noted_is_left_alone() -> None:
    listed = [{"prompt": f"thing {n}", "seed": n, "is_absent": n > 8} for n in range(10)]
    found = parse_samples(json.dumps(listed).encode())
    assert [(one.prompt, one.seed) for one in found] == [(f"thing {n}", n) for n in range(10)]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[]",
        json.dumps([{"prompt": "a", "seed": 1}] * 10).encode(),
        json.dumps([{"prompt": f"{n}", "seed": n} for n in range(9)]).encode(),
        json.dumps([{"prompt": f"{n}", "seed": f"{n}"} for n in range(10)]).encode(),
        json.dumps([{"prompt": f"{n}", "seed": -n} for n in range(10)]).encode(),
        json.dumps([{"prompt": "", "seed": n} for n in range(10)]).encode(),
    ],
)
def test_a_damaged_list_of_prompts_is_refused(document: bytes) -> None:
    with pytest.raises(ManifestInvalid, match="not 10 different prompts"):
        parse_samples(document)
