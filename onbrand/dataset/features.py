"""Named features of a picture: numbers that a designer can check by looking, without any trained model.

Evaluation uses the same features: each says one thing about how a brand draws, so a drift has a name. A single score
would miss some drifts (shared measurements: 0.59 for a slightly wrong palette, where the palette's distance has 1.00).
All take (1024, 1024, 3) uint8 sRGB; another side works, too, but only equal sides compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np

from onbrand.dataset.colours import distance, to_oklab
from onbrand.dataset.normalisation import resized

FOREGROUND = 0.05  # in Oklab: a pixel further from the ground than this belongs to the thing
_SIDE = 512  # pixels at which most is measured
_RING = 0.03  # share of the side
_FLAT = 0.006  # change of Oklab from a pixel to the next: less is one flat colour
_EDGE = 0.08  # more is an edge
_DARK = 0.48  # lightness of ink
_MOSTLY_DARK = 0.35  # of the thing
_THICKEST = 0.06  # share of the side: what is thicker is no line
_CELL = 0.04  # in Oklab: what counts as one colour
_LEAST_SHARE = 0.004  # of the thing: a colour that counts
_SOFT = 0.005
_SOFT_SIDE = 128
_PARTS_SIDE = 128
_LEAST_PART = 0.0012  # of the picture


@dataclass(frozen=True)
class Features:
    """What is measured of one picture. Lengths and areas are shares of the side and of the picture."""

    ground_lightness: float  # 0 black to 1 white
    ground_chroma: float  # 0 grey; 0.1 is a clear colour
    ground_spread: float  # how much the border varies, in Oklab
    edge_density: float  # share of the picture that is edge
    soft_share: float  # share of the picture that is neither flat nor edge: shading, texture, blur
    sharpness: float  # how steep edges are
    noise: float  # mean difference of a pixel from its neighbours, away from edges
    colour_count: float
    chroma: float  # mean of the thing's chroma
    stroke_width: float  # median thickness of dark lines; 0 if there are none
    dark_share: float  # of the thing
    centre_x: float  # of the thing: 0 left to 1 right
    centre_y: float  # 0 top to 1 bottom
    fill: float  # share of the picture that the thing covers
    parts: float  # pieces that do not touch
    palette_distance: float = 0.0  # mean distance to the brand's palette, in Oklab; needs the brand (`palette`)


def can_tell(features: Features, name: str) -> bool:
    """Whether a feature says something about this picture: the lines of a dark thing, or on a dark ground, do not."""
    is_dark = features.dark_share > _MOSTLY_DARK or features.ground_lightness < _DARK + FOREGROUND
    return name != "stroke_width" or not is_dark


@dataclass(frozen=True)
class Named:
    """How a feature is talked about. `floor` is the least spread of its range: a sixth of what is plainly seen."""

    criterion: str  # ground, colours, line, flatness or composition
    label: str
    more: str
    less: str
    floor: float
    unit: str  # of `in_words`


NAMES: Mapping[str, Named] = MappingProxyType(
    {
        "ground_lightness": Named(
            "ground", "lightness of the ground", "a lighter ground", "a darker ground", 0.005, "%"
        ),
        "ground_chroma": Named(
            "ground", "colour of the ground", "a more coloured ground", "a greyer ground", 0.005, ""
        ),
        "ground_spread": Named("ground", "evenness of the ground", "an uneven ground", "a more even ground", 0.003, ""),
        "edge_density": Named("line", "amount of detail", "more detail", "less detail", 0.006, "%"),
        "soft_share": Named("flatness", "shading", "more shading or texture", "flatter areas", 0.008, "%"),
        "sharpness": Named("line", "sharpness", "sharper edges", "softer edges", 0.02, ""),
        "noise": Named("flatness", "grain", "more grain", "less grain", 0.0006, ""),
        "colour_count": Named("colours", "number of colours", "more colours", "fewer colours", 1.0, "count"),
        "chroma": Named("colours", "strength of the colours", "stronger colours", "paler colours", 0.012, ""),
        "stroke_width": Named("line", "width of the lines", "thicker lines", "thinner lines or none", 0.0008, "px"),
        "dark_share": Named("line", "share of dark", "more dark areas", "fewer dark areas", 0.02, "%"),
        "centre_x": Named(
            "composition", "place, left to right", "placed further right", "placed further left", 0.015, "%"
        ),
        "centre_y": Named(
            "composition", "place, top to bottom", "placed further down", "placed further up", 0.015, "%"
        ),
        "fill": Named("composition", "size of the thing", "a larger thing", "a smaller thing", 0.02, "%"),
        "parts": Named("composition", "number of parts", "more separate parts", "fewer separate parts", 1.0, "count"),
        "palette_distance": Named(
            "colours", "distance to the palette", "colours that the others don't have", "the same colours", 0.004, ""
        ),
    }
)


def in_words(feature: str, value: float) -> str:
    """A value as it is shown to people; empty where the number says nothing to them."""
    unit = NAMES[feature].unit
    if unit == "%":
        return f"{100 * value:.0f} %"
    if unit == "px":
        return f"{1024 * value:.0f} px"
    return f"{value:.0f}" if unit == "count" else ""


FEATURES = tuple(field.name for field in fields(Features))


@dataclass(frozen=True)
class View:
    """A picture as it is measured: in Oklab at 512 pixels, with what belongs to its thing."""

    rgb: np.ndarray  # (S, S, 3) uint8
    lab: np.ndarray  # (S, S, 3) float32
    gradient: np.ndarray  # (S, S) change of Oklab to the next pixels
    ground: np.ndarray  # (3,) Oklab
    thing: np.ndarray  # (S, S) bool


def view(pixels: np.ndarray) -> View:
    """What all measurements look at."""
    rgb = resized(pixels, min(_SIDE, pixels.shape[0]))
    lab = to_oklab(rgb)
    ground = np.median(_ring(lab), axis=0)
    return View(rgb, lab, _gradient(lab), ground, distance(lab, ground) > FOREGROUND)


def measure(pixels: np.ndarray, seen: View | None = None) -> Features:
    """All features but the palette's distance, which is 0."""
    seen = seen or view(pixels)
    lab, gradient, thing = seen.lab, seen.gradient, seen.thing
    side, area = lab.shape[0], max(1, int(thing.sum()))
    dark = thing & (lab[..., 0] < _DARK)
    rows, columns = np.nonzero(thing)
    is_edge = gradient > _EDGE
    edges = gradient[gradient > _FLAT]
    inside = lab[thing]
    return Features(
        ground_lightness=float(seen.ground[0]),
        ground_chroma=float(np.hypot(seen.ground[1], seen.ground[2])),
        ground_spread=float(np.percentile(distance(_ring(lab), seen.ground), 80)),
        edge_density=float(is_edge.mean()),
        soft_share=_soft_share(lab),
        sharpness=float((edges**2).sum() / edges.sum()) if edges.size else 0.0,
        noise=_noise(pixels),
        colour_count=_colour_count(lab, thing & (gradient < _EDGE)),
        chroma=float(np.hypot(inside[:, 1], inside[:, 2]).mean()) if inside.size else 0.0,
        stroke_width=_stroke_width(dark),
        dark_share=float(dark.sum() / area),
        centre_x=float(columns.mean() / side) if columns.size else 0.5,
        centre_y=float(rows.mean() / side) if rows.size else 0.5,
        fill=float(thing.mean()),
        parts=float(_parts(thing)),
    )


