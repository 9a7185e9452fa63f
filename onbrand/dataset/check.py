"""`onbrand dataset check`, without the command line: every finding about a folder, and what its report shows.

The folder is only read. What is wrong with a file is found where the file is read (`folder`, `captions`,
`picture_file`, `survey`); here pictures are compared with each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from onbrand.dataset.colours import distance, from_code, to_oklab
from onbrand.dataset.features import NAMES, Features, in_words, measure, view
from onbrand.dataset.findings import Finding, Severity, listed
from onbrand.dataset.likeness import Fingerprint, fingerprint, near_pairs
from onbrand.dataset.normalisation import WHITE, resized
from onbrand.dataset.palette import (
    MERGE,
    Colours,
    brand_palette,
    colours_of,
    foreign_colours,
    palette_distance,
    without_ground,
)
from onbrand.dataset.picture_file import preview
from onbrand.dataset.ranges import STYLE, Strangeness, SubStyles, strange, two_sub_styles
from onbrand.dataset.reader import Illustration, dataset_digest
from onbrand.dataset.survey import Seen, Survey, Tell, survey

LEAST, MOST = 30, 50  # pictures that a data set should have
THUMBNAIL = 384  # pixels
_MOST_PAIRS_OF = 200  # pictures: comparing more with each other takes too long
_FOREIGN = 0.06  # in Oklab from the others' palette
_FOREIGN_SHARE = 0.02  # of the picture
_MOST_NAMED = 3  # features in one sentence
_GROUND = ("ground_lightness", "ground_chroma")
_LEAST_GROUNDS = 4  # pictures on other grounds
_GROUNDS = 0.12  # of the pictures: more are no exceptions


@dataclass(frozen=True)
class Look:
    """What is kept of a picture's pixels."""

    features: Features
    colours: Colours
    thing: Colours  # without the picture's own ground
    fingerprint: Fingerprint
    ground: np.ndarray  # (3,) Oklab
    thumbnail: bytes  # WebP
    png: bytes | None  # the normalised picture, if it is to be written


@dataclass(frozen=True)
class Checked:
    """A folder, checked. `digest` is None if the folder cannot be used."""

    folder: Path
    survey: Survey[Look]
    features: Mapping[str, Features]  # with the distance to the others' palette
    palette: Colours  # of what is drawn, without the grounds
    sub_styles: SubStyles | None
    findings: tuple[Finding, ...]  # errors first, then by file
    previews: Mapping[str, bytes]  # WebP, of pictures that can be shown and not used
    digest: str | None

    @property
    def is_usable(self) -> bool:
        """Whether there is no error."""
        return not self.count(Severity.ERROR)

    @property
    def ground(self) -> str:
        """The brand's ground, as `#rrggbb`."""
        return self.survey.ground or WHITE

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(1 for finding in self.findings if finding.severity is severity)

    def illustrations(self) -> tuple[Illustration, ...]:
        """The pictures as training reads them. Only if the folder is usable."""
        return tuple(
            Illustration(name, self.survey.captions[name], seen.entry.path, seen.digest, self.ground)
            for name, seen in self.survey.seen.items()
        )


def check(folder: Path, tell: Tell = lambda *_: None, *, keep_pictures: bool = False) -> Checked:
    """Find everything that a designer should know about a folder.

    With `keep_pictures` the result holds the normalised pictures as PNG, some 0.3 MB each, for `fix.write_fixed`.

    Raises:
        DatasetRefused: it is no folder, or cannot be read.
    """
    found = survey(folder, partial(_look, keep_picture=keep_pictures), tell)
    names, seen = list(found.seen), list(found.seen.values())
    features = _with_palette_distance(seen)
    others = [one.entry.name for one in seen if not _is_on(one, found.ground)]
    has_grounds = len(others) >= max(_LEAST_GROUNDS, _GROUNDS * len(seen))
    explained = _GROUND if has_grounds else ()
    sub_styles = two_sub_styles(features, [name for name in STYLE if name not in explained])
    findings = [*found.findings, *_about_count(found), *_near_duplicates(seen), *_sub_styles(sub_styles, names)]
    if has_grounds and found.ground is not None:
        findings.append(_several_grounds(found.ground, others, seen))
    findings.extend(_outliers(seen, features, sub_styles, explained))
    findings.sort(key=lambda one: (list(Severity).index(one.severity), one.file or "", one.kind))
    checked = Checked(
        folder=folder,
        survey=found,
        features=dict(zip(names, features, strict=True)),
        palette=brand_palette([one.look.thing for one in seen], MERGE),
        sub_styles=sub_styles,
        findings=tuple(findings),
        previews=_previews(found),
        digest=None,
    )
    return replace(checked, digest=dataset_digest(checked.illustrations())) if checked.is_usable else checked


