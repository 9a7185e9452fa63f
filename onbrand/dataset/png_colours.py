"""What a PNG says of its colours without an ICC profile: its chunks cICP, gAMA and cHRM, as such a profile.

Their order of precedence is that of the standard (PNG, third edition, 4.3): cICP, iCCP, sRGB, then gAMA and cHRM.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO

import numpy as np

from onbrand.dataset.colour_profile import EXPORT, Unconvertible
from onbrand.dataset.screen_profile import (
    BT_709,
    SRGB_CURVE,
    SRGB_SCREEN,
    Curve,
    Screen,
    gamma,
    screen_profile,
)

_D65 = (0.3127, 0.3290)
_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
# Code points of ITU-T H.273, tables 2 and 3.
_CICP_SCREENS: Mapping[int, tuple[str, Screen]] = MappingProxyType(
    {
        1: ("sRGB", SRGB_SCREEN),
        5: ("BT.601 with 625 lines", (_D65, (0.640, 0.330), (0.290, 0.600), (0.150, 0.060))),
        6: ("BT.601 with 525 lines", (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
        7: ("SMPTE 240M", (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))),
        9: ("BT.2020", (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))),
        11: ("DCI-P3", ((0.314, 0.351), *_P3)),
        12: ("Display P3", (_D65, *_P3)),
        22: ("EBU 3213", (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077))),
    }
)
_CICP_CURVES: Mapping[int, Curve] = MappingProxyType(
    {1: BT_709, 4: gamma(2.2), 5: gamma(2.8), 6: BT_709, 8: gamma(1.0), 13: SRGB_CURVE, 14: BT_709, 15: BT_709}
)
_CICP_HDR: Mapping[int, str] = MappingProxyType({16: "PQ", 18: "HLG"})
_UNSPECIFIED = 2
_NAMED: tuple[tuple[str, Screen], ...] = (
    *_CICP_SCREENS.values(),
    ("Adobe RGB", (_D65, (0.640, 0.330), (0.210, 0.710), (0.150, 0.060))),
)
_SAME_XY = 0.003  # programs round chromaticities
_SRGB_GAMMA, _SAME_GAMMA = 1 / 2.2, 0.05  # 1/2.2 stands for sRGB; libpng's threshold, as a share
_LEAST_GAMMA, _MOST_GAMMA = 0.1, 10.0
_WANTED = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}  # bytes of their data


def profile_of(file: BinaryIO, embedded: bytes | None) -> bytes | None:
    """The ICC profile of a PNG's colours; None for sRGB. `embedded` is the one in the file.

    Raises:
        Unconvertible: its colours are HDR, in a video's range, or not defined.
    """
    chunks = _chunks(file)
    if (cicp := chunks.get(b"cICP")) is not None:
        primaries, transfer, matrix, is_full_range = cicp
        if _UNSPECIFIED not in (primaries, transfer):
            if transfer in _CICP_HDR:
                cause = f"It is an HDR picture ({_CICP_HDR[transfer]}), brighter than what the model draws."
                raise Unconvertible("colour_model", cause, f"{EXPORT}, not as HDR, and compare the colours.")
            if primaries in _CICP_SCREENS and transfer in _CICP_CURVES and (matrix, is_full_range) == (0, 1):
                return _profile(*_CICP_SCREENS[primaries], _CICP_CURVES[transfer], "cICP")
            if embedded is None:
                cause = f"Its colours are coded as a video's (cICP {', '.join(map(str, cicp))}), which isn't read here."
                raise Unconvertible("colour_model", cause, f"{EXPORT}.")
    if embedded is not None or b"sRGB" in chunks:
        return embedded
    return _measured(chunks.get(b"gAMA"), chunks.get(b"cHRM"))


def _chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """The chunks that say something of colours, before the pixels. Damaged ones are left out, as libpng does."""
    found: dict[bytes, bytes] = {}
    at = file.tell()
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            break
        if _WANTED.get(name) == length:
            data, checksum = file.read(length), file.read(4)
            if struct.pack(">I", zlib.crc32(name + data)) == checksum:
                found.setdefault(name, data)
        else:
            file.seek(length + 4, 1)
    file.seek(at)
    return found


def _measured(gamma_chunk: bytes | None, chromaticities: bytes | None) -> bytes | None:
    """gAMA and cHRM. Primaries alone come with sRGB's curve, as browsers read them; a gamma alone has its primaries."""
    value = struct.unpack(">I", gamma_chunk)[0] / 100_000 if gamma_chunk is not None else 0.0  # 0 says nothing
    numbers = np.frombuffer(chromaticities, ">i4") / 100_000 if chromaticities is not None else None
    if not value and numbers is None:
        return None
    name, screen = ("sRGB", SRGB_SCREEN) if numbers is None else _named(numbers)
    is_srgb_gamma = abs(value / _SRGB_GAMMA - 1) < _SAME_GAMMA
    if screen == SRGB_SCREEN and (not value or is_srgb_gamma):
        return None
    if value and not _LEAST_GAMMA <= value <= _MOST_GAMMA:
        raise _undefined(f"its gamma is {value:g}")
    curve = gamma(1 / value) if value else SRGB_CURVE
    source = " and ".join(chunk for chunk, is_there in (("cHRM", numbers is not None), ("gAMA", value)) if is_there)
    return _profile(name if numbers is not None else f"gamma {1 / value:.2g}", screen, curve, source)


def _named(numbers: np.ndarray) -> tuple[str, Screen]:
    (white, *primaries) = (tuple(float(one) for one in pair) for pair in numbers.reshape(4, 2))
    for name, screen in _NAMED:
        if np.abs(numbers - np.ravel(screen)).max() <= _SAME_XY:
            return name, screen
    return "its own primaries", (white, *primaries)  # type: ignore[return-value]


def _profile(name: str, screen: Screen, curve: Curve, source: str) -> bytes | None:
    if (screen, curve) == (SRGB_SCREEN, SRGB_CURVE):
        return None
    try:
        return screen_profile(f"{name} ({source})", screen, curve)
    except ValueError:
        raise _undefined("its primaries are no colours") from None


def _undefined(why: str) -> Unconvertible:
    cause = f"What it says of its colours can't be so: {why}."
    return Unconvertible("profile_damaged", cause, f"{EXPORT}, with the colour profile embedded or converted.")
