"""How a run gets on: samples a second, the smoothed loss and the seconds to go, as lines of JSON and of text."""

from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

_WINDOW = 200  # steps that count for the pace
_SMOOTHING = 0.995


@dataclass(frozen=True)
class Line:
    """Where a run stands after `step` steps. `seconds_to_go` is None while the run has no end."""

    step: int
    samples: int
    samples_per_second: float
    loss: float
    seconds: float
    seconds_to_go: float | None
    steps: int | None = None  # in all

    def text(self) -> str:
        """For people."""
        left = "no end set" if self.seconds_to_go is None else f"{self.seconds_to_go:,.0f} s to go"
        pace = f"{self.samples_per_second:.1f} samples/s"
        return f"step {self.step:,} · {self.samples:,} samples · {pace} · loss {self.loss:.4f} · {left}"


class Progress:
    """Counts steps. What a checkpoint keeps of it is the loss of each step, so a curve goes on where it was."""

    def __init__(self, file: Path, last_step: int | None, kept: dict[str, Any] | None = None) -> None:
        self._file = file
        self._last_step = last_step
        self._started = time.monotonic()
        self._times: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self.losses: list[float] = kept["losses"].tolist() if kept else []
        smoothed: list[float] = kept["smoothed"] if kept else [0.0, 0.0]
        self._sum, self._weight = smoothed  # of past losses, each fading

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        losses = torch.tensor(self.losses, dtype=torch.float64)
        return {"losses": losses, "smoothed": [self._sum, self._weight]}

    def step(self, samples: int, loss: float) -> None:
        """One more step is done; `samples` are all that were seen so far."""
        self._times.append((time.monotonic(), samples))
        self.losses.append(loss)
        self._sum, self._weight = _SMOOTHING * self._sum + loss, _SMOOTHING * self._weight + 1

    def line(self, step: int, samples: int) -> Line:
        """Where the run stands."""
        pace = step_seconds = 0.0
        if len(self._times) > 1:
            (first, samples_then), (last, samples_now) = self._times[0], self._times[-1]
            pace = (samples_now - samples_then) / max(last - first, 1e-9)
            step_seconds = (last - first) / (len(self._times) - 1)
        left = None if self._last_step is None else (self._last_step - step) * step_seconds
        loss = self._sum / self._weight if self._weight else 0.0
        return Line(
            step,
            samples,
            round(pace, 2),
            round(loss, 5),
            round(time.monotonic() - self._started, 1),
            left,
            self._last_step,
        )

    def write(self, line: Line) -> None:
        """Add the line to the run's file."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": round(time.time()), **asdict(line)}) + "\n")
