"""`make run` as a new user runs it, in a clone of the committed files and with an empty home: seconds to a ready page.

The first run installs every package from the registries, so it depends on the network. The second does not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure
from onbrand.config import REPOSITORY
from tests.system import environment, free_port

START_SECONDS = 1800.0
SECOND_STARTS = 3


def measure() -> Iterator[Figure]:
    """Seconds from `make run` until a worker is ready."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "onbrand"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
        yield Figure("first `make run` to a ready page, downloads included", "s", [_start(clone)])
        second = [_start(clone) for _ in range(SECOND_STARTS)]
        yield Figure("second `make run` to a ready page", "s", second, "< 15 s")


def _start(clone: Path) -> float:
    port = free_port()
    home = clone.parent / "home"
    home.mkdir(exist_ok=True)
    started = time.perf_counter()
    with (clone.parent / "log").open("ab") as log:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=clone,
            env=environment(PORT=str(port)) | {"HOME": str(home)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while not _is_ready(port):
            assert process.poll() is None, (clone.parent / "log").read_text()[-2000:]
            assert time.perf_counter() - started < START_SECONDS
            time.sleep(0.1)
        return time.perf_counter() - started
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return b'"workers":1' in response.read()
    except OSError:
        return False
