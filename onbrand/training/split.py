"""Which illustrations are held out: a share that is never trained on, spread over the whole set."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

LEAST = 4  # illustrations
_SHARE = 8  # one in eight: 4 of 30, 5 of 40, 6 of 50
_GRID = 8  # cells along one side that a picture is compared by


def held_out(pictures: Mapping[str, np.ndarray], seed: int, twins: Collection[str] = ()) -> frozenset[str]:
    """The names of one in eight of the (S, S, 3) uint8 pictures, at least one.

    The pictures are put in a line by what they differ in most (the first principal component of their coarse colours).
    The line is cut into as many parts as pictures are needed, and each part gives one. So a set with light and dark
    grounds has both among the held-out ones.

    `twins` are pictures that another one is nearly the same as. They are trained on, if enough others are there: a
    held-out picture whose twin was trained on measures nothing, and is refused as a review's original.
    """
    count = max(1, round(len(pictures) / _SHARE))
    names = sorted(pictures.keys() - set(twins))
    if len(names) < count:
        names = sorted(pictures)
    coarse = np.stack([_coarse(pictures[name]) for name in names])
    centred = coarse - coarse.mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    direction *= np.sign(direction[np.abs(direction).argmax()])  # the sign of a component is arbitrary
    line = [names[index] for index in np.argsort(np.round(centred @ direction, 6), kind="stable")]
    rng = np.random.default_rng(seed)
    parts = np.array_split(np.arange(len(line)), count)
    return frozenset(line[int(rng.choice(part))] for part in parts)


def _coarse(picture: np.ndarray) -> np.ndarray:
    side = picture.shape[0] // _GRID
    cells = picture[: side * _GRID, : side * _GRID].reshape(_GRID, side, _GRID, side, 3)
    means: np.ndarray = cells.mean(axis=(1, 3), dtype=np.float64).ravel()
    return means
