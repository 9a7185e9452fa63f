"""Whether two pictures are one drawing: moved, resized, mirrored or saved again.

Plain perceptual hashes fail on brand art: most pictures have one ground and a thing in the middle, so strangers look
alike and a moved copy does not (shared measurements: 35 % false alarms, 53 % misses at 6 pixels). Two comparisons are
made instead, each also with one picture mirrored: the things alone, cut out and brought to one size; and the whole
pictures at the shift that fits best, for pictures without a plain ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from onbrand.dataset.colours import distance, to_oklab
from onbrand.dataset.features import View

# Measured on the synthetic studio: copies that were moved, resized, mirrored, saved as JPEG or made grainy are at 0.023
# at most, and no two different drawings of one kind of thing are nearer than 0.047.
SAME_THING = 0.028  # mean distance in Oklab of the cut-out things
SAME_PICTURE = 0.04  # share of the pictures' contrast that is left at the best shift
SAME_SCENE = 0.12  # the same for pictures without a plain ground, whose far side changes with a shift
_CROP = 48
_WHOLE = 64
_RATIO = 0.06  # how far the sides of two things' boxes may differ
_SCENE = 0.6  # share of the picture that differs from its border
_LEAST = 0.002  # share of the picture: less is no thing that could be compared


@dataclass(frozen=True)
class Fingerprint:
    """A picture, small. `thing` (48, 48, 3) Oklab of its cut-out thing; `whole` (64, 64, 3) Oklab less its ground."""

    thing: np.ndarray
    ratio: float  # width to height of the thing; 0 if there is none
    spectrum: np.ndarray  # (3, 64, 33) of `whole`
    energy: float
    is_scene: bool  # it fills the picture


@dataclass(frozen=True)
class Likeness:
    """How two pictures compare; 0 is the same."""

    thing: float
    picture: float
    is_mirrored: bool
    is_scene: bool  # neither picture has a plain ground

    @property
    def is_near(self) -> bool:
        """Whether a person would call them one drawing."""
        return self.thing < SAME_THING or self.picture < (SAME_SCENE if self.is_scene else SAME_PICTURE)


def fingerprint(seen: View) -> Fingerprint:
    """What is compared of a picture."""
    thing, ratio = _cut_out(seen)
    whole = to_oklab(_small(seen.rgb, (_WHOLE, _WHOLE))) - seen.ground
    spectrum = np.fft.rfft2(whole, axes=(0, 1)).transpose(2, 0, 1).astype(np.complex64)
    return Fingerprint(thing, ratio, spectrum, float(np.square(whole).sum()), bool(seen.thing.mean() > _SCENE))


def likeness(one: Fingerprint, other: Fingerprint) -> Likeness:
    """The better of the two ways round."""
    straight, mirrored = _thing_distance(one, other, mirrored=False), _thing_distance(one, other, mirrored=True)
    whole, turned = _picture_distance(one, other, mirrored=False), _picture_distance(one, other, mirrored=True)
    is_mirrored = mirrored < straight if min(straight, mirrored) < SAME_THING else turned < whole
    return Likeness(min(straight, mirrored), min(whole, turned), is_mirrored, is_scene=one.is_scene and other.is_scene)


def near_pairs(prints: Sequence[Fingerprint]) -> list[tuple[int, int, Likeness]]:
    """All pairs that are one drawing, by index."""
    found = []
    for first in range(len(prints)):
        for second in range(first + 1, len(prints)):
            result = likeness(prints[first], prints[second])
            if result.is_near:
                found.append((first, second, result))
    return found


def _cut_out(seen: View) -> tuple[np.ndarray, float]:
    rows, columns = np.flatnonzero(seen.thing.any(axis=1)), np.flatnonzero(seen.thing.any(axis=0))
    if seen.thing.mean() < _LEAST:
        return np.zeros((_CROP, _CROP, 3), np.float32), 0.0
    box = seen.rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return to_oklab(_small(box, (_CROP, _CROP))), box.shape[1] / box.shape[0]


def _small(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).resize(size, Image.Resampling.HAMMING))


def _thing_distance(one: Fingerprint, other: Fingerprint, *, mirrored: bool) -> float:
    if not one.ratio or not other.ratio or abs(np.log(one.ratio / other.ratio)) > _RATIO:
        return 1.0
    compared = other.thing[:, ::-1] if mirrored else other.thing
    return float(distance(one.thing, compared).mean())


def _picture_distance(one: Fingerprint, other: Fingerprint, *, mirrored: bool) -> float:
    """The squared difference at the best shift, of the energy of both; shifts go round, which a plain ground hides."""
    spectrum = other.spectrum
    if mirrored:
        # Of a real picture: left to right is the frequency across negated, which is the conjugate with rows negated.
        spectrum = np.conj(np.roll(spectrum[:, ::-1], 1, axis=1))
    product = (one.spectrum * np.conj(spectrum)).sum(axis=0)
    best = float(np.fft.irfft2(product, s=(_WHOLE, _WHOLE)).max())
    total = one.energy + other.energy
    return (total - 2 * best) / total if total > 1e-6 else 1.0
