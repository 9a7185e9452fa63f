"""`onbrand train`: from a folder of illustrations to LoRAs, one for each checkpoint, with a report.

The order is the memory's: the pictures' encoder, then the text encoders, each freed before the next; then the
transformer, which stays, with the small decoder for samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from onbrand.config import PrecisionChoice
from onbrand.dataset.reader import Dataset
from onbrand.errors import DataDirUnwritable, NotEnoughMemory, TrainingRefused
from onbrand.hidream.load import load_decoder
from onbrand.hidream.memory import GIB
from onbrand.packs.base import Base
from onbrand.training.begin import begin, require_same
from onbrand.training.cache import Cache
from onbrand.training.ema import Average, trained
from onbrand.training.examples import Examples, example_loss, held_out_loss
from onbrand.training.kept import LORA, SIGMAS, Checkpoint, folder_of, read_checkpoints, write_figures, write_samples
from onbrand.training.loop import Pace, Training, run
from onbrand.training.lora import write_lora
from onbrand.training.optimiser import Optimiser
from onbrand.training.progress import Line, Progress
from onbrand.training.record import STATE, Record, has_begun, locked, read_record, versions
from onbrand.training.report import write_report
from onbrand.training.samples import Sampler, averaged
from onbrand.training.schedule import Schedule
from onbrand.training.settings import Choices, TrainingSettings, make_settings
from onbrand.training.workplace import (
    Place,
    Tell,
    encoded,
    load_trainable,
    open_place,
    plan_for,
    precisions,
    repeatable,
)

SHEET_PROMPTS = 4  # of the run's samples
_BETAS = (0.9, 0.99)


def train(
    base: Base,
    dataset: Dataset,
    folder: Path,
    choices: Choices,
    *,
    precision: PrecisionChoice = PrecisionChoice.AUTO,
    is_resumed: bool = False,
    directory: Path | None = None,
    tell: Tell = lambda _what, _done, _total: None,
    on_line: Callable[[Line], None] = lambda _: None,
    pace: Pace | None = None,
) -> tuple[int, int]:
    """Train in `folder`, from where the run stands; returns the steps done, and how many there are in all.

    A run that was killed at any instant goes on with `is_resumed`, and ends on a CPU with the same bytes.

    Raises:
        TrainingRefused: the folder is in use, the model is distilled, there are too few illustrations.
        RunChanged: a run would go on with something else than it began with.
        NotEnoughMemory: it does not fit; nothing was loaded.
        TrainingDiverged: the loss is no longer a number.
        DataDirUnwritable: the folder can't be written.
        WeightsMissing, WeightsUnusable: the base can't be used.
    """
    place = open_place(base, directory)
    _require_apart(folder, dataset)
    with explained(folder):
        _begun(folder, is_resumed=is_resumed)  # before the lock, which is a file in the folder
        with locked(folder):
            record = _begun(folder, is_resumed=is_resumed)
            if record is not None:
                require_same(record, base, dataset, choices)
            with repeatable(record.threads if record else torch.get_num_threads()):
                return _train(folder, record, place, dataset, choices, precision, tell, on_line, pace or Pace())


def _train(
    folder: Path,
    record: Record | None,
    place: Place,
    dataset: Dataset,
    choices: Choices,
    precision: PrecisionChoice,
    tell: Tell,
    on_line: Callable[[Line], None],
    pace: Pace,
) -> tuple[int, int]:
    chosen = precisions(place.model, precision, record)
    count = len(dataset.illustrations)
    settings = record.settings if record else make_settings(place.row, choices, count, chosen[0])
    plan = plan_for(place, chosen, settings)
    if record is None:
        record = begin(folder, place.base, dataset, replace(settings, precision=plan.precision), plan)
    tell(f"Plan: {plan}; {plan.free / GIB:.1f} free", 0, 0)
    for name, version in versions().items():
        if record.versions.get(name) != version:
            began = record.versions.get(name)
            tell(f"{name} was {began} and is now {version}: the last digits of the end may differ", 0, 0)
    cache = encoded(folder, record, place, plan, tell)
    return _loop(folder, record, place, cache, on_line, pace), record.settings.steps


def _begun(folder: Path, *, is_resumed: bool) -> Record | None:
    """The run that goes on; None if one begins.

    Raises:
        TrainingRefused: there is a run and nobody said that it goes on, or something else is in the folder.
        RunUnusable: the run's record can't be read.
    """
    if not has_begun(folder):
        return None
    if not is_resumed:
        raise TrainingRefused(f"There is a run in {folder} already: add --resume to go on, or name another folder.")
    return read_record(folder)


def _require_apart(folder: Path, dataset: Dataset) -> None:
    """The designer's folder is never written to."""
    run = folder.resolve()
    for data in {one.path.resolve().parent for one in dataset.illustrations}:
        if run == data or data in run.parents:
            raise TrainingRefused(f"{folder} is within the folder of the illustrations: name a folder outside of it.")


def make_training(transformer: Any, examples: Examples, settings: TrainingSettings) -> Training:
    """What the loop runs."""
    optimiser = Optimiser(
        [],
        trained(transformer).values(),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=_BETAS,
    )
    schedule = Schedule(settings.warmup, decay_from=settings.steps)  # constant to its end: the average is what settles
    return Training(
        transformer,
        optimiser,
        Average(transformer, settings.average_window),
        example_loss(transformer, examples, settings),
        settings.batch,
        schedule,
        settings.seed,
        settings.gradient_limit,
    )


def _loop(folder: Path, record: Record, place: Place, cache: Cache, on_line: Callable[[Line], None], pace: Pace) -> int:
    settings = record.settings
    transformer = load_trainable(place, settings)
    decoder = load_decoder(place.base, place.model, settings.precision, place.device, lambda _: None)
    sampler = Sampler(place.model, transformer, decoder, cache, settings.side)
    training = make_training(transformer, Examples(record.captions(is_held_out=False), cache), settings)

    def on_milestone(step: int, average: Average, progress: Progress) -> None:
        write_lora(folder_of(folder, step) / LORA, average.weights, settings.rank, settings.alpha)
        samples = record.samples[:SHEET_PROMPTS]
        with averaged(transformer, average.weights):
            held_out = held_out_loss(transformer, record.captions(is_held_out=True), cache, SIGMAS, settings.seed)
            images = [Image.fromarray(sampler.draw(one.prompt, one.seed)) for one in samples]
        write_samples(folder, step, images, [one.prompt for one in samples])
        before = max((one.step for one in read_checkpoints(folder) if one.step < step), default=0)
        losses = progress.losses[before:]
        write_figures(folder, Checkpoint(step, sum(losses) / len(losses), tuple(held_out.values())))
        to_go = progress.line(step, step * settings.batch).seconds_to_go
        whole = [one for one in read_checkpoints(folder) if one.step <= step]
        write_report(folder, record, whole, progress.losses, to_go)

    return run(
        training,
        folder / STATE,
        pace=replace(pace, milestone=settings.checkpoint_every),
        on_line=on_line,
        on_milestone=on_milestone,
    )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """A full disk and a GPU that ran out become one line each."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise DataDirUnwritable(
            f"{folder} can't be written ({why}). Free some space or name another folder; a run that had begun goes on"
            " with --resume."
        ) from error
    except torch.OutOfMemoryError as error:
        raise NotEnoughMemory(
            "The GPU's memory ran out although the plan fitted. End what else uses the GPU, or set"
            " ONBRAND_PRECISION=int8 and train anew."
        ) from error
