"""Which things the miniature's page may promise: those that are told apart when they are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe.art import Art
from models.mini.recipe.colours import GROUNDS
from models.mini.recipe.data import SIDE, make_cast
from models.mini.recipe.learned import SEEDS, shares_learned
from models.mini.recipe.pictures import Cast
from models.mini.recipe.scenes import Ground, Item, Picture, paint

ART = Art(None)


@pytest.fixture(scope="module")
def cast() -> Cast:
    """Six of our own drawings, one that keeps its own colours among them."""
    whole = make_cast(ART, "core")
    chosen = [index for index, drawings in enumerate(whole.drawings) if drawings[0].startswith("own/")][:6]
    concepts = [whole.concepts[index] for index in chosen]
    return Cast(concepts, [whole.drawings[index] for index in chosen], [1.0] * len(chosen))


def drawn(cast: Cast, shown: Sequence[int]) -> np.ndarray:
    """A little aside and a little smaller than the recipe puts them, and in another blue."""
    pictures = []
    for index in shown:
        colour = None if "one" in cast.concepts[index].roles else "navy"
        item = Item(cast.drawings[index][0], colour, 0.51, None, 0.66)
        pictures += [paint(Picture(Ground("plain", GROUNDS["cream"]), (item,)), ART, SIDE)] * len(SEEDS)
    return np.stack(pictures)


def test_things_that_are_drawn_as_they_are_are_learned(cast: Cast) -> None:
    shares = shares_learned(cast, ART, lambda _prompts, _seeds: drawn(cast, range(len(cast.concepts))))
    assert shares == {concept.name: 1.0 for concept in cast.concepts}


def test_a_thing_that_looks_like_another_is_not_learned(cast: Cast) -> None:
    shares = shares_learned(cast, ART, lambda _prompts, _seeds: drawn(cast, [0, 1, 2, 3, 4, 1]))
    assert list(shares.values()) == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]


def test_each_thing_is_asked_for_with_each_seed(cast: Cast) -> None:
    asked: list[tuple[str, int]] = []

    def draw(prompts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        asked.extend(zip(prompts, seeds, strict=True))
        return drawn(cast, range(len(cast.concepts)))

    shares_learned(cast, ART, draw)
    assert len(set(asked)) == len(cast.concepts) * len(SEEDS)
    assert all(prompt.endswith("on a white background") for prompt, _ in asked)
