"""A card's file is the same in everything but its pixels, whatever it shows."""

from __future__ import annotations

import os
import struct

import pytest

from onbrand.images.png import decode, provenance
from onbrand.reviews.card_png import SIDE, encode_aside, encode_card

PICTURES = {
    "one colour": bytes([240, 230, 220]) * SIDE * SIDE,
    "noise": os.urandom(3 * SIDE * SIDE),
    "half and half": bytes(3 * SIDE * SIDE // 2) + os.urandom(3 * SIDE * SIDE // 2),
}


def chunks(png: bytes) -> list[tuple[bytes, int]]:
    """Names and lengths of a PNG's chunks."""
    found, at = [], 8
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        found.append((name, length))
        at += length + 12
    return found


@pytest.mark.parametrize("name", PICTURES)
def test_a_card_has_the_pixels_that_it_was_made_of_and_no_provenance(name: str) -> None:
    png = encode_card(PICTURES[name])
    assert decode(png).tobytes() == PICTURES[name]
    assert provenance(png) is None


def test_no_size_and_no_chunk_tells_what_a_card_shows() -> None:
    files = [encode_card(rgb) for rgb in PICTURES.values()]
    assert len({len(png) for png in files}) == 1
    assert len({tuple(chunks(png)) for png in files}) == 1
    assert [name for name, _ in chunks(files[0])] == [b"IHDR", b"IDAT", b"IEND"]
    assert len({png[:43] for png in files}) == 1  # up to the first pixel: the header of the compression, too


def test_what_is_shown_after_the_verdict_has_the_same_pixels_and_is_compressed() -> None:
    for rgb in PICTURES.values():
        png = encode_aside(rgb)
        assert decode(png).tobytes() == rgb
        assert provenance(png) is None
    assert len(encode_aside(PICTURES["one colour"])) < 20_000


@pytest.mark.parametrize("size", [0, 3 * SIDE * SIDE - 1, 3 * SIDE * SIDE + 1])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1024×1024"):
        encode_card(bytes(size))
