"""What a training run is told, or takes from the model's row: all of it is kept with the run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from onbrand.errors import ConfigError
from onbrand.hidream.models import LoraTraining, Precision
from onbrand.jobs.models import IMAGE_SIZE
from onbrand.packs.manifest import canonical
from onbrand.storage.files import STRICT

PROMPT_SUFFIX = ", onbrand style"


@dataclass(frozen=True)
class TrainingSettings:
    """All settings of a run. Two runs with the same settings, data and base are the same run."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    prompt_suffix: Annotated[str, Field(min_length=1, max_length=200)]  # the trigger, after every caption
    precision: Precision  # of the base; the LoRA is in float32
    steps: Annotated[int, Field(ge=1, le=100_000)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    batch: Annotated[int, Field(ge=1, le=1024)]  # pictures of one step
    at_once: Annotated[int, Field(ge=1, le=1024)]  # of them in one pass
    checkpoint_every: Annotated[int, Field(ge=1)]  # steps
    warmup: Annotated[int, Field(ge=0)]  # steps
    time_shift: Annotated[float, Field(gt=0, le=20)]  # above 1: more of the training at high noise
    average_window: Annotated[float, Field(ge=1)]  # steps that count for the weights that are kept
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    rank: Annotated[int, Field(ge=1, le=512)] = 16
    alpha: Annotated[float, Field(gt=0, le=100_000)] = 16.0
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    caption_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of captions left out, for guidance
    gradient_limit: Annotated[float, Field(gt=0)] = 1.0
    side: Annotated[int, Field(ge=64, le=IMAGE_SIZE)] = IMAGE_SIZE  # pixels


@dataclass(frozen=True)
class Choices:
    """What somebody chose; None: what the model's row says, or what the run began with."""

    prompt_suffix: str | None = None
    steps: int | None = None
    learning_rate: float | None = None
    rank: int | None = None
    seed: int | None = None
    # Without an option of the command: for tests.
    batch: int | None = None
    at_once: int | None = None
    checkpoint_every: int | None = None
    warmup: int | None = None
    side: int | None = None

    @property
    def made(self) -> dict[str, Any]:
        """Those that were made, by the setting's name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def make_settings(row: LoraTraining, choices: Choices, pictures: int, precision: Precision) -> TrainingSettings:
    """The settings of a new run on so many pictures. Alpha is the rank, as in the recipes that were compared.

    Raises:
        ConfigError: a choice is outside its limits.
    """
    steps = min(max(row.steps_per_picture * pictures, row.least_steps), row.most_steps)
    usual = TrainingSettings(
        prompt_suffix=PROMPT_SUFFIX,
        precision=precision,
        steps=steps,
        learning_rate=row.learning_rate,
        batch=row.batch,
        at_once=row.at_once,
        checkpoint_every=row.checkpoint_every,
        warmup=row.warmup,
        time_shift=row.time_shift,
        average_window=row.average_window,
        seed=1,
    )
    chosen = replace(usual, **choices.made, alpha=float(choices.rank or usual.rank))
    try:
        return TypeAdapter(TrainingSettings).validate_json(canonical(asdict(chosen)))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        option = "--" + str(first["loc"][-1]).replace("_", "-")
        raise ConfigError(f"A training can't have this {option} ({first['msg']}).") from None
