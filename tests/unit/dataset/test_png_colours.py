"""A PNG without a profile may say its colours in chunks of its own: cICP, gAMA and cHRM, with real bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from onbrand.dataset.folder import Entry
from onbrand.dataset.picture_file import Decoded, Unusable, decode
from onbrand.dataset.screen_profile import SRGB_CURVE, SRGB_SCREEN, screen_profile
from tests.profiles import ADOBE_RGB, P3, to_d50
from tests.profiles import screen_profile as profile_of_tests
from tests.studio import draw

SRGB = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
BT_2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
D65 = (0.3127, 0.3290)
SIDE = 800


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Colours that any screen has, so that a conversion changes them and cuts nothing off."""
    return draw(3, SIDE)[0]


def png(image: Image.Image, *chunks: bytes, profile: bytes | None = None) -> bytes:
    """A PNG with more chunks behind its header."""
    stored = BytesIO()
    image.save(stored, "PNG", icc_profile=profile, compress_level=1)
    data = stored.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def cicp(primaries: int, transfer: int, matrix: int = 0, is_full_range: int = 1) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, matrix, is_full_range]))


def gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chrm(primaries: Sequence[tuple[float, float]], white: tuple[float, float] = D65) -> bytes:
    numbers = [round(one * 100_000) for pair in (white, *primaries) for one in pair]
    return chunk(b"cHRM", struct.pack(">8i", *numbers))


def read(folder: Path, data: bytes) -> Decoded:
    (folder / "mug.png").write_bytes(data)
    return decode(Entry("mug.png", folder / "mug.png"))


def causes(found: Decoded) -> list[tuple[str, str]]:
    return [(finding.kind, finding.cause) for finding in found.findings if finding.kind != "enlarged"]


def refused(folder: Path, data: bytes) -> tuple[str, str]:
    with pytest.raises(Unusable) as error:
        read(folder, data)
    assert error.value.finding.remedy.startswith("Export it again as PNG in sRGB")
    return error.value.finding.kind, error.value.finding.cause


def srgb_light(value: np.ndarray) -> np.ndarray:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def bt_709_light(value: np.ndarray) -> np.ndarray:
    return np.where(value < 0.081, value / 4.5, ((value + 0.099) / 1.099) ** (1 / 0.45))


