"""The sample brand: one clear style, in which colours and grounds still follow words. And one that is kept for tests.

Flat fills in a few tones, a navy outline of one width, a hard shadow to the lower right. The palette has a shade for
each colour word, so a prompt's colours survive the brand; where no ground is named it is the brand's own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image

from models.mini.recipe.art import Art
from models.mini.recipe.colours import COLOURS
from models.mini.recipe.pictures import Cast, Sample, sample
from models.mini.recipe.scenes import Ground, Picture, Style, paint
from models.mini.recipe.wording import with_ground

COUNT = 40  # illustrations, as many as a studio would bring
LARGE = 1024  # pixels
_SEED = 4711


@dataclass(frozen=True)
class Brand:
    """A made-up brand. `palette` has its shade for each colour word; `ground` is its own, where none is named."""

    style: Style
    ground: str
    palette: Mapping[str, str]
    keeps_grounds: bool  # whether a ground that is named is painted


# The sample brand's shades.
PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "red": "#e4564f",
        "coral": "#ff8a70",
        "orange": "#f59a45",
        "yellow": "#f8cf5f",
        "green": "#4fae79",
        "mint": "#a3dcc3",
        "teal": "#2f9a9d",
        "light blue": "#8fcbee",
        "blue": "#4377d3",
        "navy": "#2b3a6b",
        "purple": "#8260c4",
        "pink": "#f291b0",
        "brown": "#94674a",
        "beige": "#dfc9a8",
        "black": "#30333f",
        "grey": "#98a0ad",
        "white": "#f6f3ec",
    }
)


BRANDS: Mapping[str, Brand] = MappingProxyType(
    {
        "sample": Brand(
            Style(outline="#22305c", outline_width=0.016, shadow="block", shadow_length=0.045, levels=8, hues=40),
            "#fbf1de",
            PALETTE,
            keeps_grounds=True,
        ),
        # Never shipped: it shows whether a brand that is nothing like the sample can be learned, ground included.
        "kept": Brand(
            Style(outline="#4a2d3f", outline_width=0.026, shadow="block", shadow_length=0.08, levels=4, hues=20),
            "#a9c4ac",
            COLOURS,
            keeps_grounds=False,
        ),
    }
)


def brand_samples(cast: Cast, brand: Brand, count: int = COUNT) -> list[Sample]:
    """The brand's illustrations: things and pairs, each thing once, many of them on the brand's own ground."""
    chosen: list[Sample] = []
    seen: set[str] = set()
    k = 0
    core = {concept.name for concept in cast.concepts if "core" in concept.roles}
    while len(chosen) < count:
        one = sample(cast, _SEED, k)
        k += 1
        is_plain = one.picture.ground.kind == "plain" and all(item.sunk is None for item in one.picture.items)
        if not is_plain or len(one.picture.items) > 2 or not core.issuperset(one.names) or seen.intersection(one.names):
            continue
        seen.update(one.names)
        rng = random.Random(_SEED + k)
        is_own = not brand.keeps_grounds or not one.ground or rng.random() < 0.3
        ground = Ground("plain", brand.ground) if is_own else one.picture.ground
        named = "" if is_own else one.ground
        picture = Picture(ground, one.picture.items, brand.style)
        chosen.append(Sample(picture, with_ground(one.subject, named), one.names, one.subject, named))
    return chosen


def write_dataset(folder: Path, art: Art, brand: Brand, samples: Sequence[Sample]) -> None:
    """The illustrations as a studio would hand them in: 1024-pixel PNGs, each with its caption beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, one in enumerate(samples):
        pixels = (paint(one.picture, art, LARGE, brand.palette) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index + 1:02d}.png")
        (folder / f"{index + 1:02d}.txt").write_text(one.caption + "\n", "utf-8")
