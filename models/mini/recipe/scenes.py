"""What a training picture shows, and how it is painted: grounds, things at their canonical places, styles.

Places are fractions of the picture's side, so the same picture can be painted at any size. Nothing is shifted, turned
or mirrored at random: a small model that meets a thing always at the same place learns its shape many times sooner
(measured in the first edition).
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import resvg_py
from PIL import Image, ImageFilter

from models.mini.recipe.art import Art
from models.mini.recipe.colours import COLOURS, Families, families, from_oklab, recolour, rgb_of, to_oklab


@dataclass(frozen=True)
class Item:
    """One drawing in the picture. `x` is its middle, `bottom` its lower edge, `longest` its longer side."""

    drawing: str
    colour: str | None  # a word of COLOURS; None: the drawing's own colours
    x: float
    bottom: float | None  # None: `middle` counts
    longest: float
    middle: float = 0.5
    detail: str | None = None  # a word of COLOURS for the drawing's second colour, where the caption names it
    sunk: float | None = None  # stands on the other item, into which this share of its own height is sunk


@dataclass(frozen=True)
class Ground:
    """What is behind the things: a `kind` of GROUND_KINDS in one or two colours (`#rrggbb`)."""

    kind: str
    colour: str
    second: str = "#ffffff"

    @property
    def behind(self) -> str:
        """The colour right behind the things."""
        return self.second if self.kind == "disc" else _SCENE_COLOURS.get(self.kind, self.colour)


@dataclass(frozen=True)
class Style:
    """How the things are drawn; the empty style leaves them as they are. Colours are `#rrggbb`, widths fractions."""

    outline: str = ""
    outline_width: float = 0.0
    shadow: str = ""  # "", "soft" (a soft shadow on the floor) or "block" (a hard one to the lower right)
    shadow_length: float = 0.0
    levels: int = 0  # flat fills: so many steps of lightness; 0: as drawn
    hues: int = 16  # flat fills: so many steps of each of the two colour axes


@dataclass(frozen=True)
class Picture:
    """All that is needed to paint one picture. Items are painted in their order."""

    ground: Ground
    items: tuple[Item, ...]
    style: Style = Style()


_SCENE_COLOURS = {"beach": "#3fa9d8", "grass": "#bfe6fb", "sky": "#9fd6f7", "night": "#1f2a5a", "snow": "#cfe3f3"}
_SMALL = 256  # pixels; larger drawings are not kept, because some hundreds of them fill a machine's memory
TOKEN = 1 / 8  # of the picture: a token of the network is 128 of 1024 pixels
_MARGIN = 0.02  # above things that stand on each other
FLOOR = 0.86  # where things stand in pictures with a floor


def paint(picture: Picture, art: Art, size: int, palette: Mapping[str, str] = COLOURS) -> np.ndarray:
    """(size, size, 3) float32 sRGB from 0 to 1; `palette` has a shade for each word of COLOURS."""
    canvas = _ground(picture.ground, size).copy()
    shade = _shade(picture.ground)
    for item in stacked(picture.items, art):
        rgba = _drawing(art, item, palette, max(4, round(item.longest * size)), picture.style)
        height, width = rgba.shape[:2]
        left = round(item.x * size - width / 2)
        top = _top(item, rgba, size)
        layer = np.zeros((size, size, 4), np.float32)
        _paste(layer, rgba, top, left)
        _style(canvas, layer, picture.style, shade, (top + height) / size, item)
    return canvas


def stacked(items: Sequence[Item], art: Art) -> tuple[Item, ...]:
    """The items; of two that stand on each other, with the lower one's size and the upper one's foot worked out.

    That foot is a whole number of tokens above the lower one's foot. So the network meets both in the rows in which it
    meets things that stand beside each other, and need not learn them in every row of a token.
    """
    upper = next((item for item in items if item.sunk is not None), None)
    if upper is None:
        return tuple(items)
    lower = next(item for item in items if item.sunk is None)
    upper_height, lower_height = _height(upper, art), _height(lower, art)
    overlap = (upper.sunk or 0) * upper_height
    floor = FLOOR if lower.bottom is None else lower.bottom
    most = math.floor((floor - _MARGIN - upper_height) / TOKEN)
    tokens = max(1, min(most, round((lower_height - overlap) / TOKEN)))
    longest = lower.longest * (tokens * TOKEN + overlap) / lower_height
    above = replace(upper, bottom=floor - tokens * TOKEN)
    below = replace(lower, bottom=floor, longest=longest)
    return tuple(above if item is upper else below for item in items)


def _height(item: Item, art: Art) -> float:
    """As a fraction of the picture."""
    return item.longest * _tallness(_known(art), item.drawing)


def _top(item: Item, rgba: np.ndarray, size: int) -> int:
    height = int(rgba.shape[0])
    return round(item.bottom * size - height if item.bottom is not None else item.middle * size - height / 2)


def _style(canvas: np.ndarray, layer: np.ndarray, style: Style, shade: np.ndarray, bottom: float, item: Item) -> None:
    """Put one drawing on the canvas, after its shadow and its outline."""
    alpha = layer[..., 3]
    size = canvas.shape[0]
    if style.shadow == "soft" and item.sunk is None:
        _blend(canvas, shade, _ellipse(size, item.x, bottom, item.longest * 0.42, item.longest * 0.06))
    outline = _grown(alpha, style.outline_width * size) if style.outline else alpha
    if style.shadow == "block":
        _blend(canvas, shade, _slid(outline, round(style.shadow_length * size)))
    if style.outline:
        _blend(canvas, rgb_of(style.outline), outline)
    canvas += (layer[..., :3] - canvas) * alpha[..., None]


def _blend(canvas: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    canvas += (colour - canvas) * alpha[..., None]


def _paste(layer: np.ndarray, rgba: np.ndarray, top: int, left: int) -> None:
    size = layer.shape[0]
    height, width = rgba.shape[:2]
    y0, x0, y1, x1 = max(0, top), max(0, left), min(size, top + height), min(size, left + width)
    if y1 > y0 and x1 > x0:
        layer[y0:y1, x0:x1] = rgba[y0 - top : y1 - top, x0 - left : x1 - left]


def _grown(alpha: np.ndarray, pixels: float) -> np.ndarray:
    """The shape, wider by so many pixels on all sides, with soft edges."""
    image = Image.fromarray((alpha * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(pixels * 0.75))
    blurred = np.asarray(image, np.float32) / 255
    grown: np.ndarray = np.maximum(np.clip((blurred - 0.06) / 0.10, 0, 1), alpha)
    return grown


def _slid(alpha: np.ndarray, pixels: int) -> np.ndarray:
    """The area that the shape covers while it moves `pixels` to the lower right."""
    covered = np.zeros_like(alpha)
    for step in range(1, pixels + 1):
        covered[step:, step:] = np.maximum(covered[step:, step:], alpha[:-step, :-step])
    return covered


def _ellipse(size: int, x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    distance = np.sqrt(((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2)
    strength: np.ndarray = np.clip((1.25 - distance) / 0.5, 0, 1) * 0.8
    return strength


def _shade(ground: Ground) -> np.ndarray:
    """The colour of a shadow on this ground: the same hue, darker."""
    lab = to_oklab(rgb_of(ground.second if ground.kind in ("floor", "table") else ground.colour))
    lab = lab * np.array([0.84, 1.0, 1.0], np.float32)
    return from_oklab(lab)


def _made_drawing(
    folder: str, drawing: str, colour: str, detail: str, longest: int, levels: int, hues: int
) -> np.ndarray:
    plain, parts = (_plain_drawing, _families) if longest <= _SMALL else (_render, _families_of)
    rgba = plain(folder, drawing, longest)
    if colour:
        rgba = recolour(parts(folder, drawing, longest), colour, detail)
    if levels:
        rgba = flattened(rgba, levels, hues)
    return rgba.astype(np.float16)


_cached_drawing = lru_cache(maxsize=30_000)(_made_drawing)


def _render(folder: str, drawing: str, longest: int) -> np.ndarray:
    return _arts[folder].render(drawing, longest)


def _families_of(folder: str, drawing: str, longest: int) -> Families:
    return families(_render(folder, drawing, longest))


@lru_cache(maxsize=4_000)
def _tallness(folder: str, drawing: str) -> float:
    """The drawing's height as a fraction of its longer side."""
    height, width = _render(folder, drawing, _SMALL).shape[:2]
    return float(height / max(height, width))


