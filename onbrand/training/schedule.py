"""The learning rate over a run: warm up, hold, and, once somebody decides so, come down.

Warmup-stable-decay (arXiv 2405.18392): the length of the run needn't be known at its start. A decayed copy can be made
of any checkpoint, while the stable branch goes on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """`warmup` steps up; constant; from `decay_from` on, if it is set, `decay` steps down to zero."""

    warmup: int
    decay_from: int | None = None
    decay: int = 0

    def factor(self, step: int) -> float:
        """What the learning rate is multiplied with at a step, counted from 0. Down by 1 - √x, the paper's best."""
        up = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay_from is None or step < self.decay_from:
            return up
        part = min(1.0, (step + 1 - self.decay_from) / max(1, self.decay))
        return float(up * (1 - part**0.5))

    @property
    def last_step(self) -> int | None:
        """The run's number of steps; None while no decay has been decided."""
        return None if self.decay_from is None else self.decay_from + self.decay
