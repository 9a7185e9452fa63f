"""One picture with all screenshots of a state, small enough to be kept beside the code and looked at in a review."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_LONGEST_SIDE = 2400
_MOST_BYTES = 150_000
_BEST_QUALITY, _WORST_QUALITY = 75, 25
_GAP, _LABEL = 32, 44
_GROUND, _INK = "#8a8a90", "#ffffff"  # neither theme's own


def make_sheet(screenshots: Mapping[str, Mapping[str, Path]], sheet: Path) -> None:
    """A row for each theme, a column for each size: `screenshots[theme][size]` are PNG files. `sheet` is a WebP."""
    rows = {theme: {size: _open(path) for size, path in row.items()} for theme, row in screenshots.items()}
    columns = {size: image.width for row in rows.values() for size, image in row.items()}
    heights = {theme: max(image.height for image in row.values()) for theme, row in rows.items()}
    width = _GAP + sum(column + _GAP for column in columns.values())
    height = sum(_LABEL + row + _GAP for row in heights.values())
    canvas = Image.new("RGB", (width, height), _GROUND)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(26)
    top = 0
    for theme, row in rows.items():
        left = _GAP
        for size, image in row.items():
            pen.text((left, top + 8), f"{theme} · {size}", _INK, font)
            canvas.paste(image, (left, top + _LABEL))
            left += columns[size] + _GAP
        top += _LABEL + heights[theme] + _GAP
    canvas.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    sheet.write_bytes(_to_webp(canvas))


def _open(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _to_webp(image: Image.Image) -> bytes:
    for quality in range(_BEST_QUALITY, _WORST_QUALITY - 1, -10):
        file = io.BytesIO()
        image.save(file, "WEBP", quality=quality, method=6)
        if file.tell() <= _MOST_BYTES:
            return file.getvalue()
    raise ValueError(f"the contact sheet has {file.tell()} bytes even at quality {quality}")
