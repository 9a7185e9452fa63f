"""`onbrand dataset check` of 40 pictures with 2,000 pixels a side: seconds and memory, as a designer would wait for it.

Half of them are transparent, so that they are read twice; a quarter has a profile. Expected before measuring: 0.1 s to
decode, 0.2 s to measure each, so 12 s on one core, and less than 250 MB, because two pictures are in memory at a time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.report import Figure
from onbrand.config import REPOSITORY
from tests.profiles import P3, screen_profile
from tests.studio import GROUND, draw

COUNT, SIDE, RUNS = 40, 2000, 3


def measure() -> Iterator[Figure]:
    """Three runs of the command, with `--fix` in a run of its own."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "studio"
        _write(folder)
        runs = [_run(folder, Path(directory) / "look.html") for _ in range(RUNS)]
        fixed = _run(folder, Path(directory) / "look.html", "--fix", str(Path(directory) / "ready"))
    name = f"`dataset check` of {COUNT} pictures of {SIDE} pixels"
    yield Figure(name, "s", [seconds for seconds, _, _ in runs], "≤ 20 s")
    yield Figure("… processor time", "s", [busy for _, busy, _ in runs])
    yield Figure("… peak memory", "MB", [memory for _, _, memory in runs], "< 500 MB")
    yield Figure("… with `--fix`", "s", [fixed[0]], "≤ 20 s")
    yield Figure("… with `--fix`, peak memory", "MB", [fixed[2]], "< 500 MB")


def _write(folder: Path) -> None:
    folder.mkdir()
    profile = screen_profile("Display P3", P3, 2.2)
    ground = np.array(Image.new("RGB", (1, 1), GROUND))[0, 0].astype(int)
    for index in range(COUNT):
        image, caption = draw(index, SIDE)
        if index % 2:
            away = np.abs(np.asarray(image).astype(int) - ground).sum(axis=-1)
            image.putalpha(Image.fromarray((away > 6).astype(np.uint8) * 255))
        image.save(folder / f"{index:02d}.png", icc_profile=profile if index % 4 == 0 else None)
        (folder / f"{index:02d}.txt").write_text(caption)


def _run(folder: Path, report: Path, *more: str) -> tuple[float, float, float]:
    """Seconds, seconds of the processor, and the peak of memory in MB."""
    command = [sys.executable, "-m", "onbrand", "dataset", "check", str(folder), "--report", str(report), *more]
    started = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, cwd=REPOSITORY)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
