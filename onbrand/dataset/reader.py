"""A folder of illustrations as training and evaluation read it: pictures normalised, captions beside them, hashed.

What is wrong with a folder, and why, says `check`; here a folder that has an error is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from onbrand.dataset.findings import Finding, Severity, listed, shown
from onbrand.dataset.folder import Entry
from onbrand.dataset.normalisation import WHITE, border, normalise_picture, resized
from onbrand.dataset.picture_file import SIDE, Unusable, decode
from onbrand.dataset.survey import digest_of, survey
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
        pixels = self._normalised()
        if digest_of(pixels) != self.digest:
            raise DatasetChanged(
                f"{self.name} was changed while it was used. Bring the file back as it was, or begin anew."
            )
        return resized(pixels, side)

    def placed_on(self, ground: str) -> Illustration:
        """The same illustration with what is transparent on another ground. Its digest changes if that is seen.

        Raises:
            DatasetChanged: the file can no longer be used.
        """
        if ground == self.ground:
            return self
        placed = replace(self, ground=ground)
        return replace(placed, digest=digest_of(placed._normalised()))

    def _normalised(self) -> np.ndarray:
        try:
            decoded = decode(Entry(self.name, self.path))
        except Unusable as error:
            raise DatasetChanged(f"{self.name} can no longer be used: {error.finding.cause}") from None
        return normalise_picture(decoded, border(decoded), self.ground)


@dataclass(frozen=True)
class Dataset:
    """All illustrations, by name. `digest` stands for names, captions and pixels, wherever the folder is."""

    illustrations: tuple[Illustration, ...]
    ground: str  # `#rrggbb`
    digest: str


def read_dataset(folder: Path) -> Dataset:
    """Read a folder of pictures with captions. It is not changed, and at most two pictures are in memory at a time.

    Raises:
        DatasetRefused: the folder has a finding of the level error, or no picture.
    """
    found = survey(folder, lambda _: None)
    refuse(folder, found.findings)
    if not found.seen:
        raise DatasetRefused(
            f"The folder {shown(str(folder))} has no picture. Put 30 to 50 PNGs into it, each with its caption."
        )
    ground = found.ground or WHITE
    illustrations = [
        Illustration(name, found.captions[name], seen.entry.path, seen.digest, ground)
        for name, seen in found.seen.items()
    ]
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


def dataset_digest(illustrations: Iterable[Illustration]) -> str:
    """SHA-256 over names, captions and digests, in the order of the names."""
    return hashlib.sha256("\n".join(_lines(illustrations)).encode()).hexdigest()


def _lines(illustrations: Iterable[Illustration]) -> Iterator[str]:
    for one in sorted(illustrations, key=lambda one: one.name):
        yield json.dumps([one.name, one.caption, one.digest])
