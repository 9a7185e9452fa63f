"""What a drawing costs on this machine: the floor, diffusers' pipeline and ours, side by side in one run.

All take turns, so that a drifting machine meets all of them. Two models of this size don't fit beside each other: each
turn loads one, draws once to warm up (of which only the first step counts), draws and reads, and frees it. Showing the
figures is the business of `onbrand.cli.bench`.
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
from onbrand.hidream.benchmark.engines import Candidate, Engine, Ours, Variant, Work
from onbrand.hidream.benchmark.roofline import flops_per_second, wait
from onbrand.hidream.load import Stage
from onbrand.jobs.models import image_seeds
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder

_PROMPT = "a red backpack on a light blue background, study {}"
_SEED = 1
_TOO_LITTLE_MEMORY = "There is too little memory for it on this device."
_LOOKS_APART = 0.05  # seconds between two looks at a process's memory


@dataclass(frozen=True)
class Effort:
    """How much is measured. A row rests on `turns` × `runs` drawings."""

    images: int = 4
    turns: int = 2
    runs: int = 3
    matrix_seconds: float = 0.5


@dataclass
class Row:
    """One candidate's samples, all in seconds, and bytes."""

    name: str
    plan: str = ""  # how it is held, and where
    drawings: list[float] = field(default_factory=list)
    denoisings: list[float] = field(default_factory=list)  # all steps of a drawing
    loads: dict[str, list[float]] = field(default_factory=dict)  # by stage; none where another loads in its place
    first_steps: list[float] = field(default_factory=list)  # from loaded to the end of the first drawing's first step
    new_prompts: list[float] = field(default_factory=list)
    known_prompts: list[float] = field(default_factory=list)  # read before
    peaks: list[int] = field(default_factory=list)
    failure: str = ""  # why there are no figures

    @property
    def seconds(self) -> float | None:
        """The median of the drawings."""
        return statistics.median(self.drawings) if self.drawings else None


@dataclass(frozen=True)
class Bench:
    """What was measured, and where."""

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
    work: Work | None
    rows: tuple[Row, ...]

    @property
    def floor(self) -> float | None:
        """Seconds that a drawing takes at least: at the best speed that was seen."""
        return None if self.work is None else self.work.total / max(self.flops_per_second)


def device() -> torch.device:
    """Where a model is loaded on this machine."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def measure(
    base: Base,
    pack: BrandPack,
    candidates: Sequence[Candidate],
    effort: Effort,
    *,
    artefacts: Folder | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure the candidates; `tell` hears what is being done. A candidate that doesn't fit gets a row that says so.

    Ours loads from `artefacts` what is derived already, as a worker does.

    Raises:
        WeightsMissing, WeightsUnusable: the base or the pack cannot be used.
    """
    where = device()
    dtype = torch.bfloat16 if where.type == "cuda" else torch.float32
    load_before = os.getloadavg()[0]
    meter = _Meter(base, pack, artefacts, where, effort)
    rows = {candidate: Row(candidate.name) for candidate in candidates}
    speeds = []
    for turn in range(effort.turns):
        for candidate, row in list(rows.items())[:: -1 if turn % 2 else 1]:  # to and fro: the machine may slow down
            if row.failure:
                continue
            tell(f"Turn {turn + 1} of {effort.turns}: {candidate.name}")
            speeds.append(flops_per_second(where, dtype, seconds=effort.matrix_seconds))
            meter.fill(row, candidate)
    manifest = pack.manifest
    return Bench(
        model=base.manifest.model,
        base=str(base.folder),
        effort=effort,
        steps=manifest.steps,
        guidance_scale=manifest.guidance_scale,
        device=torch.cuda.get_device_name(where) if where.type == "cuda" else "CPU",
        machine=_machine(),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__, "python": platform.python_version()},
        load_average=(load_before, os.getloadavg()[0]),
        dtype=str(dtype).removeprefix("torch."),
        flops_per_second=tuple(speeds),
        work=meter.work,
        rows=tuple(rows.values()),
    )


class _Meter:
    """Fills rows with samples, one candidate in memory at a time."""

    def __init__(
        self, base: Base, pack: BrandPack, artefacts: Folder | None, device: torch.device, effort: Effort
    ) -> None:
        self.work: Work | None = None
        self._base, self._pack, self._artefacts = base, pack, artefacts
        self._device, self._effort = device, effort
        self._prompts = (_PROMPT.format(number) for number in itertools.count())  # each is new to every cache

    def fill(self, row: Row, candidate: Candidate) -> None:
        """One turn of one candidate."""
        try:
            self._take_turn(row, candidate)
        except (torch.OutOfMemoryError, GpuMemory):
            row.failure = _TOO_LITTLE_MEMORY
        except (WeightsMissing, WeightsUnusable):
            raise  # no other candidate could use these weights either
        except SetupError as error:
            row.failure = error.message
        # Outside the handlers: a traceback would hold on to the tensors.
        if candidate.variant is Variant.COMPILED:
            torch.compiler.reset()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _take_turn(self, row: Row, candidate: Candidate) -> None:
        stages: list[Stage] = []
        with _peak(self._device, row.peaks):
            engine = candidate.load(self._base, self._pack, self._artefacts, self._device, stages.append)
            wait(self._device)
            row.first_steps.append(self._drawn(engine)[0])
            for _ in range(self._effort.runs):
                _, denoising, drawing = self._drawn(engine)
                row.denoisings.append(denoising)
                row.drawings.append(drawing)
            prompt = next(self._prompts)
            row.new_prompts.append(self._read(engine, prompt))
            row.known_prompts.append(self._read(engine, prompt))
        for stage in stages:
            row.loads.setdefault(stage.name, []).append(stage.seconds)
        if isinstance(engine, Ours):
            row.plan = str(engine.illustrator.plan)
            self.work = self.work or engine.work(prompt, self._effort.images)

    def _drawn(self, engine: Engine) -> tuple[float, float, float]:
        """Seconds of one drawing: until its first step was done, of all its steps, and of all of it."""
        at: list[float] = []
        started = time.perf_counter()
        seeds = image_seeds(_SEED)[: self._effort.images]
        engine.draw(next(self._prompts), seeds, lambda _: at.append(time.perf_counter()))
        return at[1] - started, at[-1] - at[0], time.perf_counter() - started

    def _read(self, engine: Engine, prompt: str) -> float:
        started = time.perf_counter()
        engine.read(prompt)
        wait(self._device)
        return time.perf_counter() - started


@contextmanager
def _peak(device: torch.device, peaks: list[int]) -> Iterator[None]:
    """Append the most memory that was in use, in bytes: of a GPU what torch allocated, else the whole process's."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield
        peaks.append(torch.cuda.max_memory_allocated(device))
        return
    process, is_over, most = psutil.Process(), threading.Event(), [0]

    def look() -> None:
        while not is_over.wait(_LOOKS_APART):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()
    peaks.append(max(most[0], process.memory_info().rss))


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.platform()}"
