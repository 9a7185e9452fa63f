"""Measure speed and memory on this machine: the roofline, diffusers' pipeline and ours, in one run.

The candidates take turns, so that a machine that becomes slower affects all of them. Two models of this size do not fit
into memory together. Therefore each turn loads one model, draws once as warm-up (only the time to its first step is
used), measures, and frees the model. `onbrand.cli.bench` shows the figures.
"""

from __future__ import annotations

import gc
import itertools
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import diffusers
import psutil
import torch

from onbrand.errors import GpuMemory, SetupError, WeightsMissing, WeightsUnusable
from onbrand.hidream.benchmark.engines import Candidate, Engine, FlopCounts, OnbrandEngine, Variant
from onbrand.hidream.benchmark.roofline import flops_per_second, synchronize
from onbrand.hidream.load import Stage
from onbrand.jobs.models import image_seeds
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder

_PROMPT = "a red backpack on a light blue background, study {}"
_SEED = 1
_TOO_LITTLE_MEMORY = "The memory of this device is too small for it."
_MEMORY_SAMPLE_SECONDS = 0.05


@dataclass(frozen=True)
class Effort:
    """How much is measured: each result has `turns` × `runs` calls of `draw`."""

    images: int = 4
    turns: int = 2
    runs: int = 3
    matrix_seconds: float = 0.5


@dataclass
class CandidateResult:
    """The samples of one candidate, in seconds or bytes."""

    name: str
    plan: str = ""  # its precision and placement
    drawings: list[float] = field(default_factory=list)
    denoisings: list[float] = field(default_factory=list)  # all steps of one call
    loads: dict[str, list[float]] = field(default_factory=dict)  # by part of loading; empty if it could not be measured
    first_steps: list[float] = field(default_factory=list)  # from loaded to the end of the first step
    new_prompts: list[float] = field(default_factory=list)
    known_prompts: list[float] = field(default_factory=list)  # prompts that were encoded before
    peaks: list[int] = field(default_factory=list)
    failure: str = ""  # why there are no samples

    @property
    def seconds(self) -> float | None:
        """The median seconds of a call."""
        return statistics.median(self.drawings) if self.drawings else None


@dataclass(frozen=True)
class BenchmarkResult:
    """All samples, and the machine on which they were measured."""

    model: str
    base: str  # where the weights are, or that they are random
    effort: Effort
    steps: int
    guidance_scale: float
    device: str
    machine: str
    versions: Mapping[str, str]
    load_average: tuple[float, float]  # before and after
    dtype: str
    flops_per_second: tuple[float, ...]
    work: FlopCounts | None
    rows: tuple[CandidateResult, ...]

    @property
    def roofline_seconds(self) -> float | None:
        """The minimum seconds of a call: its operations at the best speed that was measured."""
        return None if self.work is None else self.work.total / max(self.flops_per_second)