def shown(
    image: Image.Image, primaries: Sequence[tuple[float, float]], light: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """What a screen with sRGB shows, by the formulas."""
    linear = light(np.asarray(image) / 255) @ to_d50(primaries).T @ np.linalg.inv(to_d50(SRGB)).T
    clipped = linear.clip(0, 1)
    values: np.ndarray = 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return values


@pytest.mark.parametrize(
    ("chunks", "primaries", "light", "name"),
    [
        ([cicp(12, 13)], P3, srgb_light, "Display P3 (cICP)"),
        ([cicp(9, 14)], BT_2020, bt_709_light, "BT.2020 (cICP)"),
        ([cicp(9, 13), gama(0.5), chrm(SRGB)], BT_2020, srgb_light, "BT.2020 (cICP)"),
        ([cicp(1, 8)], SRGB, lambda value: value, "sRGB (cICP)"),
        ([gama(1 / 2.2), chrm(P3)], P3, lambda value: value**2.2, "Display P3 (cHRM and gAMA)"),
        ([chrm(ADOBE_RGB), gama(0.45471)], ADOBE_RGB, lambda value: value**2.19921, "Adobe RGB (cHRM and gAMA)"),
        ([chrm(P3)], P3, srgb_light, "Display P3 (cHRM)"),
        ([gama(1 / 1.8)], SRGB, lambda value: value**1.8, "gamma 1.8 (gAMA)"),
        ([cicp(2, 2), chrm(P3)], P3, srgb_light, "Display P3 (cHRM)"),
    ],
)
def test_colours_that_chunks_describe_are_converted_as_the_formulas_say(
    chunks: list[bytes],
    primaries: Sequence[tuple[float, float]],
    light: Callable[[np.ndarray], np.ndarray],
    name: str,
    picture: Image.Image,
    tmp_path: Path,
) -> None:
    found = read(tmp_path, png(picture, *chunks))
    assert np.abs(np.asarray(found.rgb) - shown(picture, primaries, light)).max() <= 2
    assert np.abs(np.asarray(found.rgb).astype(int) - np.asarray(picture)).max() > 8  # it does matter
    ((kind, cause),) = causes(found)
    assert kind == "colour_profile"
    assert f"“{name}”" in cause


@pytest.mark.parametrize(
    "chunks",
    [
        [cicp(1, 13)],
        [gama(1 / 2.2), chrm(SRGB)],  # what many programs write beside, or instead of, an sRGB chunk
        [gama(0.45455)],
        [chrm(SRGB)],
        [gama(0)],
        [chunk(b"sRGB", b"\0"), gama(1.0), chrm(P3)],
    ],
)
def test_srgb_in_other_words_keeps_every_value_and_is_not_mentioned(
    chunks: list[bytes], picture: Image.Image, tmp_path: Path
) -> None:
    found = read(tmp_path, png(picture, *chunks))
    assert (np.asarray(found.rgb) == np.asarray(picture)).all()
    assert causes(found) == []


def test_a_chunk_with_a_wrong_checksum_is_damage(picture: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "mug.png").write_bytes(png(picture, cicp(12, 13)[:-1] + b"x"))
    with pytest.raises(Unusable) as error:
        decode(Entry("mug.png", tmp_path / "mug.png"))
    assert error.value.finding.kind == "damaged"


def test_cicp_comes_before_a_profile_and_a_profile_before_the_others(picture: Image.Image, tmp_path: Path) -> None:
    profile = profile_of_tests("The profile's own", ADOBE_RGB, 2.2)
    assert causes(read(tmp_path, png(picture, cicp(1, 13), profile=profile))) == []
    ((_, cause),) = causes(read(tmp_path, png(picture, gama(1.0), chrm(P3), profile=profile)))
    assert "The profile's own" in cause
    ((_, cause),) = causes(read(tmp_path, png(picture, cicp(10, 13), profile=profile)))  # XYZ, which isn't read here
    assert "The profile's own" in cause


@pytest.mark.parametrize(
    ("chunks", "kind", "says"),
    [
        ([cicp(9, 16)], "colour_model", "an HDR picture (PQ)"),
        ([cicp(9, 18)], "colour_model", "an HDR picture (HLG)"),
        ([cicp(1, 13, is_full_range=0)], "colour_model", "coded as a video's (cICP 1, 13, 0, 0)"),
        ([cicp(9, 14, matrix=9)], "colour_model", "coded as a video's (cICP 9, 14, 9, 1)"),
        ([cicp(10, 17)], "colour_model", "coded as a video's (cICP 10, 17, 0, 1)"),
        ([gama(40.0)], "profile_damaged", "its gamma is 40"),
        ([chrm(((0.3, 0.3), (0.4, 0.4), (0.5, 0.5)))], "profile_damaged", "its primaries are no colours"),
        ([chrm(((0.64, 0.33), (0.3, 0.6), (0.15, 0.0)))], "profile_damaged", "its primaries are no colours"),
        ([chrm(SRGB, white=(0.0, 0.0))], "profile_damaged", "its primaries are no colours"),
    ],
)
def test_what_cant_be_converted_is_refused_and_says_why(
    chunks: list[bytes], kind: str, says: str, picture: Image.Image, tmp_path: Path
) -> None:
    found, cause = refused(tmp_path, png(picture, *chunks))
    assert found == kind
    assert says in cause


def test_transparent_grey_and_palette_pictures_are_converted_too(picture: Image.Image, tmp_path: Path) -> None:
    clear = picture.convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    found = read(tmp_path, png(clear, cicp(12, 13)))
    assert found.alpha is not None
    assert np.abs(np.asarray(found.rgb) - shown(picture, P3, srgb_light))[5:].max() <= 2
    few = picture.quantize(16)
    found = read(tmp_path, png(few, cicp(12, 13)))
    assert np.abs(np.asarray(found.rgb) - shown(few.convert("RGB"), P3, srgb_light)).max() <= 2
    grey = Image.linear_gradient("L").resize((SIDE, SIDE))
    found = read(tmp_path, png(grey, gama(1 / 1.8)))
    assert np.abs(np.asarray(found.rgb) - shown(grey.convert("RGB"), SRGB, lambda value: value**1.8)).max() <= 2


def test_the_profile_that_is_made_is_read_as_any_other() -> None:
    profile = ImageCms.ImageCmsProfile(BytesIO(screen_profile("Screen", SRGB_SCREEN, SRGB_CURVE)))
    assert ImageCms.getProfileDescription(profile).strip() == "Screen"
    columns = np.array([getattr(profile.profile, f"{one}_colorant")[0] for one in ("red", "green", "blue")]).T
    assert np.abs(columns - to_d50(SRGB)).max() < 2e-3
