"""A whole Onbrand in a test: `onbrand up` as a child process, on a free port and a data directory of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from onbrand.config import REPOSITORY

START_SECONDS = 120.0
STOP_SECONDS = 40.0

Seen = TypeVar("Seen")


def wait_until(look: Callable[[], Seen], seconds: float = START_SECONDS) -> Seen:
    """Call `look` again and again until it returns something true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "the deadline has passed"
        time.sleep(0.05)
    return seen


def free_port() -> int:
    """A TCP port on which no process listens at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: str) -> dict[str, str]:
    """This process's environment variables, but of Onbrand's settings only these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ONBRAND_")}
    return clean | {f"ONBRAND_{name}": value for name, value in settings.items()}


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def descendants(pid: int) -> set[int]:
    """All children of a process, and their children, at this moment."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


@dataclass
class System:
    """A running `onbrand up`."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    log_path: Path

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.log_path.read_text()

    @property
    def origin(self) -> str:
        """The address a person opens."""
        return f"http://localhost:{self.port}"

    def readiness(self) -> dict[str, Any]:
        """The answer of /readyz; empty while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except OSError:
            return {}

    def wait_until_ready(self) -> None:
        """Return when a worker is ready to draw."""

        def ready() -> bool:
            assert self.process.poll() is None, self.log
            return bool(self.readiness().get("workers"))

        wait_until(ready)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal (Ctrl-C by default) and wait for the end."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)

    def command(self, *arguments: str) -> str:
        """The output of another `onbrand` command with the same settings."""
        return onbrand(*arguments, DATA_DIR=str(self.data_dir), PORT=str(self.port)).stdout.strip()

    def request(self, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of one request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def onbrand(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "onbrand", *arguments]
    return subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=120)


@contextmanager
def running_system(data_dir: Path, port: int | None = None, **settings: str) -> Iterator[System]:
    """Start `onbrand up`. When the block ends, it is stopped, and processes that it leaves running are killed."""
    data_dir.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    log_path = data_dir / "up.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "onbrand", "up"],
            env=environment(DATA_DIR=str(data_dir), PORT=str(port), **settings),
            stdout=log,
            stderr=log,
            cwd=REPOSITORY,
            start_new_session=True,
        )
    system = System(process, port, data_dir, log_path)
    try:
        yield system
    finally:
        if process.poll() is None:
            children = descendants(process.pid)
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                for pid in filter(is_alive, children):
                    os.kill(pid, signal.SIGKILL)
