"""PNG files: what is written into them, and that nothing but a whole picture passes the check."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from onbrand import __version__
from onbrand.errors import BadImage
from onbrand.images import png
from onbrand.images.png import Provenance
from onbrand.jobs import models

PROVENANCE = Provenance(
    pack_id="a" * 64,
    pack_name="Sample brand",
    pack_version="1",
    model="mini",
    seed=2**53 - 1,
    job_id="2f0d3c1e-6b1a-4c7e-9d55-0a1b2c3d4e5f",
    seeds=(0, 7, 2**53 - 1, 12),
    precision="float32",
)


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


def rewritten(**changes: str | None) -> bytes:
    """The whole picture with some text chunks changed, or left out."""
    with Image.open(io.BytesIO(WHOLE)) as image:
        assert isinstance(image, PngImageFile)
        texts = {key: str(value) for key, value in image.text.items()} | changes
    info = PngInfo()
    for key, value in texts.items():
        if value is not None:
            info.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_size_and_seeds_are_the_jobs() -> None:
    assert (png.SIZE, png.MAX_SEED) == (models.IMAGE_SIZE, models.MAX_SEED)


def test_pixels_survive() -> None:
    with Image.open(io.BytesIO(WHOLE)) as image:
        assert (np.asarray(image) == picture()).all()


def test_the_text_chunks_say_where_the_picture_comes_from_and_nothing_else() -> None:
    with Image.open(io.BytesIO(WHOLE)) as image:
        assert isinstance(image, PngImageFile)
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
        "Onbrand-Seeds": "0 7 9007199254740991 12",
        "Onbrand-Precision": "float32",
        "Onbrand-Job": "2f0d3c1e-6b1a-4c7e-9d55-0a1b2c3d4e5f",
    }
    assert 'DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"' in xmp


def test_a_picture_without_a_job_has_no_job_chunk() -> None:
    data = png.encode(picture(), replace(PROVENANCE, job_id=None))
    assert b"Onbrand-Job" not in data
    assert png.provenance(data) == replace(PROVENANCE, job_id=None)


def test_a_pack_name_in_any_script_is_kept() -> None:
    named = replace(PROVENANCE, pack_name="Студия 東京")
    assert png.provenance(png.encode(picture(), named)) == named


def test_pixels_and_provenance_are_read_again() -> None:
    assert (png.decode(WHOLE) == picture()).all()
    assert png.provenance(WHOLE) == PROVENANCE


@pytest.mark.parametrize("missing", ["Onbrand-Seeds", "Onbrand-Precision", "Onbrand-Pack", "Onbrand-Seed"])
def test_a_picture_that_does_not_say_everything_has_no_provenance(missing: str) -> None:
    assert png.provenance(rewritten(**{missing: None})) is None


def test_other_softwares_pictures_have_no_provenance() -> None:
    assert png.provenance(as_png(picture())) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Onbrand-Pack", "A" * 64),
        ("Onbrand-Pack", "a" * 63),
        ("Onbrand-Pack-Name", ""),
        ("Onbrand-Pack-Version", "1" * 101),
        ("Onbrand-Model", "../mini"),
        ("Onbrand-Seed", "-7"),
        ("Onbrand-Seed", "07"),
        ("Onbrand-Seed", "8"),  # not one of the seeds
        ("Onbrand-Seed", "7 12"),
        ("Onbrand-Seeds", ""),
        ("Onbrand-Seeds", "9007199254740991,7"),
        ("Onbrand-Seeds", "9007199254740991 9007199254740992"),
        ("Onbrand-Seeds", "9007199254740991 " * 65),
        ("Onbrand-Precision", "float16"),
        ("Onbrand-Job", "2f0d3c1e"),
    ],
)
def test_provenance_that_was_tampered_with_is_refused(name: str, value: str) -> None:
    with pytest.raises(BadImage, match="damaged"):
        png.provenance(rewritten(**{name: value}))


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
