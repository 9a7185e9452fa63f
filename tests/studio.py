"""A synthetic studio: the illustrations of a made-up brand, each with its caption, and the same drifting off it.

Flat fills of one palette, a navy outline of one width, one ground. A drift changes one thing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

PALETTE = ("#e4564f", "#f59a45", "#f8cf5f", "#4fae79", "#2f9a9d", "#4377d3", "#f291b0")
GROUND = "#fbf1de"
PRODUCTS = ("mug", "bottle", "bag", "phone", "lamp", "book", "plant", "clock")
_OVER = 2  # drawn so much larger, then averaged: smooth edges


@dataclass(frozen=True)
class Style:
    """How the studio draws. Lengths are shares of the side."""

    palette: tuple[str, ...] = PALETTE
    ground: str = GROUND
    ground_below: str = ""  # if set, the ground runs to this colour
    stroke: float = 0.012
    ink: str = "#22305c"
    is_shaded: bool = False
    noise: float = 0.0  # standard deviation of 255
    blur: float = 0.0
    aside: float = 0.0
    scale: float = 1.0


BRAND = Style()
DRIFTS: Mapping[str, Style] = {
    "hue shift": replace(BRAND, palette=("#7a4fe4", "#45d6f5", "#9cf85f", "#ae4f9b", "#9d2f58", "#43d38a", "#91f2c0")),
    "slightly off palette": replace(
        BRAND, palette=("#d9685a", "#e8a85c", "#e6d074", "#64a58a", "#4a8f9f", "#5f7fc4", "#e59fb4")
    ),
    "beige ground": replace(BRAND, ground="#ecd9b8"),
    "gradient ground": replace(BRAND, ground_below="#f2d9b0"),
    "shaded": replace(BRAND, is_shaded=True),
    "thick stroke": replace(BRAND, stroke=0.022),
    "no stroke": replace(BRAND, stroke=0.0),
    "noise": replace(BRAND, noise=6.0),
    "blur": replace(BRAND, blur=0.005),
    "off centre": replace(BRAND, aside=-0.14, scale=0.7),
    "too big": replace(BRAND, scale=1.45),
}


def draw(index: int, side: int = 1024, style: Style = BRAND, seed: int = 1) -> tuple[Image.Image, str]:
    """The studio's picture with this number, and its caption. Numbers differ in product, colours and proportions."""
    rng = random.Random(1000 * seed + index)
    product = PRODUCTS[index % len(PRODUCTS)]
    first, second, third = rng.sample(range(len(style.palette)), 3)
    fills = [style.palette[first], style.palette[second], style.palette[third]]
    wide, high = rng.uniform(0.18, 0.26) * style.scale, rng.uniform(0.24, 0.32) * style.scale
    centre = (0.5 + rng.uniform(-0.02, 0.02) + style.aside, 0.5 + rng.uniform(-0.02, 0.02))
    big = side * _OVER
    image = Image.new("RGB", (big, big), style.ground)
    if style.ground_below:
        ramp = Image.linear_gradient("L").resize((big, big))
        image = Image.composite(Image.new("RGB", (big, big), style.ground_below), image, ramp)
    pen = _Pen(image, centre, (wide, high), style)
    for fill, shape in zip([*fills, fills[0], fills[1]], _SHAPES[product](rng), strict=False):
        pen.shape(fill, *shape)
    image = image.resize((side, side), Image.Resampling.BOX)
    if style.blur:
        image = image.filter(ImageFilter.GaussianBlur(style.blur * side))
    if style.noise:
        grain = np.random.default_rng(seed + index).normal(0, style.noise, (side, side, 1))
        image = Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
    sizes = ("small", "plain", "tall", "round", "light", "new", "old")
    where = ("on its own", "seen from the front", "on the left", "for a kitchen", "for a desk", "as a gift")
    words = (sizes[index // 8 % 7], product, where[index % 6])
    return image, f"a {words[0]} {words[1]} {words[2]}"


@dataclass(frozen=True)
class _Pen:
    image: Image.Image
    centre: tuple[float, float]
    half: tuple[float, float]
    style: Style

    def shape(self, fill: str, kind: str, *box: float) -> None:
        """A shape in a box from -1 to 1 around the centre, with its outline."""
        side = self.image.width
        left, right = (round((self.centre[0] + at * self.half[0]) * side) for at in box[::2])
        top, bottom = (round((self.centre[1] + at * self.half[1]) * side) for at in box[1::2])
        size = (max(4, right - left), max(4, bottom - top))
        whole, inner = (Image.new("L", size, 0) for _ in range(2))
        width = round(self.style.stroke * side)
        for mask, edge in ((whole, 0), (inner, width)):
            at, draw = (edge, edge, size[0] - 1 - edge, size[1] - 1 - edge), ImageDraw.Draw(mask)
            if at[2] <= at[0] or at[3] <= at[1]:
                continue
            if kind == "oval":
                draw.ellipse(at, fill=255)
            else:
                draw.rounded_rectangle(at, max(0, side // 50 - edge), fill=255)
        filled = Image.new("RGB", size, fill)
        if self.style.is_shaded:
            dark = Image.linear_gradient("L").rotate(90).resize(size).point(lambda value: value // 2)
            filled.paste("#000000", mask=dark)
        if width:
            self.image.paste(self.style.ink, (left, top), whole)
        self.image.paste(filled, (left, top), inner)


def _jitter(rng: random.Random, *box: float) -> tuple[float, ...]:
    return tuple(at + rng.uniform(-0.08, 0.08) for at in box)


Shapes = Callable[[random.Random], list[tuple[Any, ...]]]
_SHAPES: Mapping[str, Shapes] = {
    "mug": lambda r: [("oval", *_jitter(r, 0.5, -0.5, 1.4, 0.4)), ("box", *_jitter(r, -0.9, -0.9, 0.8, 0.9))],
    "bottle": lambda r: [("box", *_jitter(r, -0.3, -1.3, 0.3, -0.4)), ("box", *_jitter(r, -0.7, -0.5, 0.7, 1.1))],
    "bag": lambda r: [("oval", *_jitter(r, -0.5, -1.2, 0.5, 0.0)), ("box", *_jitter(r, -1.1, -0.5, 1.1, 1.0))],
    "phone": lambda r: [("box", *_jitter(r, -0.7, -1.2, 0.7, 1.2)), ("box", *_jitter(r, -0.5, -0.9, 0.5, 0.8))],
    "lamp": lambda r: [
        ("box", *_jitter(r, -0.12, -0.2, 0.12, 1.0)),
        ("oval", *_jitter(r, -1.0, -1.1, 1.0, 0.1)),
        ("box", *_jitter(r, -0.6, 0.9, 0.6, 1.15)),
    ],
    "book": lambda r: [("box", *_jitter(r, -1.1, -0.8, 1.1, 0.8)), ("box", *_jitter(r, -0.7, -0.4, 0.3, -0.1))],
    "plant": lambda r: [
        ("oval", *_jitter(r, -1.0, -1.2, 0.1, 0.2)),
        ("oval", *_jitter(r, -0.1, -1.1, 1.0, 0.2)),
        ("box", *_jitter(r, -0.6, 0.0, 0.6, 1.1)),
    ],
    "clock": lambda r: [("oval", *_jitter(r, -1.1, -0.9, 1.1, 0.9)), ("box", *_jitter(r, -0.08, -0.6, 0.08, 0.1))],
}


def write_studio(folder: Path, count: int = 40, side: int = 1024, style: Style = BRAND, first: int = 0) -> Path:
    """A folder as a studio would hand it in: `07-mug.png` with `07-mug.txt` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        image, caption = draw(index, side, style)
        name = f"{index + 1:02d}-{PRODUCTS[index % len(PRODUCTS)]}"
        image.save(folder / f"{name}.png", compress_level=1)
        (folder / f"{name}.txt").write_text(f"{caption}\n", "utf-8")
    return folder
