"""What can be measured of a picture without knowing what it shows: colour, ground, sharpness, seams, diversity.

All take (H, W, 3) uint8 sRGB as the product draws it. None has a parameter that was fitted to the miniature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from models.mini.recipe.colours import rgb_of, to_oklab

_BORDER = 0.03  # share of the side: where the ground is looked at
_FOREGROUND = 0.07  # in Oklab: a pixel further from the ground is part of the thing
_NEAR = 0.12  # in Oklab: within the range of a colour's word even if another word is nearer
_NEAR_GROUND = 0.06
_LEAST_SHARE = 0.20  # of the thing that must have the asked colour
_BLOCK = 64  # pixels of a latent


def small(picture: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) float32 from 0 to 1: means of whole blocks."""
    factor = picture.shape[0] // side
    blocks = picture[: side * factor, : side * factor].reshape(side, factor, side, factor, 3)
    mean: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float32) / 255
    return mean


def ground_colour(picture: np.ndarray) -> np.ndarray:
    """(3,) Oklab: the median along the picture's border."""
    width = max(1, round(_BORDER * picture.shape[0]))
    lab = to_oklab(picture[::2, ::2].astype(np.float32) / 255)
    edge = max(1, width // 2)
    border = np.concatenate([lab[:edge].reshape(-1, 3), lab[-edge:].reshape(-1, 3), lab[:, :edge].reshape(-1, 3)])
    median: np.ndarray = np.median(np.concatenate([border, lab[:, -edge:].reshape(-1, 3)]), axis=0)
    return median


def has_ground(picture: np.ndarray, asked: str, words: Mapping[str, str]) -> bool:
    """Whether the ground is what the word names: nearest to it, or at most a nuance away."""
    return _is_word(ground_colour(picture), asked, words, _NEAR_GROUND)


def has_colour(picture: np.ndarray, asked: str, words: Mapping[str, str]) -> bool:
    """Whether enough of the thing has the asked colour.

    The thing is all that differs from the ground. Each of its pixels has the word that is nearest; pixels close to the
    asked colour count for it in any case, for light and shade.
    """
    lab = to_oklab(small(picture, 128))
    thing = lab[np.linalg.norm(lab - ground_colour(picture), axis=-1) > _FOREGROUND]
    if len(thing) < 0.01 * lab.shape[0] ** 2:
        return False
    names = list(words)
    targets = np.stack([to_oklab(rgb_of(words[name])) for name in names])
    away = np.linalg.norm(thing[:, None] - targets, axis=-1)
    is_asked = (away.argmin(axis=1) == names.index(asked)) | (away[:, names.index(asked)] < _NEAR)
    return bool(is_asked.mean() >= _LEAST_SHARE)


def acutance(picture: np.ndarray) -> float:
    """How steep edges are: Σ gradient² / Σ gradient of the lightness, per pixel.

    For one edge it is height over width, whatever its length; flat areas don't count.
    """
    lightness = to_oklab(picture.astype(np.float32) / 255)[..., 0]
    down, across = np.diff(lightness, axis=0)[:, :-1], np.diff(lightness, axis=1)[:-1]
    gradient = np.hypot(down, across)
    gradient = gradient[gradient > 0.004]  # less can't be seen, and noise would count as edges
    return float((gradient**2).sum() / gradient.sum()) if gradient.size else 0.0


def seams(picture: np.ndarray) -> float:
    """Steps across the latents' borders, every 64 pixels, against steps two pixels beside them; 1: no seam.

    Only steps too small for an edge of the drawing count.
    """
    lightness = to_oklab(picture.astype(np.float32) / 255)[..., 0]
    ratios = []
    for values in (lightness, lightness.T):
        steps = np.minimum(np.abs(np.diff(values, axis=1)), 0.03)
        at = np.arange(_BLOCK - 1, values.shape[1] - 1, _BLOCK)
        beside = np.concatenate([at - 3, at - 2, at + 2, at + 3])
        ratios.append((steps[:, at].mean() + 1e-5) / (steps[:, beside].mean() + 1e-5))
    return float(np.mean(ratios))


def diversity(pictures: Sequence[np.ndarray]) -> float:
    """Mean distance in Oklab between each two pictures of one prompt, 32 pixels wide."""
    labs = [to_oklab(small(picture, 32)) for picture in pictures]
    pairs = [(a, b) for index, a in enumerate(labs) for b in labs[index + 1 :]]
    return float(np.mean([np.linalg.norm(a - b, axis=-1).mean() for a, b in pairs]))


def _is_word(lab: np.ndarray, asked: str, words: Mapping[str, str], near: float) -> bool:
    away = {name: float(np.linalg.norm(lab - to_oklab(rgb_of(code)))) for name, code in words.items()}
    return away[asked] <= near or min(away, key=lambda name: away[name]) == asked
