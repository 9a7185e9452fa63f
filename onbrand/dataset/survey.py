"""Goes through all pictures of a folder: one by one, two at a time, so that memory stays small however many there are.

The brand's ground is known only after the last picture. So a picture on which that ground will be seen, because it is
transparent or has bars, is decoded a second time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from onbrand.dataset.captions import read_captions
from onbrand.dataset.colours import distance, to_oklab
from onbrand.dataset.findings import Finding
from onbrand.dataset.folder import Entry, look_into
from onbrand.dataset.normalisation import WHITE, Border, border, brand_ground, needs_ground, normalise_picture
from onbrand.dataset.picture_file import Decoded, Unusable, decode

Tell = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
Look = TypeVar("Look")
_AT_ONCE = 2  # pictures
_BLANK = 0.0004  # share of a picture that differs from its border: less is nothing
_DIFFERENT = 0.04  # in Oklab
_SQUARE = 0.01  # the sides differ by less: no finding


@dataclass(frozen=True)
class Seen(Generic[Look]):
    """A picture that can be used. `look` is what the caller wanted of its normalised pixels."""

    entry: Entry
    size: tuple[int, int]  # in pixels, upright, before it was normalised
    border: Border
    digest: str
    look: Look


@dataclass(frozen=True)
class Survey(Generic[Look]):
    """A folder, gone through. `seen` and `captions` are by name; `ground` is None if no picture has one."""

    entries: tuple[Entry, ...]
    captions: Mapping[str, str]
    seen: Mapping[str, Seen[Look]]
    ground: str | None
    findings: tuple[Finding, ...]


def survey(folder: Path, look: Callable[[np.ndarray], Look], tell: Tell = lambda *_: None) -> Survey[Look]:
    """Read every picture and caption of a folder. `look` takes (1024, 1024, 3) uint8 and runs in two threads.

    Raises:
        DatasetRefused: it is no folder, or cannot be read.
    """
    contents = look_into(folder)
    captions, about_captions = read_captions(contents)
    passage = _Passage(look, Lock())
    firsts: list[_First[Look]] = []
    seconds: list[Seen[Look] | Unusable] = []
    pool = ThreadPoolExecutor(_AT_ONCE, "picture")
    try:
        for first in pool.map(passage.first, contents.pictures):
            firsts.append(first)
            tell("Reading pictures", len(firsts), len(contents.pictures))
        ground = brand_ground([first.border for first in firsts if first.border is not None])
        again = [first for first in firsts if first.seen is None and first.border is not None]
        for second in pool.map(lambda first: passage.second(first, ground or WHITE), again):
            seconds.append(second)
            tell("Placing pictures on the ground", len(seconds), len(again))
    finally:
        pool.shutdown(cancel_futures=True)
    found = [first.seen for first in firsts if first.seen is not None]
    found.extend(second for second in seconds if isinstance(second, Seen))
    findings = [*contents.findings, *about_captions]
    findings.extend(finding for first in firsts for finding in first.findings)
    findings.extend(second.finding for second in seconds if isinstance(second, Unusable))
    findings.extend(finding for first in firsts for finding in _about_ground(first, ground))
    findings.extend(_duplicates(found))
    seen = {one.entry.name: one for one in sorted(found, key=lambda one: one.entry.name)}
    return Survey(tuple(contents.pictures), captions, seen, ground, tuple(findings))


def digest_of(pixels: np.ndarray) -> str:
    """SHA-256 of (1024, 1024, 3) uint8 pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@dataclass(frozen=True)
class _First(Generic[Look]):
    """What the first passage says of a file. Without `border` it can't be used; without `seen` it needs the ground."""

    entry: Entry
    findings: tuple[Finding, ...]
    border: Border | None = None
    size: tuple[int, int] = (0, 0)
    is_transparent: bool = False
    seen: Seen[Look] | None = None


@dataclass(frozen=True)
class _Passage(Generic[Look]):
    look: Callable[[np.ndarray], Look]
    large: Lock

    def first(self, entry: Entry) -> _First[Look]:
        try:
            decoded = self._decode(entry)
        except Unusable as error:
            return _First(entry, (error.finding,))
        own = border(decoded)
        size, is_transparent = decoded.size, decoded.alpha is not None
        if blank := _blank(entry, decoded):
            return _First(entry, (*decoded.findings, blank))
        if needs_ground(decoded, own):
            return _First(entry, decoded.findings, own, size, is_transparent)
        pixels = normalise_picture(decoded, own, WHITE)
        seen = Seen(entry, size, own, digest_of(pixels), self.look(pixels))
        return _First(entry, decoded.findings, own, size, is_transparent, seen)

    def second(self, first: _First[Look], ground: str) -> Seen[Look] | Unusable:
        assert first.border is not None
        try:
            decoded = self._decode(first.entry)
        except Unusable as error:
            return error  # it was changed in between
        pixels = normalise_picture(decoded, first.border, ground)
        return Seen(first.entry, first.size, first.border, digest_of(pixels), self.look(pixels))

    def _decode(self, entry: Entry) -> Decoded:
        return decode(entry, self.large)


def _blank(entry: Entry, decoded: Decoded) -> Finding | None:
    if decoded.alpha is not None and decoded.alpha.getextrema()[1] == 0:
        cause = "It is transparent everywhere: there is nothing to see."
        return Finding("blank", entry.name, cause, "Export it again with the layers that have the drawing.")
    if decoded.alpha is not None:
        return None
    small = np.asarray(decoded.rgb.reduce(max(1, min(decoded.rgb.size) // 256)))
    lab = to_oklab(small)
    if (distance(lab, lab[0, 0]) > _DIFFERENT).mean() < _BLANK:
        cause = "It is one colour everywhere: there is nothing to see."
        return Finding("blank", entry.name, cause, "Export it again with the layers that have the drawing.")
    return None


def _about_ground(first: _First[Look], ground: str | None) -> Iterable[Finding]:
    if first.border is None:
        return
    name, own = first.entry.name, first.border
    if first.is_transparent:
        where = f"the ground of the others, {ground}" if ground else "white, because no picture here has a ground"
        yield Finding("transparent", name, f"It is transparent in places. There it was placed on {where}.", "")
    width, height = first.size
    if abs(width - height) <= _SQUARE * max(width, height):
        return
    is_own = own.is_plain and own.colour is not None
    colour = own.colour if is_own else ground or WHITE
    sides = "left and right" if height > width else "above and below"
    if is_own or own.colour is None:
        whose = "its own ground" if is_own else "the ground"
        cause = f"It has {width} × {height} pixels. It was made square with {whose}, {colour}, {sides}."
        yield Finding("padded", name, cause, "")
    else:
        cause = f"It has {width} × {height} pixels and is drawn up to its border. Bars in {colour} were added {sides},"
        remedy = "Extend the drawing to a square and export it again."
        yield Finding("bars", name, f"{cause} and the model would learn them.", remedy)


def _duplicates(found: Iterable[Seen[Look]]) -> Iterable[Finding]:
    names: dict[str, list[str]] = {}
    for one in found:
        names.setdefault(one.digest, []).append(one.entry.name)
    for same in names.values():
        first, *others = sorted(same)
        for other in others:
            cause = f"It is the same picture as {first}, pixel for pixel. It would count twice."
            yield Finding("duplicate", other, cause, "Remove one of them, with its caption.", (first,))