def _look(pixels: np.ndarray, *, keep_picture: bool) -> Look:
    seen = view(pixels)
    image = BytesIO()
    Image.fromarray(resized(pixels, THUMBNAIL)).save(image, "WEBP", quality=88, method=2)
    colours = colours_of(seen)
    return Look(
        features=measure(pixels, seen),
        colours=colours,
        thing=without_ground(colours, seen.ground),
        fingerprint=fingerprint(seen),
        ground=seen.ground,
        thumbnail=image.getvalue(),
        png=_png(pixels) if keep_picture else None,
    )


def _png(pixels: np.ndarray) -> bytes:
    """Run-length matching suits flat illustrations, and is four times as fast as zlib's default."""
    stored = BytesIO()
    Image.fromarray(pixels).save(stored, "PNG", compress_type=zlib.Z_RLE)
    return stored.getvalue()


def _previews(found: Survey[Look]) -> dict[str, bytes]:
    previews = {}
    for entry in found.entries:
        if entry.name not in found.seen and (image := preview(entry, THUMBNAIL)) is not None:
            stored = BytesIO()
            image.save(stored, "WEBP", quality=88, method=2)
            previews[entry.name] = stored.getvalue()
    return previews


def _with_palette_distance(seen: Sequence[Seen[Look]]) -> list[Features]:
    """Each picture's features, with its distance to the palette of all others."""
    features = []
    for index, one in enumerate(seen):
        others = brand_palette([other.look.colours for at, other in enumerate(seen) if at != index])
        away = palette_distance(one.look.colours, others, one.look.ground)
        features.append(replace(one.look.features, palette_distance=away))
    return features


def _about_count(found: Survey[Look]) -> Iterator[Finding]:
    count = len(found.entries)
    if not count:
        remedy = f"Put {LEAST} to {MOST} PNGs into it, each with its caption in a text file of the same name."
        yield Finding("no_pictures", None, "There is no picture in the folder.", remedy)
        return
    if count < LEAST:
        pictures = "is 1 picture" if count == 1 else f"are {count} pictures"
        cause = (
            f"There {pictures}, and a style needs {LEAST} to {MOST}. With fewer, the model learns the things by heart."
        )
        yield Finding("few_pictures", None, cause, "Add pictures that differ in what they show and are drawn alike.")
    if count > MOST:
        cause = f"There are {count} pictures. More than {MOST} take longer and rarely make the style clearer."
        remedy = f"Keep the {MOST} that show the style best; leave out those that look alike."
        yield Finding("many_pictures", None, cause, remedy)
    if found.ground is None and any(finding.kind == "transparent" for finding in found.findings):
        cause = f"No picture shows the brand's ground, so transparent pictures were placed on white ({WHITE})."
        remedy = "If the brand's ground is another, add a picture on it, or export all of them on their ground."
        yield Finding("ground_unknown", None, cause, remedy)


def _near_duplicates(seen: Sequence[Seen[Look]]) -> Iterator[Finding]:
    if len(seen) > _MOST_PAIRS_OF:
        return
    for first, second, likeness in near_pairs([one.look.fingerprint for one in seen]):
        one, other = seen[first], seen[second]
        if one.digest == other.digest:
            continue
        how = "mirrored" if likeness.is_mirrored else "moved, resized or saved again"
        cause = f"It looks like {one.entry.name}, {how}. One drawing twice teaches the drawing, not the style."
        remedy = "Keep the better one, or make sure that they are two drawings."
        yield Finding("near_duplicate", other.entry.name, cause, remedy, (one.entry.name,))


