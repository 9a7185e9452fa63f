"""PNG files: what is written into them, and that nothing but a whole picture passes the check."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from onbrand import __version__, job, png
from onbrand.errors import BadImage
from onbrand.png import Provenance

PROVENANCE = Provenance("a" * 64, "Sample brand", "1", "mini", 2**53 - 1, "2f0d3c1e-6b1a-4c7e-9d55-0a1b2c3d4e5f")


def picture() -> np.ndarray:
    """A small drawing: a disc on a two-tone ground. Compresses to a few kilobytes, which keeps the tests quick."""
    y, x = np.mgrid[0 : png.SIZE, 0 : png.SIZE]
    pixels = np.full((png.SIZE, png.SIZE, 3), (255, 236, 214), np.uint8)
    pixels[y > 700] = (220, 150, 90)
    pixels[(x - 500) ** 2 + (y - 480) ** 2 < 300**2] = (60, 40, 160)
    return pixels


WHOLE = png.encode(picture(), PROVENANCE)


def as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_the_size_is_the_jobs() -> None:
    assert png.SIZE == job.IMAGE_SIZE


def test_pixels_survive() -> None:
    with Image.open(io.BytesIO(WHOLE)) as image:
        assert (np.asarray(image) == picture()).all()


def test_the_text_chunks_say_where_the_picture_comes_from_and_nothing_else() -> None:
    with Image.open(io.BytesIO(WHOLE)) as image:
        text = {key: str(value) for key, value in image.text.items()}
    xmp = text.pop("XML:com.adobe.xmp")
    assert text == {
        "Software": f"Onbrand {__version__}",
        "Source": "AI-generated (trainedAlgorithmicMedia)",
        "Onbrand-Pack": "a" * 64,
        "Onbrand-Pack-Name": "Sample brand",
        "Onbrand-Pack-Version": "1",
        "Onbrand-Model": "mini",
        "Onbrand-Seed": "9007199254740991",
        "Onbrand-Job": "2f0d3c1e-6b1a-4c7e-9d55-0a1b2c3d4e5f",
    }
    assert 'DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"' in xmp


def test_a_picture_without_a_job_has_no_job_chunk() -> None:
    data = png.encode(picture(), Provenance("a" * 64, "Sample brand", "1", "mini", 7, None))
    assert b"Onbrand-Job" not in data


def test_a_pack_name_in_any_script_is_kept() -> None:
    data = png.encode(picture(), Provenance("a" * 64, "Студия 東京", "1", "mini", 7, None))
    with Image.open(io.BytesIO(data)) as image:
        assert image.text["Onbrand-Pack-Name"] == "Студия 東京"


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((512, 1024, 3), np.uint8), np.zeros((1024, 1024, 4), np.uint8), np.zeros((1024, 1024, 3), np.float32)],
    ids=["size", "alpha", "float"],
)
def test_pixels_of_another_shape_are_not_encoded(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        png.encode(pixels, PROVENANCE)


def test_a_whole_picture_passes() -> None:
    png.check(WHOLE)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_picture_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(BadImage):
        png.check(WHOLE[:length])


@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_a_picture_with_one_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(WHOLE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadImage):
        png.check(bytes(data))


@pytest.mark.parametrize("offset", range(1, 13))
def test_every_byte_of_the_last_chunk_counts(offset: int) -> None:
    """Pillow stops reading at the name of the last chunk."""
    data = bytearray(WHOLE)
    data[-offset] ^= 1
    with pytest.raises(BadImage):
        png.check(bytes(data))


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        png.check(data)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 0, 0)], ids=["black", "red"])
def test_a_single_colour_is_refused(colour: tuple[int, int, int]) -> None:
    with pytest.raises(BadImage, match="single colour"):
        png.check(as_png(np.full((png.SIZE, png.SIZE, 3), colour, np.uint8)))


@pytest.mark.parametrize(
    "pixels",
    [picture()[:, :512], picture()[:, :, 0], np.dstack([picture(), picture()[:, :, :1]])],
    ids=["narrow", "grey", "alpha"],
)
def test_another_size_or_mode_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(BadImage, match="RGB"):
        png.check(as_png(pixels))


def test_a_jpeg_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG")
    with pytest.raises(BadImage):
        png.check(buffer.getvalue())


def test_pixel_data_with_a_good_checksum_that_does_not_decode_is_refused() -> None:
    """The chunk's checksum is right, the compressed rows in it end too early."""
    header = struct.pack(">IIBBBBB", png.SIZE, png.SIZE, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    with pytest.raises(BadImage, match="damaged"):
        png.check(data)


def test_a_header_that_claims_a_huge_picture_is_refused_unread() -> None:
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(BadImage):
        png.check(data)
