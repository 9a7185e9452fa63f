"""Drawings to pixels: icons of npm's @iconify-json packages and our own, rendered with resvg.

Nothing that is rendered here goes into the repository. Which sets may be learned from, and why, is in README.md.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import resvg_py
from PIL import Image

from models.mini.recipe.concepts import EMOJI_SETS, OWN, Concept

LICENCES = frozenset({"MIT", "Apache-2.0", "CC0-1.0"})  # of sets that the miniature may learn from
OWN_FOLDER = Path(__file__).parent / "drawings"
_MASTER = 512  # pixels, for measuring the alpha box
_OPAQUE = 8  # of 255: fainter pixels don't count as part of a drawing


@dataclass
class Art:
    """The icon sets in `folder` (node_modules/@iconify-json), read when they are first asked for.

    Without a folder there are our own drawings alone.
    """

    folder: Path | None
    _sets: dict[str, Any] = field(default_factory=dict)
    _boxes: dict[str, tuple[int, int, int, int]] = field(default_factory=dict)
    _masters: dict[str, Image.Image] = field(default_factory=dict)

    def drawings_of(self, concept: Concept, most: int = 4) -> list[str]:
        """The concept's drawings as set/icon: ours first, then those of the sets that have one, `most` in all."""
        found = []
        for drawing in concept.drawings:
            if "/" in drawing:
                found += [drawing] if self._has(drawing) else []
            else:
                found += [name for name in (f"{one}/{drawing}" for one in EMOJI_SETS) if self._has(name)]
        return sorted(dict.fromkeys(found), key=_preference)[:most]

    def svg(self, drawing: str) -> str:
        """The SVG of set/icon."""
        one, icon = drawing.split("/", 1)
        if one == OWN:
            return (OWN_FOLDER / f"{icon}.svg").read_text("utf-8")
        icons = self._set(one)
        found = _resolve(icons, icon)
        width, height = (found.get(side) or icons.get(side) or 16 for side in ("width", "height"))
        left, top = found.get("left", 0), found.get("top", 0)
        box = f"{left} {top} {width} {height}"
        return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{found["body"]}</svg>'

    def render(self, drawing: str, longest: int) -> np.ndarray:
        """(H, W, 4) float32 RGBA from 0 to 1, not premultiplied, cut to its alpha box; the longer side is `longest`."""
        if longest <= _MASTER // 2:
            master = self._master(drawing)
            factor = longest / max(master.size)
            width, height = (max(1, round(side * factor)) for side in master.size)
            pixels = np.asarray(master.resize((width, height), Image.Resampling.BOX).convert("RGBA"))
            return pixels.astype(np.float32) / 255
        self._master(drawing)
        top, bottom, left, right = self._boxes[drawing]
        scale = longest / max(bottom - top, right - left)
        pixels = _pixels(self.svg(drawing), max(1, round(_MASTER * scale)))
        ends = [round(edge * scale) for edge in (top, bottom, left, right)]
        return pixels[ends[0] : ends[1], ends[2] : ends[3]].astype(np.float32) / 255

    def _master(self, drawing: str) -> Image.Image:
        """The drawing at the master size, premultiplied ("RGBa"), from which small ones are made: much quicker.

        It is cut to its box: top, bottom, left and right of what is drawn.
        """
        if drawing not in self._masters:
            pixels = _pixels(self.svg(drawing), _MASTER)
            rows, columns = (np.flatnonzero((pixels[..., 3] > _OPAQUE).any(axis=axis)) for axis in (1, 0))
            box = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
            self._boxes[drawing] = box
            cut = np.ascontiguousarray(pixels[box[0] : box[1], box[2] : box[3]])
            self._masters[drawing] = Image.fromarray(cut).convert("RGBa")
        return self._masters[drawing]

    def require_licences(self, sets: Iterable[str]) -> dict[str, str]:
        """The licence of each set, as its package says it twice: in `package.json` and with the icons.

        Raises:
            ValueError: the two differ, or it isn't one of LICENCES.
        """
        found = {}
        for one in sets:
            package, info = (self._read(one, name) for name in ("package.json", "info.json"))
            licence = package.get("license")
            if licence not in LICENCES or info["license"]["spdx"] != licence:
                raise ValueError(f"{one} can't be learned from: its licence is {licence}, {info['license']['spdx']}")
            found[one] = licence
        return found

    def credits(self, sets: Iterable[str]) -> list[dict[str, str]]:
        """Who drew each set, under which licence, and where it comes from."""
        licences = self.require_licences(sets)
        credited = []
        for one, licence in sorted(licences.items()):
            package, info = (self._read(one, name) for name in ("package.json", "info.json"))
            credited.append(
                {
                    "set": one,
                    "name": info["name"],
                    "author": info["author"]["name"],
                    "project": info["author"]["url"],
                    "package": package["name"],
                    "version": package["version"],
                    "licence": licence,
                }
            )
        return credited

    def _has(self, drawing: str) -> bool:
        one, icon = drawing.split("/", 1)
        if one == OWN:
            return (OWN_FOLDER / f"{icon}.svg").exists()
        if self.folder is None:
            return False
        icons = self._set(one)
        return icon in icons["icons"] or icon in icons.get("aliases", {})

    def _set(self, one: str) -> Any:
        if one not in self._sets:
            self._sets[one] = self._read(one, "icons.json")
        return self._sets[one]

    def _read(self, one: str, name: str) -> Any:
        if self.folder is None:
            raise ValueError(f"{one} was asked for, and there are our own drawings alone")
        return json.loads((self.folder / one / name).read_text("utf-8"))

    def icons(self, one: str) -> list[str]:
        """The names of a set's icons."""
        icons = self._set(one)
        return [*icons["icons"], *icons.get("aliases", {})]


def _preference(drawing: str) -> int:
    order = [OWN, "fluent-emoji-flat", "noto", "flat-color-icons", "fluent-color", "noto-v1"]
    one = drawing.split("/", 1)[0]
    return order.index(one) if one in order else len(order)


def _resolve(icons: Any, icon: str) -> Any:
    known, aliases = icons["icons"], icons.get("aliases", {})
    while icon not in known:
        icon = aliases[icon]["parent"]
    return known[icon]


def _pixels(svg: str, size: int) -> np.ndarray:
    """(H, W, 4) uint8 RGBA of an SVG, `size` pixels wide and high at most."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"))
