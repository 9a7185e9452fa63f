"""What `onbrand bench` prints: a Markdown table for people, and JSON for scripts. It judges no figure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from onbrand.hidream.models import MODELS

if TYPE_CHECKING:
    from onbrand.hidream.benchmark.measure import BenchmarkResult, CandidateResult

SCHEMA = 1  # of the JSON document
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


def as_json(measured: BenchmarkResult) -> str:
    """One JSON document, in seconds, bytes and floating-point operations. A figure that was not measured is null."""
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
    """A Markdown table, with what was measured and on which machine above it."""
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
