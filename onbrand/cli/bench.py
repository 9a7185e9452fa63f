"""`onbrand bench`: what a drawing costs here, as a table for people and as JSON for scripts.

It chooses what to measure and shows it. Measuring is `hidream.bench`'s business, and whether the figures are good
enough nobody's: nothing is compared with an aim.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from onbrand.config import Settings
from onbrand.errors import ConfigError
from onbrand.hidream.models import MODELS, Precision
from onbrand.packs.base import Base, configured_base
from onbrand.packs.manifest import MANIFEST, SAMPLE, BrandPack, load_pack
from onbrand.storage.files import LocalFolder, derived_folder

if TYPE_CHECKING:
    from onbrand.hidream.benchmark.measure import BenchmarkResult, CandidateResult

Name = TypeVar("Name", bound=StrEnum)
SCHEMA = 1  # of the JSON document
_GPU_BYTES = 8 * 10**9  # of weights that nobody wants to multiply with on a CPU
_COLUMNS = (
    "",
    "seconds",
    "range",
    "steps/s",
    "× floor",
    "× as fast as stock",
    "GiB at most",
    "s to load",
    "s to first step",
    "ms for a new prompt",
    "ms for a known one",
)


@dataclass(frozen=True)
class Choice:
    """What to measure."""

    precisions: str | None = None  # with commas in between; by default those that suit the device
    variants: str | None = None  # likewise, of `engines.Variant`: measured besides the plain form
    images: int = 4
    steps: int | None = None  # by default the pack's
    turns: int = 2
    runs: int = 3
    is_random: bool = False
    is_forced: bool = False


def bench(settings: Settings, choice: Choice, tell: Callable[[str], None]) -> BenchmarkResult:
    """Measure the settings' model: with the pack that its base brings, or with a random LoRA.

    Raises:
        ConfigError: a precision or a variant isn't one, there is no configuration to fill at random, or the model is
            too large for a CPU.
        WeightsMissing, WeightsUnusable: the base cannot be read.
        ObjectStoreRefused, ObjectStoreUnreachable: its place does not answer.
    """
    precisions = _chosen(choice.precisions, Precision)
    tell("Loading torch and diffusers")
    from onbrand.hidream.benchmark import measure as measuring
    from onbrand.hidream.benchmark.engines import Variant, candidates, with_steps
    from onbrand.hidream.benchmark.random_base import random_pack

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

    model = MODELS[settings.model.value]
    if not choice.is_random:
        base = configured_base(settings)
        _refuse_cpu(model.title, sum(file.size for file in base.manifest.files), choice)
        return base
    if model.text != "hidream":
        raise ConfigError(f"{model.title} is here with its own weights: leave out --random.")
    _refuse_cpu(model.title, 2 * sum(part.parameters for part in model.components.values()), choice)
    tell("Making random weights")
    return random_base(settings.model.value, HIDREAM_I1)


def _refuse_cpu(title: str, size: int, choice: Choice) -> None:
    from onbrand.hidream.benchmark.measure import device

    if size > _GPU_BYTES and device().type == "cpu" and not choice.is_forced:
        raise ConfigError(
            f"{title} has {size / 1e9:.0f} GB of weights, and there is no GPU here: run this on a machine with one, or"
            " add --force, and wait for hours."
        )


def _bundled(base: Base) -> BrandPack | None:
    if not isinstance(base.folder, LocalFolder) or not (base.folder.directory / SAMPLE / MANIFEST).is_file():
        return None
    return load_pack(base.folder.directory / SAMPLE)


def _chosen(names: str | None, known: type[Name]) -> tuple[Name, ...]:
    """The named members of an enumeration, which stand in a row with commas in between."""
    try:
        return () if names is None else tuple(known(name.strip()) for name in names.split(","))
    except ValueError:
        raise ConfigError(f"One of {names} can't be measured: choose among {', '.join(known)}.") from None


def as_json(measured: BenchmarkResult) -> str:
    """One document. Seconds, bytes and floating-point operations; a figure that there is none of is null."""
    document = {
        "schema": SCHEMA,
        "model": measured.model,
        "weights": measured.base,
        "images": measured.effort.images,
        "steps": measured.steps,
        "guidance_scale": measured.guidance_scale,
        "turns": measured.effort.turns,
        "runs": measured.effort.runs,
        "warm_up_drawings_left_out": measured.effort.turns,
        "device": measured.device,
        "machine": measured.machine,
        "versions": dict(measured.versions),
        "load_average": {"before": measured.load_average[0], "after": measured.load_average[1]},
        "floor": {
            "dtype": measured.dtype,
            "flops_per_second": list(measured.flops_per_second),
            "flops": None if measured.work is None else {**asdict(measured.work), "total": measured.work.total},
            "seconds": measured.roofline_seconds,
        },
        "rows": [_row_document(row, measured) for row in measured.rows],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _row_document(row: CandidateResult, measured: BenchmarkResult) -> dict[str, Any]:
    return {
        "name": row.name,
        "plan": row.plan or None,
        "failure": row.failure or None,
        "drawing_seconds": row.drawings,
        "median_seconds": row.seconds,
        "steps_per_second": _steps_per_second(row, measured),
        "times_the_floor": _ratio(row.seconds, measured.roofline_seconds),
        "times_as_fast_as_stock": _ratio(measured.rows[0].seconds, row.seconds),
        "peak_bytes": max(row.peaks, default=None),
        "load_seconds": {stage: statistics.median(samples) for stage, samples in row.loads.items()} or None,
        "first_step_seconds": _median(row.first_steps),
        "prompt_seconds": {"new": _median(row.new_prompts), "known": _median(row.known_prompts)},
    }


def as_table(measured: BenchmarkResult) -> str:
    """Markdown, with what the figures hold for above it."""
    return "\n".join([*_heading(measured), "", *_markdown(_COLUMNS, _cells(measured)), "", *_below(measured)])


def _heading(measured: BenchmarkResult) -> Iterator[str]:
    effort, versions = measured.effort, measured.versions
    before, after = measured.load_average
    yield (
        f"{MODELS[measured.model].title} ({measured.base}): {effort.images} pictures in {measured.steps} steps,"
        f" guidance {measured.guidance_scale:g}. Turns: {effort.turns}, each with {effort.runs} drawings after one to"
        " warm up that is not counted."
    )
    yield (
        f"{measured.device}; {measured.machine}; torch {versions['torch']}, diffusers {versions['diffusers']}, Python"
        f" {versions['python']}; load average {before:.1f} before, {after:.1f} after."
    )
    if measured.work is not None:
        speeds = measured.flops_per_second
        yield (
            f"The floor: {measured.work.total / 1e12:.4g} TFLOP, at the {max(speeds) / 1e12:.3g} TFLOP/s that large"
            f" {measured.dtype} matrices were multiplied with here at best ({min(speeds) / 1e12:.3g} at worst)."
        )


def _cells(measured: BenchmarkResult) -> Iterator[list[str]]:
    if measured.roofline_seconds is not None:
        rate = f"{measured.steps / measured.roofline_seconds:.3g}"
        yield ["floor", f"{measured.roofline_seconds:.3g}", "", rate, "1", *[""] * (len(_COLUMNS) - 5)]
    for row in measured.rows:
        if row.failure:
            yield [row.name, row.failure, *[""] * (len(_COLUMNS) - 2)]
            continue
        loads = sum(statistics.median(samples) for samples in row.loads.values())
        yield [
            row.name,
            _shown(row.seconds),
            f"{min(row.drawings):.3g} to {max(row.drawings):.3g}",
            _shown(_steps_per_second(row, measured)),
            _shown(_ratio(row.seconds, measured.roofline_seconds)),
            _shown(_ratio(measured.rows[0].seconds, row.seconds)),
            f"{max(row.peaks) / 2**30:.3g}",
            _shown(loads or None),
            _shown(_median(row.first_steps)),
            _shown(_median(row.new_prompts), 1000),
            _shown(_median(row.known_prompts), 1000),
        ]


def _below(measured: BenchmarkResult) -> Iterator[str]:
    for row in measured.rows:
        stages = ", ".join(f"{stage} {statistics.median(samples):.2f}" for stage, samples in row.loads.items())
        said = "; ".join(text for text in (row.plan, stages and f"seconds to load: {stages}") if text)
        if said:
            yield f"{row.name}: {said}."


def _markdown(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def _steps_per_second(row: CandidateResult, measured: BenchmarkResult) -> float | None:
    return _ratio(float(measured.steps), _median(row.denoisings))


def _median(samples: Sequence[float]) -> float | None:
    return statistics.median(samples) if samples else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _shown(figure: float | None, factor: float = 1) -> str:
    return "" if figure is None else f"{figure * factor:.3g}"