def _sub_styles(found: SubStyles | None, names: Sequence[str]) -> Iterator[Finding]:
    if found is None:
        return
    group = [names[index] for index in found.smaller]
    labels = [NAMES[feature].label for feature in found.features[:_MOST_NAMED]]
    cause = f"There seem to be two styles: {listed(group, 6)} differ from the other {len(found.larger)} in"
    remedy = "Keep the style that new pictures should have, or make one data set for each."
    yield Finding("two_sub_styles", None, f"{cause} {listed(labels)}.", remedy, tuple(group))


def _is_on(one: Seen[Look], ground: str | None) -> bool:
    if ground is None or one.border.colour is None:
        return True
    away = distance(to_oklab(from_code(one.border.colour)), to_oklab(from_code(ground)))
    return float(away) < MERGE


def _several_grounds(ground: str, names: Sequence[str], seen: Sequence[Seen[Look]]) -> Finding:
    colours = list(dict.fromkeys(one.border.colour for one in seen if one.entry.name in names and one.border.colour))
    cause = (
        f"{len(seen) - len(names)} of {len(seen)} pictures are on {ground}; the others are on {listed(colours, 5)}."
        " The model draws a ground that it isn't told as it likes."
    )
    remedy = f"Name the ground in the captions of pictures that aren't on {ground}, or bring all to one ground."
    return Finding("several_grounds", None, cause, remedy, tuple(names))


def _outliers(
    seen: Sequence[Seen[Look]],
    features: Sequence[Features],
    sub_styles: SubStyles | None,
    expected: Sequence[str],
) -> Iterator[Finding]:
    for index, strangenesses in enumerate(strange(features)):
        group = sub_styles.features if sub_styles is not None and index in sub_styles.smaller else ()
        left = [one for one in strangenesses if one.feature not in {*group, *expected}]
        if left:
            words = [_in_words(one, seen, index) for one in _distinct(left)[:_MOST_NAMED]]
            cause = f"It stands apart from the others: {listed(words)}."
            remedy = "Keep it if the style includes this. Otherwise draw it as the others are, or leave it out."
            yield Finding("outlier", seen[index].entry.name, cause, remedy)


def _distinct(strangenesses: Sequence[Strangeness]) -> list[Strangeness]:
    """The strongest of each criterion, so that one difference is not told three times."""
    kept: dict[str, Strangeness] = {}
    for one in strangenesses:
        kept.setdefault(NAMES[one.feature].criterion, one)
    return list(kept.values())


def _in_words(one: Strangeness, seen: Sequence[Seen[Look]], index: int) -> str:
    named = NAMES[one.feature]
    words = named.more if one.steps > 0 else named.less
    if one.feature == "palette_distance":
        others = brand_palette([other.look.colours for at, other in enumerate(seen) if at != index])
        foreign = foreign_colours(seen[index].look.colours, others, _FOREIGN, _FOREIGN_SHARE)
        return f"{words} ({listed([code for code, _ in foreign], 3)})" if foreign else words
    own = seen[index].border.colour
    if one.feature in _GROUND and own is not None:
        return f"{words} ({own}; most have {_usual_ground(seen, own)})"
    value, usual = in_words(one.feature, one.value), in_words(one.feature, one.median)
    return f"{words} ({value}; the others {usual})" if value and value != usual else words


def _usual_ground(seen: Sequence[Seen[Look]], own: str) -> str:
    """The commonest ground that is not this picture's own."""
    here = to_oklab(from_code(own))
    codes = [one.border.colour for one in seen if one.border.colour is not None]
    others = [code for code in codes if float(distance(to_oklab(from_code(code)), here)) > 0.01] or codes
    return max(others, key=lambda code: (others.count(code), code))