def _ring(lab: np.ndarray) -> np.ndarray:
    """(N, 3): the border of a picture."""
    width = max(1, round(_RING * lab.shape[0]))
    bands = (lab[:width], lab[-width:], lab[width:-width, :width], lab[width:-width, -width:])
    return np.concatenate([band.reshape(-1, 3) for band in bands])


def _gradient(lab: np.ndarray) -> np.ndarray:
    down = np.zeros(lab.shape[:2], np.float32)
    across = np.zeros_like(down)
    down[:-1] = distance(lab[1:], lab[:-1])
    across[:, :-1] = distance(lab[:, 1:], lab[:, :-1])
    return np.hypot(down, across)


def _soft_share(lab: np.ndarray) -> float:
    """Looked at in a quarter of the size, where a slow change is a step and grain is averaged."""
    factor = max(1, lab.shape[0] // _SOFT_SIDE)
    side = lab.shape[0] // factor
    small = lab[: side * factor, : side * factor].reshape(side, factor, side, factor, 3).mean(axis=(1, 3))
    gradient = _gradient(small)
    # An edge's own rim is no shading.
    rim = gradient > _EDGE / 2
    for axis in (0, 1):
        rim |= np.roll(rim, 1, axis) | np.roll(rim, -1, axis)
    return float(((gradient > _SOFT) & ~rim).mean())


def _noise(pixels: np.ndarray) -> float:
    """In the picture's own size, because averaging takes grain away."""
    grey = pixels[..., 1].astype(np.int16)  # green is most of what is seen as light
    inner = grey[1:-1, 1:-1]
    away = np.abs(4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:])
    return float(away[away < 120].mean() / (4 * 255))


