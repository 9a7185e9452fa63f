"""A folder of illustrations as training and evaluation read it: pictures normalised, captions beside them, hashed.

What is wrong with a folder, and why, says `check`; here a folder that has an error is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onbrand.dataset.captions import read_captions
from onbrand.dataset.findings import Finding, Severity, listed, shown
from onbrand.dataset.folder import Entry, look_into
from onbrand.dataset.normalise import WHITE, Border, border, brand_ground, needs_ground, normalise, resized
from onbrand.dataset.picture_file import SIDE, Unusable, decode
from onbrand.errors import DatasetChanged, DatasetRefused


@dataclass(frozen=True)
class Illustration:
    """One picture with its caption. `digest` is the SHA-256 of its normalised 1024×1024 pixels."""

    name: str  # the file's name, in Unicode's NFC form
    caption: str  # normalised as a prompt is
    path: Path
    digest: str
    ground: str  # `#rrggbb`: the brand's own, on which transparent pictures are shown

    def pixels(self, side: int = SIDE) -> np.ndarray:
        """(side, side, 3) uint8 sRGB, normalised. The file is read again and compared with `digest`.

        Raises:
            DatasetChanged: the file no longer has the pixels that it had when the data set was read.
        """
        try:
            decoded = decode(Entry(self.name, self.path))
        except Unusable as error:
            raise DatasetChanged(f"{self.name} can no longer be used: {error.finding.cause}") from None
        pixels = normalise(decoded, border(decoded), self.ground)
        if digest_of(pixels) != self.digest:
            raise DatasetChanged(
                f"{self.name} was changed while it was used. Bring the file back as it was, or begin anew."
            )
        return resized(pixels, side)


@dataclass(frozen=True)
class Dataset:
    """All illustrations, by name. `digest` stands for names, captions and pixels, wherever the folder is."""

    illustrations: tuple[Illustration, ...]
    ground: str  # `#rrggbb`
    digest: str


def read_dataset(folder: Path) -> Dataset:
    """Read a folder of pictures with captions. It is not changed, and one picture is in memory at a time.

    Raises:
        DatasetRefused: the folder has a finding of the level error, or no picture.
    """
    contents = look_into(folder)
    captions, findings = read_captions(contents)
    findings = [*contents.findings, *findings]
    borders: dict[str, Border] = {}
    digests: dict[str, str | None] = {}
    for entry in contents.pictures:
        try:
            decoded = decode(entry)
        except Unusable as error:
            findings.append(error.finding)
            continue
        own = borders[entry.name] = border(decoded)
        is_final = not needs_ground(decoded, own)
        digests[entry.name] = digest_of(normalise(decoded, own, WHITE)) if is_final else None
    ground = brand_ground(list(borders.values())) or WHITE
    refuse(folder, findings)
    illustrations = []
    for entry in contents.pictures:
        digest = digests[entry.name]
        if digest is None:
            decoded = decode(entry)
            digest = digest_of(normalise(decoded, borders[entry.name], ground))
        illustrations.append(Illustration(entry.name, captions[entry.name], entry.path, digest, ground))
    if not illustrations:
        raise DatasetRefused(
            f"The folder {shown(str(folder))} has no picture. Put 30 to 50 PNGs into it, each with its caption."
        )
    return Dataset(tuple(illustrations), ground, dataset_digest(illustrations))


def refuse(folder: Path, findings: Iterable[Finding]) -> None:
    """Raise if there is an error among the findings.

    Raises:
        DatasetRefused: it says which files, and how all findings are seen.
    """
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if not errors:
        return
    first = errors[0]
    others = sorted({one.file or "the folder" for one in errors[1:]} - {first.file})
    more = f" Also: {listed(others)}." if others else ""
    raise DatasetRefused(
        f"The folder {shown(str(folder))} can't be used yet. {first.file or 'The folder'}: {first.cause} {first.remedy}"
        f"{more} `onbrand dataset check` says everything."
    )


def digest_of(pixels: np.ndarray) -> str:
    """SHA-256 of (1024, 1024, 3) uint8 pixels."""
    return hashlib.sha256(np.ascontiguousarray(pixels)).hexdigest()


def dataset_digest(illustrations: Iterable[Illustration]) -> str:
    """SHA-256 over names, captions and digests, in the order of the names."""
    return hashlib.sha256("\n".join(_lines(illustrations)).encode()).hexdigest()


def _lines(illustrations: Iterable[Illustration]) -> Iterator[str]:
    for one in sorted(illustrations, key=lambda one: one.name):
        yield json.dumps([one.name, one.caption, one.digest])
