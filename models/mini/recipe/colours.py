"""Named colours, and drawings in them.

A drawing is recoloured by its body: the family of hues, or the greys, that covers most of it. Everything else in the
drawing (a handle, a screen, a label) keeps its colour. All sums are done in Oklab, where equal steps look equal
(https://bottosson.github.io/posts/oklab/).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

# What a word means, as sRGB. Things and grounds share the words.
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "red": "#e02f3a",
        "coral": "#ff7f66",
        "orange": "#f7861f",
        "yellow": "#fcc82b",
        "green": "#3aa655",
        "mint": "#8fdcba",
        "teal": "#159a9c",
        "light blue": "#7cc4f2",
        "blue": "#2a6fdb",
        "navy": "#1f3264",
        "purple": "#7d4cc2",
        "pink": "#f27ba9",
        "brown": "#8a5a3b",
        "beige": "#dcc29a",
        "black": "#2b2c31",
        "grey": "#8d939d",
        "white": "#f1f2f4",
    }
)
COLOUR_SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "light blue": ("sky blue", "pale blue"),
        "navy": ("navy blue", "dark blue"),
        "grey": ("gray",),
        "purple": ("violet",),
        "mint": ("mint green",),
    }
)
GROUNDS: Mapping[str, str] = MappingProxyType(
    {
        "white": "#ffffff",
        "cream": "#fbf3e2",
        "beige": "#ecdcc0",
        "light grey": "#e7e9ed",
        "grey": "#b4b9c2",
        "light blue": "#d3eafa",
        "sky blue": "#a6d8f7",
        "blue": "#3f7fe0",
        "navy": "#1f3264",
        "teal": "#2aa3a3",
        "mint": "#cfefdf",
        "sage green": "#b9cbb0",
        "green": "#6cc07f",
        "yellow": "#fbd65a",
        "light yellow": "#fdf1bd",
        "peach": "#fcd9c2",
        "orange": "#f9a04a",
        "coral": "#fb9480",
        "red": "#dd4a4f",
        "pink": "#f9b4cf",
        "light pink": "#fbdfe8",
        "lavender": "#dcd5f4",
        "purple": "#8a63c9",
        "black": "#26272c",
    }
)

_GREY = 0.045  # chroma in Oklab below which a pixel counts as grey
_HUE_WINDOW = 0.75  # radians to either side of the body's hue
_BINS = 36
_LEAST_COLOURED = 0.22  # share of a drawing that one family of hues must cover to be its body

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    np.float32,
)
_FROM_LMS, _FROM_LAB = np.linalg.inv(_TO_LMS), np.linalg.inv(_TO_LAB)
_levels = np.linspace(0, 1, 16384, dtype=np.float32)
# Linear light to sRGB as a table: powers take most of the time otherwise.
_FROM_LINEAR = np.where(_levels <= 0.0031308, _levels * 12.92, 1.055 * _levels ** (1 / 2.4) - 0.055).astype(np.float32)


def rgb_of(code: str) -> np.ndarray:
    """(3,) float32 sRGB from 0 to 1 of `#rrggbb`."""
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)], np.float32) / 255


def to_oklab(rgb: np.ndarray) -> np.ndarray:
    """(…, 3) sRGB from 0 to 1 to (…, 3) Oklab: lightness from 0 to 1, then the two colour axes."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab: np.ndarray = (np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T).astype(np.float32)
    return lab


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """The way back, clipped to sRGB's range."""
    lms = lab @ _FROM_LAB.T
    linear = (lms * lms * lms) @ _FROM_LMS.T
    levels = np.clip(linear * (len(_FROM_LINEAR) - 1) + 0.5, 0, len(_FROM_LINEAR) - 1)
    rgb: np.ndarray = _FROM_LINEAR[levels.astype(np.int32)]
    return rgb


def body_weight(lab: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, float]:
    """Which pixels are the body: (H, W) from 0 to 1, and the share of the drawing that they cover.

    `lab` (H, W, 3), `alpha` (H, W): how much a pixel counts.
    """
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    hue = np.arctan2(lab[..., 2], lab[..., 1])
    coloured = alpha * (chroma > _GREY)
    total = float(alpha.sum()) + 1e-6
    counts, edges = np.histogram(hue, _BINS, (-np.pi, np.pi), weights=coloured)
    spread = np.sum([np.roll(counts, shift) for shift in (-2, -1, 0, 1, 2)], axis=0)
    if float(spread.max()) / total < _LEAST_COLOURED:  # a grey, white or black thing
        greys = alpha * (chroma <= _GREY)
        lightness = np.average(lab[..., 0], weights=greys + 1e-6)
        weight = np.clip((0.06 - chroma) / 0.02, 0, 1) * np.clip((0.30 - abs(lab[..., 0] - lightness)) / 0.08, 0, 1)
    else:
        at = int(spread.argmax())
        centre = (edges[at] + edges[at + 1]) / 2
        away = abs((hue - centre + np.pi) % (2 * np.pi) - np.pi)
        weight = np.clip((_HUE_WINDOW - away) / 0.15, 0, 1) * np.clip((chroma - 0.02) / 0.02, 0, 1)
    return weight.astype(np.float32), float((weight * alpha).sum()) / total


@dataclass(frozen=True)
class Families:
    """A drawing taken apart for recolouring: Oklab (H, W, 3), alpha, and the weights (H, W) of body and detail."""

    lab: np.ndarray
    alpha: np.ndarray
    body: np.ndarray
    detail: np.ndarray
    share: float  # of the drawing that is body


def families(rgba: np.ndarray) -> Families:
    """The body, and the largest family beside it, of (H, W, 4) RGBA."""
    lab, alpha = to_oklab(rgba[..., :3]), rgba[..., 3]
    body, share = body_weight(lab, alpha)
    detail = body_weight(lab, alpha * (1 - body))[0] * (1 - body)
    return Families(lab, alpha, body, detail, share)


def recolour(parts: Families, code: str, detail: str = "") -> np.ndarray:
    """(H, W, 4) RGBA with the body in the colour `#rrggbb` and, where it is given, the detail in another.

    Light and shade stay: a pixel's lightness moves with its family's mean, its chroma in proportion.
    """
    mixed = parts.lab + (_moved(parts.lab, parts.body * parts.alpha, code) - parts.lab) * parts.body[..., None]
    if detail:
        mass = parts.detail * parts.alpha * (1 - parts.body)
        mixed += (_moved(parts.lab, mass, detail) - parts.lab) * parts.detail[..., None]
    return np.concatenate([from_oklab(mixed), parts.alpha[..., None]], axis=-1)


def _moved(lab: np.ndarray, mass: np.ndarray, code: str) -> np.ndarray:
    """All pixels moved as those that `mass` (H, W) weighs must move to have `code` for their mean."""
    mean = np.average(lab.reshape(-1, 3), axis=0, weights=mass.ravel() + 1e-9)
    target = to_oklab(rgb_of(code))
    contrast = 0.75 if target[0] < 0.4 else 1.0  # shades of black would go below black
    lightness = target[0] + (lab[..., 0] - mean[0]) * contrast
    mean_chroma = float(np.hypot(mean[1], mean[2]))
    ratio = np.ones_like(lightness)
    if mean_chroma > _GREY:
        ratio = np.clip(np.hypot(lab[..., 1], lab[..., 2]) / mean_chroma, 0.4, 1.3)
    return np.stack([lightness, target[1] * ratio, target[2] * ratio], axis=-1).astype(np.float32)
