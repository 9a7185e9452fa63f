"""What a review shows beside each drawing of a pack after the verdict: the bare base's, and training pictures.

Likeness is measured on the very drawing that the review shows, with the comparison of `onbrand evaluate`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onbrand.dataset.features import view
from onbrand.dataset.likeness import Fingerprint, fingerprint, likeness
from onbrand.dataset.reader import Illustration
from onbrand.errors import RunUnusable
from onbrand.images.rendition import encode
from onbrand.packs.manifest import BrandPack, TrainedOn
from onbrand.reviews.card_png import encode_aside
from onbrand.reviews.dealing import Beside
from onbrand.reviews.models import AsideKind
from onbrand.training.begin import read_picture
from onbrand.training.copies import Nearness
from onbrand.training.kept import LORA
from onbrand.training.record import CHECKPOINTS, RECORD, PictureRecord, Record, read_record
from onbrand.training.workplace import Tell, resized

NEAREST = 2  # training pictures beside each drawing


def base_aside(pixels: np.ndarray) -> Beside:
    """What the bare base drew, (1024, 1024, 3) uint8."""
    return Beside(AsideKind.BASE, encode_aside(pixels.tobytes()), encode(pixels))


@dataclass(frozen=True)
class TrainingPictures:
    """The illustrations that a pack was trained on, as its run keeps them. `prints` are by name."""

    run: Path
    side: int  # pixels at which pictures are compared: that of the training
    pictures: Mapping[str, PictureRecord]
    near: Nearness
    prints: Mapping[str, Fingerprint]
    trained_on: TrainedOn

    @classmethod
    def read(cls, run: Path, pack: BrandPack, tell: Tell = lambda _what, _done, _total: None) -> TrainingPictures:
        """Read them all. What counts as near is measured on the held-out ones, too, as in an evaluation.

        Raises:
            RunUnusable: there is no run, the pack comes from another one, or a picture is missing or damaged.
        """
        record = read_record(run)
        _require_its_run(run, record, pack)
        side, prints = record.settings.side, {}
        for number, one in enumerate(record.pictures, start=1):
            prints[one.name] = _print(read_picture(run, one), side)
            tell("Looking at the training pictures", number, len(record.pictures))
        trained = {one.name: one for one in record.pictures if not one.is_held_out}
        near = Nearness.of(list(prints.values()))
        return cls(run, side, trained, near, {name: prints[name] for name in trained}, record.trained_on)

    def twin(self, illustration: Illustration) -> str | None:
        """The name of a training picture that an illustration is nearly the same as."""
        own = _print(illustration.pixels(), self.side)
        return next((name for name, one in self.prints.items() if likeness(own, one).is_near), None)

    def asides(self, pixels: np.ndarray) -> list[Beside]:
        """The training pictures that a drawing is most like, the nearest first. `pixels`: (1024, 1024, 3) uint8."""
        found = []
        for one in self.near.nearest_ones(_print(pixels, self.side), self.prints, NEAREST):
            picture = read_picture(self.run, self.pictures[one.name])
            png, tile = encode_aside(picture.tobytes()), encode(picture)
            found.append(Beside(AsideKind.TRAINING, png, tile, one.name, one.is_flagged, one.is_mirrored))
        return found


def _print(pixels: np.ndarray, side: int) -> Fingerprint:
    return fingerprint(view(resized(pixels, side)))


def _require_its_run(run: Path, record: Record, pack: BrandPack) -> None:
    """The manifest names the run; a pack that was built by hand of a checkpoint, for a faster model say, has its LoRA.

    Raises:
        RunUnusable: the pack comes from another run.
    """
    training, lora = pack.manifest.training, pack.manifest.lora.file
    if training is not None:
        is_its_run = training.run == _sha256(run / RECORD)
    else:
        wanted = next(file.sha256 for file in pack.manifest.files if file.path == lora)
        is_its_run = any(_sha256(file) == wanted for file in sorted((run / CHECKPOINTS).glob(f"*/{LORA}")))
    if not is_its_run:
        raise RunUnusable(
            f"{pack.manifest.name}, version {pack.manifest.version}, doesn't come from the run in {run}, which trained"
            f" on {len(record.pictures)} pictures: name the folder of its own run with --run."
        )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
