"""Colours as people see them: sRGB to Oklab and back, and `#rrggbb`.

In Oklab equal steps look equal (https://bottosson.github.io/posts/oklab/). A distance of 0.02 is just noticeable.
"""

from __future__ import annotations

import numpy as np

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
_levels = np.arange(256, dtype=np.float32) / 255
_LINEAR = np.where(_levels <= 0.04045, _levels / 12.92, ((_levels + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_oklab(rgb: np.ndarray) -> np.ndarray:
    """(…, 3) uint8 sRGB to (…, 3) float32 Oklab: lightness from 0 to 1, then green to red, then blue to yellow."""
    lms = np.cbrt(_LINEAR[rgb] @ _TO_LMS.T)
    lab: np.ndarray = lms @ _TO_LAB.T
    return lab


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(…) distances between (…, 3) colours in Oklab."""
    away: np.ndarray = np.sqrt(np.square(one - other).sum(axis=-1))
    return away


def to_code(rgb: np.ndarray) -> str:
    """`#rrggbb` of (3,) uint8."""
    return "#" + "".join(f"{int(value):02x}" for value in rgb)


def from_code(code: str) -> np.ndarray:
    """(3,) uint8 of `#rrggbb`."""
    return np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)
