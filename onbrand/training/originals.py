"""Whether illustrations are new to a brand pack, so that a review may show them as the brand's own.

A pack may draw from memory what it was trained on. Exact copies are found by the digests in its manifest; resized,
mirrored or newly saved ones by comparing pixels, which only the training run has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onbrand.dataset.findings import listed, shown
from onbrand.dataset.reader import Illustration
from onbrand.errors import OriginalsRefused
from onbrand.packs.manifest import BrandPack, TrainedOn
from onbrand.training.asides import TrainingPictures
from onbrand.training.record import HELD_OUT

UNKNOWN = (
    "Nobody checked that the originals are new to this pack, because it doesn't say what it was trained on: name its"
    " training run with --run, or make sure yourself."
)
ONLY_EXACT = (
    "Only exact copies of what the pack was trained on were looked for, because its training run isn't at hand: name it"
    " with --run, and resized or newly saved copies are found, too."
)


@dataclass(frozen=True)
class Originals:
    """Illustrations that are new to a pack as far as that could be checked; `note` says what could not be."""

    illustrations: tuple[Illustration, ...]
    note: str | None


def require_new(
    pack: BrandPack, folder: Path, illustrations: Sequence[Illustration], run: TrainingPictures | None
) -> Originals:
    """The illustrations of a folder, on the ground that the pack was trained with.

    `run` are the pictures of the pack's training run; None: it isn't at hand.

    Raises:
        OriginalsRefused: the pack was trained on one of them.
        DatasetChanged: a file was changed meanwhile.
    """
    training = pack.manifest.training
    trained_on = run.trained_on if run else training.trained_on if training else None
    if trained_on is None:
        return Originals(tuple(illustrations), UNKNOWN)
    placed = tuple(one.placed_on(trained_on.ground) for one in illustrations)
    known = list(_known(placed, trained_on, run))
    if known:
        raise _refused(folder, known, run)
    return Originals(placed, ONLY_EXACT if run is None else None)


def _known(illustrations: Sequence[Illustration], trained_on: TrainedOn, run: TrainingPictures | None) -> Iterator[str]:
    """The names of those that were trained on; of a near copy also what it is a copy of."""
    for one in illustrations:
        if one.digest in trained_on.digests:
            yield shown(one.name)
        elif run is not None and (twin := run.twin(one)) is not None:
            yield f"{shown(one.name)} (nearly the same as {shown(twin)})"


def _refused(folder: Path, names: list[str], run: TrainingPictures | None) -> OriginalsRefused:
    them, originals = ("it", "an original") if len(names) == 1 else ("them", "originals")
    held_out = None if run is None else run.run / HELD_OUT
    such = "" if held_out is None or held_out.resolve() == folder.resolve() else f", such as {held_out}"
    return OriginalsRefused(
        f"The pack was trained on {listed(names)}, so a review can't show {them} as {originals}: take {them} out of"
        f" {shown(str(folder))}, or name a folder with three illustrations that the pack has never seen{such}."
    )
