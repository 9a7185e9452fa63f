"""The PNGs of a review. That of a card says nothing about where its picture comes from.

All cards have the same size in bytes, the same chunks and the same encoder, because the pixels are stored without
compression: how well a picture is compressed would tell a flat original from a drawn one. A picture of a job has its
provenance in it (`images.png`); a card has no text at all. What is shown only after the verdict is compressed.
"""

from __future__ import annotations

import struct
import zlib

SIDE = 1024  # pixels
_LEVEL = 6  # zlib's own; a flat illustration has some 10 kB
_HEADER = struct.pack(">2I5B", SIDE, SIDE, 8, 2, 0, 0, 0)  # 8 bits, RGB
_ROW = 3 * SIDE


def encode_card(rgb: bytes) -> bytes:
    """A PNG of 1024×1024 pixels, three bytes each, row by row from the top. It has 3.1 MB whatever it shows.

    Raises:
        ValueError: these are not so many bytes.
    """
    return _encode(rgb, level=0)


def encode_aside(rgb: bytes) -> bytes:
    """The same, compressed: nobody sees it before the verdict, so its size may tell what it shows."""
    return _encode(rgb, level=_LEVEL)


def _encode(rgb: bytes, *, level: int) -> bytes:
    if len(rgb) != SIDE * _ROW:
        raise ValueError(f"a card has {SIDE}×{SIDE} pixels of 3 bytes")
    rows = b"".join(b"\0" + rgb[start : start + _ROW] for start in range(0, len(rgb), _ROW))  # 0: no filter
    chunks = ((b"IHDR", _HEADER), (b"IDAT", zlib.compress(rows, level=level)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