_plain_drawing = lru_cache(maxsize=4_000)(_render)
_families = lru_cache(maxsize=2_000)(_families_of)

_arts: dict[str, Art] = {}


def _known(art: Art) -> str:
    """The key of the caches, which can't hold the art itself."""
    key = str(art.folder)
    _arts.setdefault(key, art)
    return key


def _drawing(art: Art, item: Item, palette: Mapping[str, str], longest: int, style: Style) -> np.ndarray:
    key = _known(art)
    colour, detail = palette.get(item.colour or "", ""), palette.get(item.detail or "", "")
    make = _cached_drawing if longest <= _SMALL else _made_drawing
    found = make(key, item.drawing, colour, detail, longest, style.levels, style.hues)
    return found.astype(np.float32)


def flattened(rgba: np.ndarray, levels: int, hues: int) -> np.ndarray:
    """The drawing with `levels` steps of lightness and `hues` of each colour axis, so without gradients."""
    lab = to_oklab(rgba[..., :3])
    lab[..., 0] = np.round(lab[..., 0] * levels) / levels
    lab[..., 1:] = np.round(lab[..., 1:] * hues) / hues
    return np.concatenate([from_oklab(lab), rgba[..., 3:]], axis=-1)


def _ground(ground: Ground, size: int) -> np.ndarray:
    if ground.kind == "plain":
        return np.broadcast_to(rgb_of(ground.colour), (size, size, 3))
    return _rendered_ground(ground, size).astype(np.float32) / 255


def _rendered_ground(ground: Ground, size: int) -> np.ndarray:
    return (_kept_ground if size <= _SMALL else _made_ground)(ground, size)


