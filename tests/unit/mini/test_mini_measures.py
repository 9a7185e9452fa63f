"""The measures of the miniature's evaluation tell good pictures from bad ones that were made bad on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import measures
from models.mini.recipe.art import Art
from models.mini.recipe.colours import COLOURS, GROUNDS, families
from models.mini.recipe.concepts import EMOJI_SETS, read_concepts
from models.mini.recipe.judge import JUDGED_BY, Recogniser, recognise, stage
from models.mini.recipe.scenes import Ground, Item, Picture, paint


def drawn(colour: str, ground: str, drawing: str = "own/mug") -> np.ndarray:
    """A clean 1024-pixel picture."""
    item = Item(drawing, colour, 0.5, None, 0.66)
    picture = Picture(Ground("plain", GROUNDS[ground]), (item,))
    return (paint(picture, Art(None), 1024) * 255 + 0.5).astype(np.uint8)


@pytest.mark.parametrize(("colour", "ground"), [("red", "white"), ("navy", "mint"), ("yellow", "navy")])
def test_the_asked_colour_and_ground_are_seen_and_others_are_not(colour: str, ground: str) -> None:
    picture = drawn(colour, ground)
    assert measures.has_colour(picture, colour, COLOURS)
    assert measures.has_ground(picture, ground, GROUNDS)
    assert not measures.has_colour(picture, "purple", COLOURS)
    assert not measures.has_ground(picture, "orange", GROUNDS)


def test_an_empty_picture_has_no_colour() -> None:
    empty = np.full((1024, 1024, 3), 255, np.uint8)
    assert not measures.has_colour(empty, "red", COLOURS)


def test_blur_lowers_acutance() -> None:
    sharp = drawn("red", "white")
    soft = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    assert measures.acutance(soft) < 0.5 * measures.acutance(sharp)


def test_steps_at_the_latents_borders_are_seams() -> None:
    clean = drawn("red", "white")
    tiles = np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.ones((64, 64), int))[..., None] * 4
    seamed = np.clip(clean.astype(int) - tiles, 0, 255).astype(np.uint8)
    assert measures.seams(clean) < 1.5
    assert measures.seams(seamed) > 3 * measures.seams(clean)


def test_four_equal_pictures_have_no_diversity() -> None:
    one = drawn("red", "white")
    assert measures.diversity([one] * 4) == 0
    assert measures.diversity([one, drawn("red", "navy")]) > 0.05


def test_the_judge_s_sets_are_none_of_those_that_are_learned_from() -> None:
    learned = {name.split("/", 1)[0] for concept in read_concepts() for name in concept.drawings if "/" in name}
    assert not learned.union(EMOJI_SETS).intersection(JUDGED_BY)


def test_the_judge_answers_with_a_class_a_picture() -> None:
    answers, features = recognise(Recogniser(7, width=8), np.zeros((3, 64, 64, 3), np.float32))
    assert answers.shape == (3,)
    assert features.shape == (3, 48)


def test_the_judge_s_pictures_depend_on_their_numbers_alone() -> None:
    parts = families(Art(None).render("own/mug", 64))
    first, again = (stage(np.random.default_rng(5), parts) for _ in range(2))
    assert (first == again).all()
