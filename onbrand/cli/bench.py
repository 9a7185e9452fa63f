"""`onbrand bench`: measures how long this machine takes to draw four pictures.

This file chooses what is measured. `hidream.benchmark` measures, and `bench_report` prints the figures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from onbrand.cli import bench_report
from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import ModelName, Settings, load_settings
from onbrand.errors import ConfigError
from onbrand.hidream.models import MODELS, Precision

if TYPE_CHECKING:
    from onbrand.hidream.benchmark.measure import BenchmarkResult
    from onbrand.packs.base import Base
    from onbrand.packs.manifest import BrandPack

Name = TypeVar("Name", bound=StrEnum)
_MAX_CPU_WEIGHT_BYTES = 8 * 10**9  # with more weights than this, a CPU takes hours


def bench_command(
    model: Annotated[ModelName | None, typer.Option(help="The model. Default: ONBRAND_MODEL.")] = None,
    model_path: Annotated[
        str | None, typer.Option(help="The folder of the model's base. Default: ONBRAND_MODEL_PATH.")
    ] = None,
    is_random: Annotated[
        bool, typer.Option("--random", help="Random weights of HiDream-I1's size, which need no download.")
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(metavar="NAME,…", help="bfloat16, int8, float32. Default: those that suit the device."),
    ] = None,
    also: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Other ways to compute the same pictures: compiled, loop.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, max=4, help="Pictures that are drawn together in one run.")] = 4,
    steps: Annotated[int | None, typer.Option(min=1, max=200, help="Denoising steps. Default: the pack's.")] = None,
    turns: Annotated[
        int, typer.Option(min=1, max=100, help="How many times each precision and variant is loaded and measured.")
    ] = 2,
    runs: Annotated[int, typer.Option(min=1, max=100, help="Runs per turn.")] = 3,
    force: Annotated[bool, typer.Option("--force", help="Measure a large model even on a CPU.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how fast this machine draws, and compare it with diffusers and with what its hardware allows at best."""
    from rich.console import Console

    silence_logs()
    settings = load_settings()
    is_other = model is not None and model is not settings.model
    chosen = settings.model_copy(
        update={
            "model": model or settings.model,
            "model_path": model_path or (None if is_other else settings.model_path),
        }
    )
    choice = Choice(precision, also, images, steps, turns, runs, is_random, force)
    waiting = Console(stderr=True)
    with waiting.status("Measuring") as status:
        measured = bench(chosen, choice, status.update if waiting.is_terminal else waiting.print)
    typer.echo(bench_report.as_json(measured) if as_json else bench_report.as_table(measured))


@dataclass(frozen=True)
class Choice:
    """What to measure."""

    precisions: str | None = None  # separated by commas; default: those that suit the device
    variants: str | None = None  # of `engines.Variant`, separated by commas: measured besides the plain form
    images: int = 4
    steps: int | None = None  # default: the pack's
    turns: int = 2
    runs: int = 3
    is_random: bool = False
    is_forced: bool = False


def bench(settings: Settings, choice: Choice, tell: Callable[[str], None]) -> BenchmarkResult:
    """Measure the configured model, with its bundled pack or with a random LoRA.

    `tell` is called with a short text when a step starts.

    Raises:
        ConfigError: a precision or a variant is unknown, the model has no configuration for random weights, or it is
            too large for a CPU.
        WeightsMissing, WeightsUnusable: the base cannot be read.
        ObjectStoreRefused, ObjectStoreUnreachable: the object store with the base refuses us, or does not answer.
    """
    precisions = _chosen(choice.precisions, Precision)
    tell("Loading torch and diffusers")
    from onbrand.hidream.benchmark import measure as measuring
    from onbrand.hidream.benchmark.engines import Variant, candidates, with_steps
    from onbrand.hidream.benchmark.random_base import random_pack
    from onbrand.storage.files import derived_folder

    variants = _chosen(choice.variants, Variant)
    base = _base(settings, choice, tell)
    with TemporaryDirectory(prefix="onbrand-") as directory:
        pack = _bundled(base) or random_pack(base, Path(directory))
        rows = candidates(MODELS[base.manifest.model], precisions, variants)
        effort = measuring.Effort(choice.images, choice.turns, choice.runs)
        prepared_folder = derived_folder(settings)
        return measuring.measure(
            base, with_steps(pack, choice.steps), rows, effort, prepared_folder=prepared_folder, on_status=tell
        )


def _base(settings: Settings, choice: Choice, tell: Callable[[str], None]) -> Base:
    from onbrand.hidream.benchmark.configurations import HIDREAM_I1
    from onbrand.hidream.benchmark.random_base import random_base
    from onbrand.packs.base import configured_base

    model = MODELS[settings.model.value]
    if not choice.is_random:
        base = configured_base(settings)
        _refuse_cpu(model.title, sum(file.size for file in base.manifest.files), choice)
        return base
    if model.text != "hidream":
        raise ConfigError(f"{model.title} comes with its own weights: leave out --random.")
    _refuse_cpu(model.title, 2 * sum(part.parameters for part in model.components.values()), choice)
    tell("Making random weights")
    return random_base(settings.model.value, HIDREAM_I1)


def _refuse_cpu(title: str, size: int, choice: Choice) -> None:
    from onbrand.hidream.benchmark.measure import device

    if size > _MAX_CPU_WEIGHT_BYTES and device().type == "cpu" and not choice.is_forced:
        raise ConfigError(
            f"{title} has {size / 1e9:.0f} GB of weights, and there is no GPU here: run this on a machine with one, or"
            " add --force and wait for hours."
        )


def _bundled(base: Base) -> BrandPack | None:
    from onbrand.packs.manifest import MANIFEST, SAMPLE, load_pack
    from onbrand.storage.files import LocalFolder

    if not isinstance(base.folder, LocalFolder) or not (base.folder.directory / SAMPLE / MANIFEST).is_file():
        return None
    return load_pack(base.folder.directory / SAMPLE)


def _chosen(names: str | None, known: type[Name]) -> tuple[Name, ...]:
    """Turn names separated by commas into members of the enumeration `known`."""
    try:
        return () if names is None else tuple(known(name.strip()) for name in names.split(","))
    except ValueError:
        raise ConfigError(f"These can't be measured: {names}. Choose from {', '.join(known)}.") from None
