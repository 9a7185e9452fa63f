"""Sample sheets: pictures of a run on one page, so that people see how it gets on."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from torch import Tensor

_LINE = 11  # pixels of a line of text


def to_images(pictures: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) RGB from -1 to 1, clamped, as images."""
    pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def write_sheet(path: Path, images: Sequence[Image.Image], captions: Sequence[str], columns: int, side: int) -> None:
    """The images in rows of `columns`, each `side` pixels wide with its caption below; the file is written whole."""
    rows = -(-len(images) // columns)
    cell = side + 2 * _LINE + 6
    sheet = Image.new("RGB", (columns * (side + 4), rows * cell), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = index % columns * (side + 4), index // columns * cell
        sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), (x, y))
        text = "\n".join(textwrap.wrap(caption, max(8, side // 6))[:2])
        draw.multiline_text((x + 1, y + side + 1), text, fill="black", spacing=0)
    partly = path.with_suffix(".partial")
    sheet.save(partly, "PNG")
    os.replace(partly, path)
