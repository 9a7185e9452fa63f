"""The training loop: steps, checkpoints by the clock, sample sheets, and an end that may be set later.

It knows neither what is trained nor on what: `Training.loss` says that. Kill it at any instant and call it again: it
goes on from the newest checkpoint, and ends with the same bytes as if it had never stopped.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onbrand.errors import TrainingDiverged
from onbrand.training.checkpoints import load_newest, save_checkpoint
from onbrand.training.ema import Average, trained
from onbrand.training.optimiser import Optimiser, clip
from onbrand.training.progress import Line, Progress
from onbrand.training.schedule import Schedule


@dataclass
class Training:
    """What is trained, and how one step's loss comes about."""

    network: nn.Module
    optimiser: Optimiser
    average: Average
    # Of a step, with that step's own generator: a scalar, or its parts. Each part is sent back before the next.
    loss: Callable[[int, torch.Generator], Tensor | Iterable[Tensor]]
    batch: int
    schedule: Schedule
    seed: int
    gradient_limit: float = 1.0


@dataclass(frozen=True)
class Pace:
    """How often the loop stops to write, in seconds; the first sheet comes after the first `sheet` seconds.

    `milestone` is in steps: at each multiple, and at the end, something is kept for good.
    """

    checkpoint: float = 300.0
    sheet: float = 1200.0
    line: float = 20.0
    milestone: int | None = None


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step: a function of the run's seed and the step."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)


def run(
    training: Training,
    folder: Path,
    *,
    pace: Pace,
    steps: int | None = None,
    on_line: Callable[[Line], None] = lambda _: None,
    on_sheet: Callable[[int, Average], None] = lambda _step, _average: None,
    on_milestone: Callable[[int, Average, Progress], None] = lambda _step, _average, _progress: None,
) -> int:
    """Train until the schedule's or `steps`' end, or until SIGTERM or SIGINT; returns the number of steps done.

    A checkpoint is written by the clock, at milestones, at the end, and when the run is asked to stop. `on_sheet` gets
    the step and the averaged weights. `on_milestone` comes before the checkpoint of that step: a run that is killed
    between the two does it again, with the same weights.

    Raises:
        TrainingDiverged: the loss is no longer a number. The newest checkpoint is of before.
        OSError: the folder can't be written.
    """
    state = load_newest(folder)
    step = _restore(training, state) if state else 0
    ends = [end for end in (steps, training.schedule.last_step) if end is not None]
    last = min(ends) if ends else None
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(folder / "progress.jsonl", last, state["progress"] if state and "progress" in state else None)
    saved = lined = sheeted = time.monotonic()
    parameters = list(trained(training.network).values())
    with _signals() as asked_to_stop:
        while (last is None or step < last) and not asked_to_stop():
            loss = _backward(training.loss(step, step_generator(training.seed, step)))
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"The loss is no longer a number in step {step + 1}. Train again in another folder, with a lower"
                    " --learning-rate."
                )
            clip(parameters, training.gradient_limit)
            training.optimiser.step(training.schedule.factor(step))
            step += 1
            training.average.update(training.network, step)
            progress.step(step * training.batch, loss)
            now = time.monotonic()
            if now - lined >= pace.line:
                lined = now
                line = progress.line(step, step * training.batch)
                progress.write(line)
                on_line(line)
            is_milestone = pace.milestone is not None and (step % pace.milestone == 0 or step == last)
            if is_milestone:
                on_milestone(step, training.average, progress)
            if is_milestone or now - saved >= pace.checkpoint:
                save_checkpoint(folder, step, _state(training, step, progress))
                saved = now
            if now - sheeted >= pace.sheet:
                on_sheet(step, training.average)
                sheeted = time.monotonic()
        save_checkpoint(folder, step, _state(training, step, progress))
    return step


def _backward(parts: Tensor | Iterable[Tensor]) -> float:
    """Send a loss, or its parts one by one, back through the network; returns the sum."""
    total = 0.0
    for part in [parts] if isinstance(parts, Tensor) else parts:
        part.backward()
        total += float(part.detach())
    return total


def _state(training: Training, step: int, progress: Progress) -> dict[str, Any]:
    return {
        "step": step,
        "weights": {name: parameter.detach() for name, parameter in trained(training.network).items()},
        "optimiser": training.optimiser.state(),
        "average": training.average.weights,
        "progress": progress.state(),
    }


@torch.no_grad()
def _restore(training: Training, state: dict[str, Any]) -> int:
    parameters = trained(training.network)
    if parameters.keys() != state["weights"].keys():
        raise ValueError("the checkpoint is of another network")
    for name, weight in state["weights"].items():
        parameters[name].copy_(weight)
    training.optimiser.restore(state["optimiser"])
    for name, weight in state["average"].items():
        training.average.weights[name].copy_(weight)
    return int(state["step"])


@contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Whether the process was asked to stop since; in another thread than the main one signals aren't ours."""
    asked: list[int] = []
    before = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, lambda got, _frame: asked.append(got))
    except ValueError:
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
