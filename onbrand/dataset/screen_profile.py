"""The ICC profile of a screen by its primaries and its curve: ICC.1:2010 (version 4), in bytes.

Colours that a file describes in another way are converted by such a profile, as if it had been embedded.
"""

from __future__ import annotations

import struct

import numpy as np

XY = tuple[float, float]
Screen = tuple[XY, XY, XY, XY]  # CIE xy of white, red, green and blue
Curve = tuple[float, ...]  # g, or g, a, b, c, d: (aX + b)^g from d on, and cX below

SRGB_SCREEN: Screen = ((0.3127, 0.3290), (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# The inverse of the camera's curve, which is what the profiles of BT.709 and BT.2020 have.
BT_709: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_MOST = 16.0  # of a column of the matrix: no screen has such primaries
_LEAST_VOLUME = 1e-3  # of the primaries' determinant: less, and they are no three colours


def gamma(exponent: float) -> Curve:
    """X to the power of the exponent."""
    return (exponent,)


def screen_profile(name: str, screen: Screen, curve: Curve) -> bytes:
    """A profile of RGB. White stays white, by Bradford's adaptation.

    Raises:
        ValueError: the primaries span no colours.
    """
    columns = _to_d50(screen)
    para = b"para" + struct.pack(">IHH", 0, 3 if len(curve) == 5 else 0, 0) + b"".join(_fixed(one) for one in curve)
    tags = {b"desc": _text(name), b"cprt": _text("No copyright"), b"wtpt": _xyz(_D50)}
    for letter, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags[letter + b"XYZ"] = _xyz(column)
        tags[letter + b"TRC"] = para
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"\0\0\0\0", 0x04200000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _xyz(_D50)[8:] + b"\0" * 48
    return head + table + body


def _to_d50(screen: Screen) -> np.ndarray:
    """(3, 3): linear RGB to XYZ at D50."""
    white, *primaries = screen
    if any(y <= 0 for _, y in screen):
        raise ValueError("a chromaticity without light")
    unscaled = np.array([_of_xy(one) for one in primaries]).T
    if abs(np.linalg.det(np.array([[x, y, 1 - x - y] for x, y in primaries]))) < _LEAST_VOLUME:
        raise ValueError("primaries on a line")
    columns = unscaled * np.linalg.solve(unscaled, _of_xy(white))
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ _of_xy(white))
    adapted: np.ndarray = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ columns
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > _MOST:
        raise ValueError("primaries beyond any screen's")
    return adapted


def _of_xy(chromaticity: XY) -> np.ndarray:
    """(3,): XYZ at luminance 1."""
    x, y = chromaticity
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _text(text: str) -> bytes:
    data = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">III4sII", 0, 1, 12, b"enUS", len(data), 28) + data


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(_fixed(float(one)) for one in values)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