def _made_ground(ground: Ground, size: int) -> np.ndarray:
    body = GROUND_KINDS[ground.kind].format(a=ground.colour, b=ground.second)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{body}</svg>'
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"))


_kept_ground = lru_cache(maxsize=2_000)(_made_ground)

_ALL = '<rect width="100" height="100" fill="{a}"/>'
_CITY = "".join(
    f'<rect x="{x}" y="{y}" width="{w}" height="{100 - y}" fill="{c}"/>'
    for x, y, w, c in [
        (0, 66, 13, "#8ea6c6"), (11, 54, 11, "#7590b5"), (24, 70, 12, "#9db3d0"), (34, 60, 10, "#829bbf"),
        (46, 72, 14, "#9db3d0"), (58, 58, 11, "#7590b5"), (70, 68, 12, "#8ea6c6"), (80, 52, 9, "#829bbf"),
        (88, 64, 12, "#7590b5"),
    ]
)  # fmt: skip
_CLOUDS = (
    '<g fill="#fff"><circle cx="18" cy="20" r="5"/><circle cx="25" cy="18" r="6.5"/><circle cx="32" cy="21" r="4.5"/>'
    '<rect x="14" y="20" width="22" height="5.5" rx="2.7"/><circle cx="74" cy="12" r="4"/>'
    '<circle cx="80" cy="11" r="5"/><rect x="70" y="12" width="15" height="4.5" rx="2.2"/></g>'
)
_STARS = "".join(
    f'<circle cx="{x}" cy="{y}" r="0.8" fill="#fff3c4"/>'
    for x, y in [(10, 14), (24, 30), (38, 10), (55, 20), (12, 48), (90, 44), (68, 8), (84, 60), (46, 32), (94, 20)]
)
# SVG bodies of 100 × 100 units; {a} and {b} are the two colours.
GROUND_KINDS = {
    "plain": _ALL,
    "disc": _ALL + '<circle cx="50" cy="50" r="41" fill="{b}"/>',
    "floor": _ALL + '<rect y="70" width="100" height="30" fill="{b}"/>',
    "split": _ALL + '<rect x="50" width="50" height="100" fill="{b}"/>',
    "podium": _ALL
    + '<rect x="16" y="84" width="68" height="16" fill="{b}"/><ellipse cx="50" cy="84" rx="34" ry="5" fill="#ffffff"/>',
    "table": _ALL
    + '<rect y="70" width="100" height="30" fill="#c68a55"/><rect y="70" width="100" height="3.5" fill="#dba871"/>'
    '<g fill="#b2763f"><rect y="82" width="100" height="0.9"/><rect y="91" width="100" height="0.9"/></g>',
    "beach": '<rect width="100" height="46" fill="#aee0f8"/><circle cx="80" cy="18" r="9" fill="#ffd84d"/>'
    '<rect y="46" width="100" height="54" fill="#3fa9d8"/><rect y="46" width="100" height="5" fill="#5bbbe4"/>'
    '<path d="M0 72Q25 66 50 71T100 69V100H0Z" fill="#f3d9a2"/>',
    "grass": '<rect width="100" height="100" fill="#bfe6fb"/>'
    + _CLOUDS
    + '<path d="M0 70Q30 60 60 68T100 66V100H0Z" fill="#7cc66b"/>',
    "sky": '<rect width="100" height="100" fill="#9fd6f7"/>'
    + _CLOUDS
    + '<g fill="#fff"><circle cx="72" cy="84" r="6"/><circle cx="81" cy="81" r="8"/><circle cx="90" cy="85" r="6"/>'
    '<rect x="66" y="84" width="30" height="7" rx="3.5"/><circle cx="10" cy="76" r="5"/><circle cx="16" cy="75" r="6"/>'
    '<rect x="4" y="76" width="19" height="5.5" rx="2.7"/></g>',
    "night": '<rect width="100" height="100" fill="#1f2a5a"/>'
    + _STARS
    + '<circle cx="80" cy="19" r="9" fill="#ffe9a8"/><circle cx="76.5" cy="16.5" r="7.5" fill="#1f2a5a"/>'
    '<path d="M0 78Q30 70 60 77T100 75V100H0Z" fill="#2f4a4f"/>',
    "snow": '<rect width="100" height="100" fill="#cfe3f3"/><path d="M0 72Q25 64 55 71T100 67V100H0Z" fill="#ffffff"/>'
    + "".join(
        f'<circle cx="{x}" cy="{y}" r="1.2" fill="#fff"/>'
        for x, y in [(8, 12), (22, 34), (35, 8), (52, 24), (66, 10), (80, 30), (93, 14), (14, 56), (88, 52), (44, 46)]
    ),
    "city": '<rect width="100" height="100" fill="#d7ecfa"/>' + _CLOUDS + _CITY,
    "shelf": _ALL + '<rect x="6" y="86" width="88" height="4.5" rx="1" fill="#b97a45"/><g fill="#8f5a2f">'
    '<rect x="16" y="90" width="3" height="6"/><rect x="81" y="90" width="3" height="6"/></g>',
}
