"""The report of a benchmark: rows with a figure, its unit and its samples, and a line about the machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of a report. `aim` is the project's own aim, or empty."""

    name: str
    unit: str
    samples: Sequence[float]
    aim: str = ""

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    def row(self) -> str:
        """A row of a Markdown table: name, median, range, runs, aim."""
        low, high = min(self.samples), max(self.samples)
        spread = f"{low:.3g} to {high:.3g}" if len(self.samples) > 1 else ""
        return f"| {self.name} | {self.median:.3g} {self.unit} | {spread} | {len(self.samples)} | {self.aim} |"


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that is not exceeded by `percent` of the samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def machine() -> str:
    """The machine in one line: processor, usable cores, memory, system, Python."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {gigabytes:.0f} GiB, {platform.platform()}, Python {platform.python_version()}"
