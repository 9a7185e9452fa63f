"""Colour profiles for tests, byte by byte as in ICC.1:2010: of screens by their primaries, and of a simple press."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

# CIE xy of red, green and blue.
P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060))
_D65, _D50 = np.array([0.95047, 1.0, 1.08883]), np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def screen_profile(name: str, primaries: Sequence[tuple[float, float]], gamma: float) -> bytes:
    """A profile of a screen: primaries, white D65, one gamma."""
    columns = to_d50(primaries)
    tags = {b"desc": _desc(name), b"wtpt": _xyz(_D50), b"cprt": b"text\0\0\0\0none\0"}
    for letter, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags[letter + b"XYZ"] = _xyz(column)
        tags[letter + b"TRC"] = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """A profile of grey with one gamma."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"
    tags = {b"desc": _desc("Grey"), b"wtpt": _xyz(_D50), b"cprt": b"text\0\0\0\0none\0", b"kTRC": curve}
    return _profile(b"mntr", b"GRAY", b"XYZ ", tags)


def press_profile() -> bytes:
    """A press whose inks darken and colour the paper evenly: a table of its 16 corners in CIE Lab."""
    header = b"mft1" + struct.pack(">I4B", 0, 4, 3, 2, 0) + struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    ramp = bytes(range(256))
    corners = b""
    for index in range(16):
        cyan, magenta, yellow, black = (index >> shift & 1 for shift in (3, 2, 1, 0))
        lightness = 255 * (1 - 0.35 * cyan) * (1 - 0.45 * magenta) * (1 - 0.08 * yellow) * (1 - 0.9 * black)
        corners += bytes([round(lightness), 128 + 60 * magenta - 40 * cyan, 128 + 70 * yellow - 45 * cyan])
    table = header + 4 * ramp + corners + 3 * ramp
    tags = {b"desc": _desc("Test press"), b"wtpt": _xyz(_D50), b"cprt": b"text\0\0\0\0none\0", b"A2B0": table}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def to_d50(primaries: Sequence[tuple[float, float]]) -> np.ndarray:
    """(3, 3): linear RGB with white D65 to XYZ as a profile has it, at D50 by Bradford."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    columns = columns * np.linalg.solve(columns, _D65)
    gains = (_BRADFORD @ _D50) / (_BRADFORD @ _D65)
    adapted: np.ndarray = np.linalg.inv(_BRADFORD) @ np.diag(gains) @ _BRADFORD @ columns
    return adapted


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"test", 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _xyz(_D50)[8:] + b"\0" * 48
    return head + table + body


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _desc(name: str) -> bytes:
    text = name.encode() + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
