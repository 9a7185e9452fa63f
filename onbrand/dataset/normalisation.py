"""A decoded picture becomes what the model learns from: 1024 by 1024 pixels, opaque, never cropped.

What is transparent shows the brand's ground. A picture that isn't square is padded with its own ground if it has one
along its whole border, otherwise with the brand's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from onbrand.dataset.colours import distance, from_code, to_code, to_oklab
from onbrand.dataset.picture_file import SIDE, Decoded

WHITE = "#ffffff"
_RING = 0.02  # share of the shorter side: the border that shows the ground
_OPAQUE = 0.5  # of the border: less, and the picture has no ground of its own
_PLAIN = 0.85  # of the border within `_NEAR` of one colour: a plain ground
_NEAR = 0.03  # in Oklab


@dataclass(frozen=True)
class Border:
    """What a picture's border shows. `colour` is None if it is mostly transparent."""

    colour: str | None
    is_plain: bool


def border(decoded: Decoded) -> Border:
    """The colour along a picture's border, and whether it is one colour."""
    width = max(2, round(_RING * min(decoded.rgb.size)))
    rgb = _ring(np.asarray(decoded.rgb), width)
    if decoded.alpha is not None:
        is_opaque = _ring(np.asarray(decoded.alpha)[..., None], width)[:, 0] == 255
        if is_opaque.mean() < _OPAQUE:
            return Border(None, is_plain=False)
        is_whole = bool(is_opaque.mean() > _PLAIN)
        rgb = rgb[is_opaque]
    else:
        is_whole = True
    colour = _commonest(rgb)
    share = (distance(to_oklab(rgb), to_oklab(colour)) < _NEAR).mean()
    return Border(to_code(colour), is_plain=bool(is_whole and share >= _PLAIN))


def brand_ground(borders: Sequence[Border]) -> str | None:
    """The colour that most pictures have as their ground, as `#rrggbb`; None if no picture has one.

    Colours that can't be told apart vote together, and the commonest exact colour among them wins.
    """
    votes = [one.colour for one in borders if one.is_plain and one.colour]
    votes = votes or [one.colour for one in borders if one.colour]
    if not votes:
        return None
    labs = np.stack([to_oklab(from_code(code)) for code in votes])
    near = distance(labs[:, None], labs[None]) < _NEAR
    centre = max(range(len(votes)), key=lambda index: (near[index].sum(), votes.count(votes[index]), votes[index]))
    group = [code for code, is_near in zip(votes, near[centre], strict=True) if is_near]
    return max(group, key=lambda code: (group.count(code), code))


def needs_ground(decoded: Decoded, own: Border) -> bool:
    """Whether the brand's ground will be seen in the normalised picture."""
    return decoded.alpha is not None or (decoded.rgb.width != decoded.rgb.height and not own.is_plain)


def normalise_picture(decoded: Decoded, own: Border, ground: str) -> np.ndarray:
    """(1024, 1024, 3) uint8 sRGB. `ground` is the brand's."""
    picture = decoded.rgb
    if decoded.alpha is not None:
        behind = Image.new("RGB", picture.size, ground)
        behind.paste(picture, mask=decoded.alpha)
        picture = behind
    longer = max(picture.size)
    if longer != SIDE:
        size = tuple(max(1, round(side * SIDE / longer)) for side in picture.size)
        # Hamming neither rings nor shifts: a flat colour beside an outline stays that colour.
        filter_ = Image.Resampling.HAMMING if longer > SIDE else Image.Resampling.BICUBIC
        picture = picture.resize((size[0], size[1]), filter_)
    if picture.size != (SIDE, SIDE):
        around = own.colour if own.is_plain and own.colour else ground
        square = Image.new("RGB", (SIDE, SIDE), around)
        square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
        picture = square
    return np.asarray(picture)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) uint8 of (1024, 1024, 3)."""
    if side == pixels.shape[0]:
        return pixels
    filter_ = Image.Resampling.BOX if pixels.shape[0] % side == 0 else Image.Resampling.HAMMING
    return np.asarray(Image.fromarray(pixels).resize((side, side), filter_))


def _ring(pixels: np.ndarray, width: int) -> np.ndarray:
    """(N, C) pixels along the border of (H, W, C), thinned to some thousands."""
    bands = (pixels[:width], pixels[-width:], pixels[width:-width, :width], pixels[width:-width, -width:])
    ring = np.concatenate([band.reshape(-1, pixels.shape[-1]) for band in bands])
    return ring[:: max(1, len(ring) // 20_000)]


def _commonest(rgb: np.ndarray) -> np.ndarray:
    """(3,) the commonest of (N, 3) colours, found among colours that are nearly the same."""
    coarse = (rgb >> 3).astype(np.uint32) @ np.array([1024, 32, 1], np.uint32)
    values, counts = np.unique(coarse, return_counts=True)
    inside = rgb[coarse == values[counts.argmax()]]
    exact, counts = np.unique(inside, axis=0, return_counts=True)
    found: np.ndarray = exact[counts.argmax()]
    return found
