"""What a file's colours mean is what the model sees: profiles, print, 16 bits and palettes end in sRGB."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from onbrand.dataset.folder import Entry
from onbrand.dataset.normalisation import border, normalise_picture
from onbrand.dataset.picture_file import Decoded, Unusable, decode
from tests.profiles import ADOBE_RGB, P3, grey_profile, press_profile, screen_profile, to_d50
from tests.studio import draw

SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
SIDE = 800


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return draw(3, SIDE)[0]


def read(path: Path) -> Decoded:
    return decode(Entry(path.name, path))


def kinds(found: Decoded) -> list[str]:
    return [finding.kind for finding in found.findings if finding.kind != "enlarged"]


def from_linear(linear: np.ndarray) -> np.ndarray:
    """(…) linear light to sRGB of 255."""
    clipped = linear.clip(0, 1)
    return 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("name", "primaries"), [("Display P3", P3), ("Adobe RGB (1998)", ADOBE_RGB)])
def test_a_screens_profile_is_applied_as_its_formula_says(
    name: str, primaries: tuple[tuple[float, float], ...], picture: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "mug.png"
    picture.save(path, icc_profile=screen_profile(name, primaries, 2.2))
    found = read(path)
    linear = (np.asarray(picture) / 255) ** (563 / 256)
    expected = from_linear(linear @ to_d50(primaries).T @ np.linalg.inv(to_d50(SRGB)).T)
    assert np.abs(np.asarray(found.rgb) - expected).max() <= 2
    assert np.abs(np.asarray(found.rgb).astype(int) - np.asarray(picture)).max() > 8  # it does matter
    assert kinds(found) == ["colour_profile"]
    assert name in found.findings[0].cause or name in found.findings[1].cause


def test_a_picture_in_srgb_keeps_every_value_and_is_not_mentioned(picture: Image.Image, tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (None, srgb):
        picture.save(tmp_path / "mug.png", icc_profile=profile)
        found = read(tmp_path / "mug.png")
        assert (np.asarray(found.rgb) == np.asarray(picture)).all()
        assert kinds(found) == []


def test_print_colours_go_through_the_presss_profile_and_are_refused_without(
    picture: Image.Image, tmp_path: Path
) -> None:
    flat = Image.new("CMYK", (SIDE, SIDE), (0, 0, 0, 0))
    flat.paste((0, 255, 255, 0), (100, 100, 400, 400))
    for name in ("print.tif", "print.jpg"):
        flat.save(tmp_path / name, icc_profile=press_profile(), quality=95)
        found = read(tmp_path / name)
        assert kinds(found) == ["cmyk"]
        paper, red = (np.asarray(found.rgb)[at].astype(int) for at in ((20, 20), (250, 250)))
        assert paper.min() > 245  # the paper is white
        assert red[0] > red[1] + 60  # magenta and yellow are red
        assert red[0] > red[2] + 60
    picture.convert("CMYK").save(tmp_path / "unknown.jpg")
    with pytest.raises(Unusable) as refused:
        read(tmp_path / "unknown.jpg")
    assert refused.value.finding.kind == "cmyk_unknown"


@pytest.mark.parametrize("profile", [b"no profile", press_profile(), screen_profile("cut", P3, 2.2)[:200]])
def test_a_profile_that_cant_be_used_is_not_ignored(profile: bytes, picture: Image.Image, tmp_path: Path) -> None:
    picture.save(tmp_path / "mug.png", icc_profile=profile)
    with pytest.raises(Unusable) as refused:
        read(tmp_path / "mug.png")
    assert refused.value.finding.kind == "profile_damaged"


def test_grey_with_a_profile_becomes_the_grey_that_is_seen(tmp_path: Path) -> None:
    grey = Image.linear_gradient("L").resize((SIDE, SIDE))
    grey.save(tmp_path / "grey.png", icc_profile=grey_profile(1.8))
    found = read(tmp_path / "grey.png")
    expected = from_linear((np.asarray(grey) / 255) ** 1.8)
    assert np.abs(np.asarray(found.rgb) - expected[..., None]).max() <= 2


def test_sixteen_bits_are_rounded_and_never_cut_off(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, SIDE).astype(np.uint16)[None].repeat(SIDE, axis=0)
    Image.fromarray(values).save(tmp_path / "grey.png")
    Image.fromarray(values).save(tmp_path / "grey.tif")
    for name in ("grey.png", "grey.tif"):
        found = read(tmp_path / name)
        assert kinds(found) == ["sixteen_bit"]
        assert np.abs(np.asarray(found.rgb)[..., 0] - values / 257).max() <= 0.51
    (tmp_path / "colour.png").write_bytes(rgb16(np.stack([values, values[:, ::-1], values // 2], axis=-1)))
    found = read(tmp_path / "colour.png")
    assert kinds(found) == ["sixteen_bit"]
    assert np.abs(np.asarray(found.rgb)[..., 1] - values[:, ::-1] / 257).max() <= 1


def rgb16(values: np.ndarray) -> bytes:
    """A PNG with 16 bits for each colour, which Pillow doesn't write."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">2I5B", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_colours_that_no_screen_uses_are_refused(mode: str, picture: Image.Image, tmp_path: Path) -> None:
    source = picture.convert("L").convert(mode) if mode in "FI" else Image.new("LAB", picture.size)
    source.save(tmp_path / "mug.tif")
    with pytest.raises(Unusable) as refused:
        read(tmp_path / "mug.tif")
    assert refused.value.finding.kind == "colour_model"


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "P with one colour", "RGB with one colour", "L with one colour"])
def test_transparency_of_every_kind_shows_the_ground_and_never_what_hides_below(kind: str, tmp_path: Path) -> None:
    """Half of the picture is transparent above an alarming colour."""
    mask = Image.new("L", (1024, 1024), 255)
    mask.paste(0, (0, 0, 1024, 512))
    hidden, seen = ((255, 0, 255), (40, 90, 200)) if "L" not in kind.split()[0] else ((255,) * 3, (90,) * 3)
    source = Image.new("RGB", (1024, 1024), seen)
    source.paste(hidden, (0, 0, 1024, 512))
    options: dict[str, object] = {}
    if kind in ("RGBA", "LA"):
        source = source.convert("RGB" if kind == "RGBA" else "L")
        source.putalpha(mask)
    elif kind == "P":
        source.putalpha(mask)
        source = source.quantize(8, Image.Quantize.FASTOCTREE)
    elif kind.startswith("P"):
        source = source.quantize(4)
        options["transparency"] = source.getpixel((10, 10))
    elif kind.startswith("L"):
        source, options["transparency"] = source.convert("L"), 255
    else:
        options["transparency"] = hidden
    path = tmp_path / "sticker.png"
    source.save(path, **options)  # type: ignore[arg-type]
    found = read(path)
    assert found.alpha is not None
    pixels = normalise_picture(found, border(found), "#fbf1de")
    assert {tuple(pixel) for pixel in pixels[:500:50, ::50].reshape(-1, 3)} == {(0xFB, 0xF1, 0xDE)}
    assert np.abs(pixels[530:, :].astype(int) - seen).max() <= 1


