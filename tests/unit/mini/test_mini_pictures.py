"""The miniature's training pictures: what the caption says is what is painted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("resvg_py", reason="the recipe's own dependency: extra `mini`")

from models.mini.recipe import scenes
from models.mini.recipe.art import OWN_FOLDER, Art
from models.mini.recipe.autoencoder import fit_basis
from models.mini.recipe.colours import COLOURS, GROUNDS, families, from_oklab, recolour, rgb_of, to_oklab
from models.mini.recipe.concepts import read_concepts
from models.mini.recipe.data import small_picture
from models.mini.recipe.pictures import Cast, sample
from models.mini.recipe.scenes import FLOOR, TOKEN, Ground, Item, Picture, Style, paint, stacked


@pytest.fixture
def art() -> Art:
    """Our own drawings alone: tests need no package of icons."""
    return Art(None)


@pytest.fixture
def cast() -> Cast:
    """The concepts that have a drawing of our own."""
    own = {f"own/{path.stem}" for path in OWN_FOLDER.glob("*.svg")}
    concepts = [concept for concept in read_concepts() if own.intersection(concept.drawings)]
    drawings = [[name for name in concept.drawings if name in own] for concept in concepts]
    return Cast(concepts, drawings, [1.0] * len(concepts))


def test_oklab_and_back_is_the_same_colour() -> None:
    rgb = np.random.default_rng(0).random((50, 3), np.float32)
    assert np.abs(from_oklab(to_oklab(rgb)) - rgb).max() < 2e-3


@pytest.mark.parametrize("colour", sorted(COLOURS))
def test_a_recoloured_drawing_has_the_colour_s_mean(art: Art, colour: str) -> None:
    parts = families(art.render("own/mug", 96))
    rgba = recolour(parts, COLOURS[colour])
    opaque = rgba[rgba[..., 3] > 0.99][:, :3]
    mean = to_oklab(opaque).mean(axis=0)
    assert parts.share > 0.8
    assert np.linalg.norm(mean - to_oklab(rgb_of(COLOURS[colour]))) < 0.06


def test_a_detail_gets_its_own_colour(art: Art) -> None:
    rgba = recolour(families(art.render("own/gift-box", 128)), COLOURS["blue"], COLOURS["green"])
    lab = to_oklab(rgba[..., :3])
    ribbon, box = lab[-10, lab.shape[1] // 2], lab[-10, 10]
    assert np.linalg.norm(ribbon - to_oklab(rgb_of(COLOURS["green"]))) < 0.12
    assert np.linalg.norm(box - to_oklab(rgb_of(COLOURS["blue"]))) < 0.12


def test_the_same_number_is_the_same_picture(art: Art, cast: Cast) -> None:
    first, again = (sample(cast, 1, 42) for _ in range(2))
    assert first == again
    assert (small_picture(first, art) == small_picture(again, art)).all()


def test_a_named_plain_ground_is_painted_in_its_colour(art: Art, cast: Cast) -> None:
    checked = 0
    for k in range(300):
        one = sample(cast, 1, k)
        if one.picture.ground.kind != "plain" or "background" not in one.caption or one.picture.style.shadow:
            continue
        painted = paint(one.picture, art, 64)
        name = next(name for name, code in GROUNDS.items() if code == one.picture.ground.colour)
        assert name in one.caption.lower()
        assert np.abs(painted[0, 0] - rgb_of(GROUNDS[name])).max() < 0.01
        checked += 1
    assert checked > 20


def test_every_named_colour_stands_beside_its_thing(cast: Cast) -> None:
    for k in range(300):
        one = sample(cast, 2, k)
        for item in one.picture.items:
            if item.colour:
                words = {item.colour, "sky", "pale", "dark", "violet", "gray", "navy"}
                assert any(word in one.caption.lower() for word in words)


def test_a_picture_looks_the_same_at_any_size(art: Art) -> None:
    picture = Picture(Ground("plain", "#ffffff"), (Item("own/mug", "red", 0.5, None, 0.66),), Style(shadow="soft"))
    small, large = paint(picture, art, 128), paint(picture, art, 512)
    mean = large.reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).mean() < 0.01


@pytest.mark.parametrize("upper", ["own/mug", "own/potted-plant", "own/laptop", "own/sneaker"])
@pytest.mark.parametrize("lower", ["own/shipping-box", "own/chair", "own/desk"])
@pytest.mark.parametrize("sunk", [0.05, 0.38])
def test_what_stands_on_another_thing_stands_on_the_network_s_grid(
    art: Art, upper: str, lower: str, sunk: float
) -> None:
    asked = Item(upper, None, 0.5, None, 0.46, sunk=sunk), Item(lower, None, 0.5, FLOOR, 0.46)
    above, below = stacked(asked, art)
    assert above.bottom is not None
    tokens = (FLOOR - above.bottom) / TOKEN
    assert tokens == pytest.approx(round(tokens))
    assert tokens >= 1
    height = {item.drawing: item.longest * _tallness(art, item.drawing) for item in (above, below)}
    assert above.bottom - height[upper] >= 0.019  # nothing is cut off
    assert above.bottom - (FLOOR - height[below.drawing]) == pytest.approx(sunk * height[upper], abs=0.01)


def _tallness(art: Art, drawing: str) -> float:
    height, width = art.render(drawing, 256).shape[:2]
    return float(height / max(height, width))


def test_large_drawings_are_not_kept(art: Art, cast: Cast) -> None:
    """The decoder's training paints thousands of 1024 pixels, each of several megabytes."""
    caches = (scenes._cached_drawing, scenes._plain_drawing, scenes._families, scenes._kept_ground)
    before = [cache.cache_info().currsize for cache in caches]
    for k in range(3):
        paint(sample(cast, 9, k).picture, art, 1024)
    assert [cache.cache_info().currsize for cache in caches] == before


def test_all_components_give_the_picture_back(art: Art, cast: Cast) -> None:
    pictures = np.stack([small_picture(sample(cast, 1, k), art) for k in range(6)])
    basis = fit_basis(torch.from_numpy(pictures), 192)
    back = basis.decode(basis.encode(torch.from_numpy(pictures)))
    assert (back.permute(0, 2, 3, 1) * 127.5 + 127.5 - torch.from_numpy(pictures)).abs().max() < 0.1


def test_every_concept_has_a_role_and_words_that_are_its_own() -> None:
    concepts = read_concepts()
    assert len(concepts) >= 150
    assert all(concept.drawings for concept in concepts)
