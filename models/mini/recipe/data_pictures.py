"""The pictures of docs/dataset.md: a good set, and what `onbrand dataset check` finds in three others.

`python -m models.mini.recipe.data_pictures` paints our own drawings in the sample brand's style, has each set checked
as a studio's, and writes a sheet of it. A set that no longer has its finding is an error, so no picture can be wrong.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from models.mini.recipe.art import Art
from models.mini.recipe.brand import BRANDS, LARGE, PALETTE
from models.mini.recipe.scenes import Ground, Item, Picture, Style, paint
from onbrand.config import REPOSITORY
from onbrand.dataset.check import Checked, check

FOLDER = REPOSITORY / "docs" / "dataset"
_MOST_BYTES = 60_000
_TILE, _GAP, _LABEL = 216, 12, 30  # pixels
_SHEET, _INK, _DARK, _LIGHT = "#ffffff", "#1c2333", "#c4c7cf", "#eceef2"
_BRAND = BRANDS["sample"]
_THINGS: Mapping[str, str] = {
    "mug": "red",
    "potted-plant": "orange",
    "paper-plane": "light blue",
    "rocket": "purple",
    "gift-box": "brown",
    "vase": "teal",
    "shipping-box": "coral",
    "envelope": "purple",
    "umbrella": "pink",
    "truck": "green",
    "sofa": "mint",
    "sneaker": "blue",
    "robot": "light blue",
    "shop": "orange",
    "car": "red",
    "suitcase": "coral",
    "coffee-cup": "pink",
    "chair": "purple",
    "clock": "green",
    "phone": "mint",
    "speaker": "yellow",
    "lamp": "coral",
    "hot-air-balloon": "yellow",
    "water-bottle": "light blue",
}
Set = dict[str, Image.Image]


def main() -> None:
    """Write the four sheets."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    art = Art(None)
    good = {name: _painted(art, name, _BRAND.style) for name in _THINGS}
    _require(good, ())
    _write("good", [_row(good, list(good)[at : at + 6]) for at in (0, 6)])

    other = replace(_BRAND.style, outline="", outline_width=0.0, shadow="soft", levels=0)
    two = good | {name: _painted(art, name, other) for name in list(_THINGS)[:8]}
    _require(two, ("two_sub_styles",))
    _write(
        "two-styles",
        [_row(two, list(two)[8:14], "16 of 24 pictures"), _row(two, list(two)[:6], "8 of 24, in another style")],
    )

    clear = _cut_out(good["mug"])
    placed = _require(good | {"mug": clear}, ("transparent",))
    hidden = Image.new("RGB", clear.size, "#000000")
    hidden.paste(clear, mask=clear.getchannel("A"))
    shown = Image.open(io.BytesIO(placed.survey.seen["mug.png"].look.thumbnail)).convert("RGB")
    labels = ("as it was exported", "as many trainers read it", "as Onbrand reads it", "beside the others")
    pictures = (_on_squares(clear), hidden, shown, good["umbrella"])
    _write("transparent", [list(zip(labels, pictures, strict=True))])

    copies = _copies(good["paper-plane"])
    _require(good | copies, ("near_duplicate",), beside=("outlier",))  # a moved copy also stands apart
    _write("near-duplicates", [[("the drawing", good["paper-plane"]), *copies.items()]])


def _painted(art: Art, name: str, style: Style, colour: str | None = None) -> Image.Image:
    item = Item(f"own/{name}", colour or _THINGS[name], 0.5, None, 0.56)
    pixels = paint(Picture(Ground("plain", _BRAND.ground), (item,), style), art, LARGE, PALETTE)
    return Image.fromarray((pixels * 255 + 0.5).astype(np.uint8))


def _cut_out(picture: Image.Image) -> Image.Image:
    """Its ground transparent, and black below, as drawing programs export it."""
    pixels = np.array(picture.convert("RGBA"))
    pixels[(pixels[..., :3] == pixels[0, 0, :3]).all(axis=-1)] = 0
    return Image.fromarray(pixels)


def _copies(picture: Image.Image) -> Set:
    ground = picture.getpixel((0, 0))
    moved, smaller = (Image.new("RGB", picture.size, ground) for _ in range(2))
    moved.paste(picture, (90, 60))
    small = picture.resize((864, 864), Image.Resampling.HAMMING)
    smaller.paste(small, (80, 80))
    return {"mirrored": ImageOps.mirror(picture), "moved": moved, "smaller": smaller}


def _require(pictures: Mapping[str, Image.Image], kinds: Sequence[str], beside: Sequence[str] = ()) -> Checked:
    """Have the set checked as a studio's. It has these findings and no others, but that it is small; some may be."""
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in pictures.items():
            picture.save(Path(folder) / f"{name}.png", compress_level=1)
            (Path(folder) / f"{name}.txt").write_text(f"a {name.replace('-', ' ')}\n", "utf-8")
        checked = check(Path(folder))
    found = {one.kind for one in checked.findings} - {"few_pictures", *beside}
    if found != set(kinds):
        raise SystemExit(f"The check finds {sorted(found)}, and the picture is about {sorted(kinds)}.")
    return checked


def _row(pictures: Mapping[str, Image.Image], names: Sequence[str], label: str = "") -> list[tuple[str, Image.Image]]:
    return [(label if not at else "", pictures[name]) for at, name in enumerate(names)]


def _on_squares(picture: Image.Image) -> Image.Image:
    """A transparent picture as drawing programs show it."""
    side, square = picture.width, picture.width // 16
    ground = Image.new("RGB", picture.size, _LIGHT)
    pen = ImageDraw.Draw(ground)
    for row in range(0, side, square):
        for column in range((row // square % 2) * square, side, 2 * square):
            pen.rectangle((column, row, column + square - 1, row + square - 1), fill=_DARK)
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground


def _write(name: str, rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> None:
    """A sheet of rows, each picture with its label above."""
    labels = [_LABEL if any(label for label, _ in row) else 0 for row in rows]
    width = max(len(row) for row in rows) * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(labels) + len(rows) * (_TILE + _GAP) + _GAP), _SHEET)
    pen, font, top = ImageDraw.Draw(sheet), ImageFont.load_default(17), _GAP
    for row, high in zip(rows, labels, strict=True):
        for at, (label, picture) in enumerate(row):
            left = _GAP + at * (_TILE + _GAP)
            pen.text((left, top + 2), label, _INK, font)
            sheet.paste(picture.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (left, top + high))
        top += high + _TILE + _GAP
    path = FOLDER / f"{name}.webp"
    sheet.save(path, "WEBP", quality=82, method=6)
    if path.stat().st_size > _MOST_BYTES:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, and at most {_MOST_BYTES:,} are kept.")


if __name__ == "__main__":
    main()