def test_what_is_half_transparent_is_mixed_with_the_ground_also_in_a_large_picture(tmp_path: Path) -> None:
    for side in (1024, 4200):
        Image.new("RGBA", (side, side), (0, 0, 0, 128)).save(tmp_path / "shadow.png", compress_level=1)
        found = read(tmp_path / "shadow.png")
        assert found.size == (side, side)
        pixels = normalise_picture(found, border(found), "#ffffff")
        assert np.abs(pixels.astype(int) - 127).max() <= 1


def test_an_opaque_alpha_channel_is_not_mentioned(picture: Image.Image, tmp_path: Path) -> None:
    whole = picture.copy()
    whole.putalpha(255)
    whole.save(tmp_path / "mug.png")
    found = read(tmp_path / "mug.png")
    assert (found.alpha, kinds(found)) == (None, [])


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_is_turned_as_its_camera_says(orientation: int, tmp_path: Path) -> None:
    upright = draw(0, SIDE)[0].crop((0, 0, 780, 800))
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = BytesIO()
    upright.transpose(back).save(stored, "PNG", exif=exif)
    (tmp_path / "photo.png").write_bytes(stored.getvalue())
    found = read(tmp_path / "photo.png")
    assert (np.asarray(found.rgb) == np.asarray(upright)).all()
    assert kinds(found) == ["turned"]
    assert found.size == (780, 800)
