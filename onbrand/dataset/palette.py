"""The colours that a picture uses, the palette of a brand, and how far a picture is from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onbrand.dataset.colours import distance, to_code, to_oklab
from onbrand.dataset.features import View

MERGE = 0.05  # in Oklab: colours that a person would call the same
NUANCE = 0.02  # just noticeable: for distances, so that a brand's colour is not replaced by its neighbour
_PLAIN = 0.03  # change to the next pixel: more is the blend of an edge
_SHIFT = 3  # bits of sRGB that are left out when colours are counted
_MOST = 24  # colours of one picture
_LEAST_SHARE = 0.002


@dataclass(frozen=True)
class Colours:
    """Colours with how much of the picture has each: `rgb` (N, 3) uint8, `lab` (N, 3), `shares` (N), largest first."""

    rgb: np.ndarray
    lab: np.ndarray
    shares: np.ndarray

    @property
    def codes(self) -> list[str]:
        """As `#rrggbb`."""
        return [to_code(one) for one in self.rgb]


def colours_of(seen: View) -> Colours:
    """The colours of a picture's plain areas, ground included. The commonest exact colour stands for its like."""
    plain = seen.rgb[seen.gradient < _PLAIN]
    if len(plain) < 100:
        plain = seen.rgb.reshape(-1, 3)
    plain = plain[:: max(1, len(plain) // 60_000)]
    packed = plain.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    exact, counts = np.unique(packed, return_counts=True)
    coarse = ((exact >> (16 + _SHIFT)) << 16) | (((exact >> (8 + _SHIFT)) & 31) << 8) | ((exact & 255) >> _SHIFT)
    cells, index = np.unique(coarse, return_inverse=True)
    totals = np.bincount(index, counts)
    order = np.lexsort((counts, index))  # the commonest exact colour is the last of its cell
    last = np.append(np.flatnonzero(np.diff(index[order])), len(order) - 1)
    commonest = exact[order[last]]
    rgb = np.stack([commonest >> 16, (commonest >> 8) & 255, commonest & 255], axis=-1).astype(np.uint8)
    assert len(rgb) == len(cells)
    return merge(rgb, totals / totals.sum(), _LEAST_SHARE, _MOST)


def merge(rgb: np.ndarray, shares: np.ndarray, least: float, most: int, near: float = MERGE) -> Colours:
    """Join colours that look the same, the largest first."""
    order = np.argsort(-shares, kind="stable")
    rgb, shares = rgb[order], shares[order]
    lab = to_oklab(rgb)
    is_free = np.ones(len(rgb), bool)
    kept: list[int] = []
    sums: list[float] = []
    for at in range(len(rgb)):
        if not is_free[at]:
            continue
        group = is_free & (distance(lab, lab[at]) < near)
        is_free &= ~group
        kept.append(at)
        sums.append(float(shares[group].sum()))
        if len(kept) == 4 * most:
            break
    totals = np.array(sums)
    best = [at for at in np.argsort(-totals, kind="stable") if totals[at] >= least][:most]
    chosen = np.array([kept[at] for at in best], int)
    return Colours(rgb[chosen], lab[chosen], totals[best])


def brand_palette(pictures: Sequence[Colours], near: float = NUANCE) -> Colours:
    """The colours of all pictures together, joined if they are nearer than `near`; a share is of the mean picture."""
    if not pictures:
        return Colours(np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.float32), np.zeros(0))
    rgb = np.concatenate([one.rgb for one in pictures])
    shares = np.concatenate([one.shares for one in pictures]) / len(pictures)
    return merge(rgb, shares, 0.0002, 96, near)


def without_ground(picture: Colours, ground: np.ndarray) -> Colours:
    """What is left without the ground (3,) in Oklab; the shares are of that rest."""
    is_thing = distance(picture.lab, ground) >= MERGE
    shares = picture.shares[is_thing]
    return Colours(picture.rgb[is_thing], picture.lab[is_thing], shares / max(float(shares.sum()), 1e-9))


def palette_distance(picture: Colours, palette: Colours, ground: np.ndarray) -> float:
    """Mean distance in Oklab of a picture's colours, but for its ground, to the nearest colour of a palette."""
    thing = without_ground(picture, ground)
    if not len(palette.lab) or not len(thing.lab):
        return 0.0
    nearest = distance(thing.lab[:, None], palette.lab[None]).min(axis=1)
    return float((nearest * thing.shares).sum())


def foreign_colours(picture: Colours, palette: Colours, far: float, least: float) -> list[tuple[str, float]]:
    """Colours of a picture that are far from a palette, with their shares, if they cover at least `least`."""
    if not len(palette.lab):
        return []
    nearest = distance(picture.lab[:, None], palette.lab[None]).min(axis=1)
    pairs = zip(picture.codes, picture.shares.tolist(), nearest.tolist(), strict=True)
    return [(code, share) for code, share, away in pairs if away > far and share >= least]
