"""One drawing twice is found however it was moved, resized, mirrored or saved; two drawings of one thing are not."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageOps

from onbrand.dataset.features import view
from onbrand.dataset.likeness import Fingerprint, fingerprint, likeness, near_pairs
from tests.studio import GROUND, draw

SIDE = 512
Change = Callable[[Image.Image], Image.Image]


def of(image: Image.Image) -> Fingerprint:
    return fingerprint(view(np.asarray(image.convert("RGB").resize((1024, 1024)))))


def smaller(image: Image.Image) -> Image.Image:
    side = round(0.7 * SIDE)
    sheet = Image.new("RGB", (SIDE, SIDE), GROUND)
    sheet.paste(image.resize((side, side), Image.Resampling.LANCZOS), (60, 90))
    return sheet


def as_jpeg(image: Image.Image) -> Image.Image:
    stored = BytesIO()
    image.save(stored, "JPEG", quality=70)
    return Image.open(stored)


def grainy(image: Image.Image) -> Image.Image:
    grain = np.random.default_rng(1).normal(0, 5, (SIDE, SIDE, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "the same": lambda image: image,
    "moved": lambda image: ImageChops.offset(image, 23, -14),
    "mirrored": ImageOps.mirror,
    "smaller": smaller,
    "resampled": lambda image: image.resize((300, 300)).resize((SIDE, SIDE)),
    "as JPEG": as_jpeg,
    "grainy": grainy,
    "mirrored, smaller and moved": lambda image: ImageChops.offset(ImageOps.mirror(smaller(image)), 31, 9),
    "turned a little": lambda image: image.rotate(2, fillcolor=GROUND),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_the_same_drawing(change: str) -> None:
    for index in range(0, 8, 2):
        image = draw(index, SIDE)[0]
        found = likeness(of(image), of(CHANGES[change](image)))
        assert found.is_near
        assert not found.is_mirrored or "mirrored" in change or index == 7  # a clock is nearly its own mirror image


def test_different_drawings_of_the_same_things_are_not_the_same_drawing() -> None:
    assert near_pairs([of(draw(index, SIDE)[0]) for index in range(24)]) == []


def scene(seed: int) -> Image.Image:
    """A picture that is drawn up to its border."""
    rng = np.random.default_rng(seed)
    colours = Image.fromarray(rng.integers(0, 255, (6, 6, 3)).astype(np.uint8))
    return colours.resize((700, 700), Image.Resampling.BICUBIC)


def test_pictures_without_a_plain_ground_are_compared_as_a_whole() -> None:
    scenes = [scene(seed) for seed in range(6)]
    cut = [of(one.crop((50, 50, 562, 562))) for one in scenes]
    moved = [of(one.crop((58, 45, 570, 557))) for one in scenes]
    mirrored = [of(ImageOps.mirror(one.crop((58, 45, 570, 557)))) for one in scenes]
    assert all(likeness(one, other).is_near for one, other in zip(cut, moved, strict=True))
    assert all(likeness(one, other).is_mirrored for one, other in zip(cut, mirrored, strict=True))
    assert all(likeness(one, other).is_near for one, other in zip(cut, mirrored, strict=True))
    assert not any(likeness(one, other).is_near for one, other in combinations(cut, 2))