def device() -> torch.device:
    """The device on which models are loaded on this machine."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(
    base: Base,
    pack: BrandPack,
    candidates: Sequence[Candidate],
    effort: Effort,
    *,
    prepared_folder: Folder | None = None,
    on_status: Callable[[str], None] = lambda _: None,
) -> BenchmarkResult:
    """Measure the candidates. A candidate that cannot be loaded gets a result that says why.

    `on_status` is called with a sentence about what is measured now. Our pipeline uses prepared weights from
    `prepared_folder`, as a worker does.

    Raises:
        WeightsMissing, WeightsUnusable: the base or the pack cannot be used.
    """
    target = device()
    dtype = torch.bfloat16 if target.type == "cuda" else torch.float32
    load_before = os.getloadavg()[0]
    meter = _Meter(base, pack, prepared_folder, target, effort)
    rows = {candidate: CandidateResult(candidate.name) for candidate in candidates}
    speeds = []
    for turn in range(effort.turns):
        for candidate, row in list(rows.items())[:: -1 if turn % 2 else 1]:  # reversed in every second turn
            if row.failure:
                continue
            on_status(f"Turn {turn + 1} of {effort.turns}: {candidate.name}")
            speeds.append(flops_per_second(target, dtype, seconds=effort.matrix_seconds))
            meter.measure(row, candidate)
    manifest = pack.manifest
    return BenchmarkResult(
        model=base.manifest.model,
        base=str(base.folder),
        effort=effort,
        steps=manifest.steps,
        guidance_scale=manifest.guidance_scale,
        device=torch.cuda.get_device_name(target) if target.type == "cuda" else "CPU",
        machine=_machine(),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__, "python": platform.python_version()},
        load_average=(load_before, os.getloadavg()[0]),
        dtype=str(dtype).removeprefix("torch."),
        flops_per_second=tuple(speeds),
        work=meter.work,
        rows=tuple(rows.values()),
    )


class _Meter:
    """Adds samples to results. Only one candidate is in memory at a time."""

    def __init__(
        self, base: Base, pack: BrandPack, prepared_folder: Folder | None, device: torch.device, effort: Effort
    ) -> None:
        self.work: FlopCounts | None = None
        self._base, self._pack, self._prepared_folder = base, pack, prepared_folder
        self._device, self._effort = device, effort
        self._prompts = (_PROMPT.format(number) for number in itertools.count())  # every prompt is new to the cache

    def measure(self, row: CandidateResult, candidate: Candidate) -> None:
        """Measure one turn of one candidate."""
        try:
            self._run_turn(row, candidate)
        except (torch.OutOfMemoryError, GpuMemory):
            row.failure = _TOO_LITTLE_MEMORY
        except (WeightsMissing, WeightsUnusable):
            raise  # no other candidate could use these weights either
        except SetupError as error:
            row.failure = error.message
        # Outside the handlers, because a traceback keeps the tensors in memory.
        if candidate.variant is Variant.COMPILED:
            torch.compiler.reset()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _run_turn(self, row: CandidateResult, candidate: Candidate) -> None:
        stages: list[Stage] = []
        with _peak(self._device, row.peaks):
            engine = candidate.load(self._base, self._pack, self._prepared_folder, self._device, stages.append)
            synchronize(self._device)
            row.first_steps.append(self._time_drawing(engine)[0])
            for _ in range(self._effort.runs):
                _, denoising, drawing = self._time_drawing(engine)
                row.denoisings.append(denoising)
                row.drawings.append(drawing)
            prompt = next(self._prompts)
            row.new_prompts.append(self._time_encoding(engine, prompt))
            row.known_prompts.append(self._time_encoding(engine, prompt))
        for stage in stages:
            row.loads.setdefault(stage.name, []).append(stage.seconds)
        if isinstance(engine, OnbrandEngine):
            row.plan = str(engine.pipeline.plan)
            self.work = self.work or engine.work(prompt, self._effort.images)

    def _time_drawing(self, engine: Engine) -> tuple[float, float, float]:
        """Draw once. Return the seconds until the first step was done, of all steps, and of the whole call."""
        at: list[float] = []
        started = time.perf_counter()
        seeds = image_seeds(_SEED)[: self._effort.images]
        engine.draw(next(self._prompts), seeds, lambda _: at.append(time.perf_counter()))
        return at[1] - started, at[-1] - at[0], time.perf_counter() - started

    def _time_encoding(self, engine: Engine, prompt: str) -> float:
        started = time.perf_counter()
        engine.encode(prompt)
        synchronize(self._device)
        return time.perf_counter() - started


@contextmanager
def _peak(device: torch.device, peaks: list[int]) -> Iterator[None]:
    """Append the peak memory of the `with` block, in bytes: torch's on a GPU, the whole process's on a CPU."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield
        peaks.append(torch.cuda.max_memory_allocated(device))
        return
    process, is_over, peak = psutil.Process(), threading.Event(), [0]

    def sample() -> None:
        while not is_over.wait(_MEMORY_SAMPLE_SECONDS):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=sample, name="memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    peaks.append(max(peak[0], process.memory_info().rss))


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}"
