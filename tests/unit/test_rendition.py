"""The rendition of a picture: half as large, near the picture, small; and that its failure is no error."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image, ImageDraw

from onbrand.images import rendition
from onbrand.jobs.models import IMAGE_SIZE, RENDITION_SIZE


def illustration() -> np.ndarray:
    """Flat shapes with sharp edges, an outline and thin coloured lines, drawn four times as large and made smaller."""
    image = Image.new("RGB", (4 * IMAGE_SIZE, 4 * IMAGE_SIZE), "#f7e9d7")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((900, 1200, 3200, 3500), 400, fill="#d7263d", outline="#1b1b3a", width=60)
    draw.ellipse((2700, 500, 3700, 1500), fill="#2e86ab")
    for index in range(12):
        draw.line((300 + index * 300, 300, 600 + index * 250, 900), fill="#1b998b", width=14 + index * 3)
    return np.asarray(image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


def test_a_rendition_is_the_picture_at_half_its_size_in_a_few_kilobytes() -> None:
    pixels = illustration()
    webp = rendition.render(pixels)
    assert webp is not None
    assert len(webp) < 30_000
    with Image.open(io.BytesIO(webp)) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (RENDITION_SIZE, RENDITION_SIZE), "RGB")
        assert not image.info.keys() & {"exif", "xmp", "icc_profile"}
        shown = np.asarray(image).astype(float)
    halved = pixels.reshape(RENDITION_SIZE, 2, RENDITION_SIZE, 2, 3).mean(axis=(1, 3))
    decibels = 10 * np.log10(255**2 / np.mean((shown - halved) ** 2))
    assert decibels > 34
    assert np.abs(shown - halved).mean(axis=(0, 1)).max() < 2  # no colour as a whole is off


def test_what_cannot_be_rendered_is_told_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: np.ndarray) -> bytes:
        raise OSError("encoder error -2")

    monkeypatch.setattr(rendition, "encode", fail)
    with caplog.at_level(logging.WARNING):
        assert rendition.render(illustration()) is None
    assert [record.action for record in caplog.records] == ["rendition_failed"]  # type: ignore[attr-defined]