def _colour_count(lab: np.ndarray, where: np.ndarray) -> float:
    inside = lab[where]
    if not inside.size:
        return 0.0
    cells = np.floor(inside / _CELL).astype(np.int64) @ np.array([1_000_000, 1_000, 1])
    counts = np.unique(cells, return_counts=True)[1]
    return float((counts > _LEAST_SHARE * len(inside)).sum())


def _stroke_width(dark: np.ndarray) -> float:
    """The median thickness along dark lines. Thickness is the shortest run through a pixel, of four directions.

    A pixel counts as one over its thickness, so that all lines count by their length; a dark area would otherwise
    outweigh the outline of everything else.
    """
    side = dark.shape[0]
    if dark.mean() < 0.0005:
        return 0.0
    slanted = np.minimum(_diagonal_runs(dark), _diagonal_runs(dark[:, ::-1])[:, ::-1]) * np.float32(2**0.5)
    thickness = np.minimum(np.minimum(_runs(dark), _runs(dark.T).T), slanted)[dark] / side
    lines = np.sort(thickness[thickness < _THICKEST])
    if lines.size < 0.02 * thickness.size:
        return 0.0
    lengths = np.cumsum(1 / lines)
    return float(lines[np.searchsorted(lengths, lengths[-1] / 2)])


def _runs(mask: np.ndarray) -> np.ndarray:
    """How many pixels in a row, left and right of each pixel and with it, are set."""
    width = mask.shape[1]
    at = np.arange(width, dtype=np.int32)
    left = np.maximum.accumulate(np.where(mask, -1, at), axis=1)
    right = np.minimum.accumulate(np.where(mask, width, at)[:, ::-1], axis=1)[:, ::-1]
    lengths: np.ndarray = right - left - 1
    return lengths


def _diagonal_runs(mask: np.ndarray) -> np.ndarray:
    """The same along a diagonal: each row is moved one pixel further than the one above it."""
    side = mask.shape[0]
    padded = np.zeros((side, 2 * side), bool)
    padded[:, :side] = mask
    slanted = padded.reshape(-1)[: side * (2 * side - 1)].reshape(side, 2 * side - 1)
    # Row r now begins r pixels later; the same way back.
    runs = np.zeros((side * 2 * side,), np.int32)
    runs[: slanted.size] = _runs(slanted.T).T.reshape(-1)
    return runs.reshape(side, 2 * side)[:, :side]


def _parts(thing: np.ndarray) -> int:
    """Pieces that do not touch, counted on rows of runs that are joined with those of the row above."""
    factor = max(1, thing.shape[0] // _PARTS_SIDE)
    small = thing[::factor, ::factor]
    parent: list[int] = []
    sizes: list[int] = []

    def root(one: int) -> int:
        while parent[one] != one:
            one = parent[one]
        return one

    above: list[tuple[int, int, int]] = []
    for row in small:
        steps = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        here = []
        for start, end in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
            label = len(parent)
            parent.append(label)
            sizes.append(end - start)
            for first, last, other in above:
                if first <= end and start <= last and (one := root(other)) != label:
                    parent[one] = label
                    sizes[label] += sizes[one]
            here.append((start, end, label))
        above = here
    least = _LEAST_PART * small.size
    return sum(1 for label, up in enumerate(parent) if up == label and sizes[label] >= least)
