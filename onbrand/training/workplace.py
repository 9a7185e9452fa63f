"""Where a run works: the base and the device, what fits there, and what is loaded for training and for evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from onbrand.config import PrecisionChoice
from onbrand.errors import NotEnoughMemory, PrecisionUnsupported, RunChanged, TrainingRefused
from onbrand.hidream.decoding.load_vae import scale_factor
from onbrand.hidream.load import free_memory
from onbrand.hidream.memory import Sizes
from onbrand.hidream.models import MODELS, LoraTraining, Model, Precision
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from onbrand.training.begin import read_picture
from onbrand.training.cache import Cache, Encoders, cache_key, read_cache, write_cache
from onbrand.training.lora import add_lora
from onbrand.training.plan import Shape, TrainingPlan, plan_training, trainable_transformer
from onbrand.training.record import CACHE, PictureRecord, Record
from onbrand.training.settings import TrainingSettings

_MOST_ON_A_CPU = 8 * 10**9  # bytes of weights, as in `onbrand bench`

Tell = Callable[[str, int, int], None]  # what is done, how many are done, of how many (0: not known)


@dataclass(frozen=True)
class Place:
    """Where a run works: the base, the device, and a directory for small files of a base in the object store."""

    base: Base
    model: Model
    row: LoraTraining
    device: torch.device
    directory: Path | None = None


def open_place(base: Base, directory: Path | None = None) -> Place:
    """The base on the device that there is.

    Raises:
        TrainingRefused: the model is unknown or distilled.
    """
    model = MODELS.get(base.manifest.model)
    if model is None:
        raise TrainingRefused(f"This is a model that this version can't train on; it has {', '.join(MODELS)}.")
    if model.training is None:
        known = " or ".join(name for name, one in MODELS.items() if one.training is not None)
        raise TrainingRefused(
            f"{model.title} is distilled, and training undoes that. Train on {known} (ONBRAND_MODEL); the LoRA can be"
            " built into a pack for this model afterwards."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Place(base, model, model.training, device, directory)


def plan_for(place: Place, precisions: list[Precision], settings: TrainingSettings) -> TrainingPlan:
    """How the training fits into the memory that is free now.

    Raises:
        NotEnoughMemory: it does not.
    """
    base, model, row = place.base, place.model, place.row
    shape = Shape(settings.side, scale_factor(base), 3 * model.text_slots, settings.at_once, settings.rank)
    config = json.loads(base.read("transformer/config.json"))
    is_gpu = place.device.type == "cuda"
    sizes, free = Sizes.of(base), free_memory(place.device)
    if not is_gpu and sizes.transformer > _MOST_ON_A_CPU:
        raise NotEnoughMemory(
            f"{model.title} would take months on a CPU: train on a machine with a GPU of 24 GB or more."
        )
    return plan_training(config, sizes, row, shape, precisions, free, is_gpu=is_gpu)


def precisions(model: Model, choice: PrecisionChoice, record: Record | None) -> list[Precision]:
    """The base's precisions to be tried, the best first; a run that goes on has the one it began with.

    Raises:
        PrecisionUnsupported: the model does not support the chosen one.
        RunChanged: the run began with another one than the chosen one.
    """
    if record is not None:
        began = record.settings.precision
        if choice is not PrecisionChoice.AUTO and choice.value != began.value:
            raise RunChanged(
                f"The run can't go on, because it began in {began} and ONBRAND_PRECISION is {choice.value}: unset it."
            )
        return [began]
    if choice is not PrecisionChoice.AUTO:
        wanted = Precision(choice.value)
        if wanted not in model.precisions:
            raise PrecisionUnsupported(f"{model.title} can't be trained in {wanted}: unset ONBRAND_PRECISION.")
        return [wanted]
    if torch.cuda.is_available():
        return [one for one in model.precisions if one is not Precision.FLOAT32] or list(model.precisions)
    return [Precision.FLOAT32]


def encoded(folder: Path, record: Record, place: Place, plan: TrainingPlan, tell: Tell) -> Cache:
    """Latents and embeddings of the run: those that were kept, or new ones, which are kept."""
    settings = record.settings
    # A GPU's encoders stay in 16 bit also where the base is in 8.
    precision = Precision.FLOAT32 if settings.precision is Precision.FLOAT32 else Precision.BFLOAT16
    key = cache_key(place.base, precision, record.dataset, settings.side, settings.prompt_suffix, record.prompts)
    kept = read_cache(folder / CACHE, key)
    if kept is not None:
        return kept
    encoders = Encoders(place.base, place.model, precision, place.device, plan.are_encoders_resident, place.directory)

    def pixels(picture: PictureRecord) -> Callable[[], np.ndarray]:
        return lambda: resized(read_picture(folder, picture), settings.side)

    cache = encoders.encode(
        {one.name: pixels(one) for one in record.pictures}, record.prompts, settings.prompt_suffix, tell
    )
    write_cache(folder / CACHE, key, cache)
    return cache


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    if pixels.shape[0] == side:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))


def load_trainable(place: Place, settings: TrainingSettings) -> Any:
    """The base's transformer with a LoRA that changes nothing yet, in evaluation mode on the device."""
    config = json.loads(place.base.read("transformer/config.json"))
    transformer = trainable_transformer(config, settings.precision).to_empty(device=place.device).eval()
    load_state(transformer, stream_tensors(place.base.folder, place.base.within("transformer")))
    add_lora(transformer, place.row.targets, settings.rank, settings.alpha, settings.seed)
    if place.device.type == "cuda":
        transformer.enable_gradient_checkpointing()
    return transformer


@contextmanager
def repeatable(threads: int) -> Iterator[None]:
    """The same sums in the same order each time, as far as the device can: a CPU can, bit for bit.

    Without it the way back through routed experts adds up with atomic additions, whose order is random.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(not torch.cuda.is_available())
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
