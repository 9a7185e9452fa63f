"""How a run begins, and how it is made sure that one that goes on is still the same."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from onbrand.dataset.features import view
from onbrand.dataset.likeness import fingerprint, near_pairs
from onbrand.dataset.reader import Dataset
from onbrand.errors import RunChanged, RunUnusable, TrainingRefused
from onbrand.packs.base import Base
from onbrand.training import split
from onbrand.training.plan import TrainingPlan
from onbrand.training.prompts import sample_prompts
from onbrand.training.record import (
    HELD_OUT,
    PICTURES,
    PictureRecord,
    Record,
    onbrand_version,
    versions,
    write_record,
)
from onbrand.training.settings import Choices, TrainingSettings
from onbrand.training.whole_files import write_whole

_SMALL = 64  # pixels, to spread the held-out ones


def begin(folder: Path, base: Base, dataset: Dataset, settings: TrainingSettings, plan: TrainingPlan) -> Record:
    """Fix everything: the held-out illustrations, the prompts of the samples. `run.json` comes last.

    Raises:
        TrainingRefused: there are too few illustrations.
        OSError: the folder can't be written.
    """
    count = len(dataset.illustrations)
    if count < split.LEAST:
        raise TrainingRefused(f"There are {count} illustrations, and training needs {split.LEAST}: 30 to 50 are right.")
    small, prints = {}, {}
    pictures = []
    for number, one in enumerate(dataset.illustrations, 1):
        pixels = one.pixels()
        file = f"{PICTURES}/{number:03d}.png"
        write_whole(folder / file, _png(pixels))
        small[one.name] = np.asarray(Image.fromarray(pixels).resize((_SMALL, _SMALL), Image.Resampling.BOX))
        prints[one.name] = fingerprint(view(pixels))
        pictures.append((one, file))
    names = list(prints)
    twins = {names[at] for first, second, _ in near_pairs(list(prints.values())) for at in (first, second)}
    out = split.held_out(small, settings.seed, twins)
    for number, (one, file) in enumerate(pictures, 1):
        if one.name in out:  # a folder as a designer would hand it in: the review takes its originals from it
            write_whole(folder / HELD_OUT / f"{number:03d}.png", (folder / file).read_bytes())
            write_whole(folder / HELD_OUT / f"{number:03d}.txt", f"{one.caption}\n")
    record = Record(
        schema=1,
        onbrand=onbrand_version(),
        versions=versions(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        threads=torch.get_num_threads(),
        base_model=base.manifest.model,
        base=base.id,
        dataset=dataset.digest,
        ground=str(dataset.ground),
        settings=settings,
        plan=str(plan),
        samples=sample_prompts((one.caption for one in dataset.illustrations), settings.seed),
        pictures=tuple(
            PictureRecord(one.name, one.caption, one.digest, file, one.name in out) for one, file in pictures
        ),
    )
    write_record(folder, record)
    return record


def require_same(record: Record, base: Base, dataset: Dataset, choices: Choices) -> None:
    """Do nothing if a run would go on as it began.

    Raises:
        RunChanged: it says what changed.
    """
    changed = [*_changed_base(record, base), *_changed_data(record, dataset), *_changed(record.settings, choices)]
    if changed:
        raise RunChanged(
            f"The run can't go on, because {'; '.join(changed[:4])}{' …' if len(changed) > 4 else ''}. Bring it back as"
            " it was, or train anew in another folder."
        )


def _changed_base(record: Record, base: Base) -> Iterator[str]:
    if record.base != base.id:
        yield (
            f"it began on {record.base_model} with the id {record.base[:12]}, and the base is now"
            f" {base.manifest.model} with the id {base.id[:12]}"
        )


def _changed_data(record: Record, dataset: Dataset) -> Iterator[str]:
    if record.dataset == dataset.digest:
        return
    before = {one.name: one for one in record.pictures}
    now = {one.name: one for one in dataset.illustrations}
    yield from (f"{name} is new" for name in sorted(now.keys() - before.keys()))
    yield from (f"{name} is gone" for name in sorted(before.keys() - now.keys()))
    for name in sorted(now.keys() & before.keys()):
        if now[name].digest != before[name].digest:
            yield f"{name} is another picture"
        elif now[name].caption != before[name].caption:
            yield f"{name} has another caption"


def _changed(settings: TrainingSettings, choices: Choices) -> Iterator[str]:
    for name, value in choices.made.items():
        kept: Any = getattr(settings, name)
        if kept != value:
            yield f"--{name.replace('_', '-')} was {kept} and is now {value}"


def read_picture(folder: Path, picture: PictureRecord) -> np.ndarray:
    """(1024, 1024, 3) uint8: an illustration's normalised copy in the run, compared with its digest.

    Raises:
        RunUnusable: it is missing or damaged.
    """
    try:
        with Image.open(folder / picture.file) as image:  # a truncated one would stay open otherwise
            pixels = np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        pixels = np.zeros((0, 0, 3), np.uint8)
    if hashlib.sha256(pixels.tobytes()).hexdigest() != picture.digest:
        raise RunUnusable(f"The file {picture.file} in {folder} is missing or damaged: bring it back, or train anew.")
    return pixels


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
