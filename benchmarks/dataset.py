"""`onbrand dataset check` of 40 pictures with 2,000 pixels a side: seconds and memory, as a designer would wait for it.

Half of them are transparent, so that they are read twice; a quarter has a profile. Expected before measuring: 0.1 s to
decode, 0.2 s to measure each, so 12 s on one core, and less than 250 MB, because two pictures are in memory at a time.
"""

from __future__ import annotations

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
# The command, and what it took. Not `ru_maxrss`: a process inherits the peak of the one that started it.
_COMMAND = """
import re, time
from onbrand.cli.main import main
try:
    main()
except SystemExit:
    print(time.process_time(), re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
    raise
"""


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
    command = [sys.executable, "-c", _COMMAND, "dataset", "check", str(folder), "--report", str(report), *more]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - started
    busy, kilobytes = done.stdout.splitlines()[-1].split()
    return seconds, float(busy), int(kilobytes) * 1024 / 1e6
