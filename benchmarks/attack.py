"""What others notice of slow readers, of many event streams, and of floods: a healthy client before and during each.

One API process, its database, and a worker with a double of the model. The attackers are in a process of their own
(`attackers`), on the same machine and with another address. A probe opens a new connection each time. It counts as
answered if 200 comes within five seconds.
"""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psutil

from benchmarks import attackers
from benchmarks.attackers import Crowd
from benchmarks.client import Client
from benchmarks.report import Figure, percentile
from tests.chaos.deployment import Deployment, running_deployment

SECONDS = 20.0
SLOW_READERS = 510
STREAMS = 200
PARALLEL = 300
SCRIPT_BYTES = 558_000
_PEOPLE = 20
_MEASURED = 3  # jobs, before seconds are told
_PAUSE = 0.1  # between two probes
_PATIENCE = 5.0
_SETTLE = 3.0  # from the beginning of an attack to the first probe that counts
_AIM = "≥ 99 %"


def measure() -> Iterator[Figure]:
    """Percent of probes that were answered, and milliseconds."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Figure]:
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="onbrand-") as name:
        page = Path(name) / "site"
        (page / "assets").mkdir(parents=True)
        (page / "index.html").write_text("<!doctype html><title>Onbrand</title>")
        (page / "assets" / "index.js").write_bytes(os.urandom(SCRIPT_BYTES // 2).hex().encode())
        settings = {"WEB_DIR": str(page), "MAX_REQUESTS_PER_SECOND": "50"}  # the default
        async with running_deployment(Path(name), settings, workers=1) as deployment:
            figures += await asyncio.to_thread(lambda: list(_all(deployment)))
    return figures


def _all(deployment: Deployment) -> Iterator[Figure]:
    port = int(deployment.apis[0].settings["PORT"])
    probes = _Probes(port, deployment.token(uuid4(), 0))
    streams = _streams(deployment)
    for rate in (0.7e6, 6e6):
        name = f"{SLOW_READERS} slow readers, {rate / 1e6:g} MB/s in all"
        crowd = Crowd(port, SLOW_READERS, rate / SLOW_READERS)
        yield from _beside(deployment, probes, name, attackers.read_slowly, crowd)
    yield from _beside(deployment, probes, f"{STREAMS} streams", attackers.watch, Crowd(port, STREAMS), streams)
    for method, path in (("POST", "/generate"), ("GET", "/readyz"), ("GET", "/healthz")):
        name = f"{PARALLEL} parallel {path}"
        yield from _beside(deployment, probes, name, attackers.flood, Crowd(port, PARALLEL), method, path)


def _streams(deployment: Deployment) -> list[tuple[str, str]]:
    """Streams of people who have one waiting job each. Their seconds are known, so each stream tells them."""
    client, found = Client(deployment.url(0), deployment.token(uuid4(), 0)), []
    for _ in range(_MEASURED):
        job_id = client.submit("a teapot")[0]
        while client.status(job_id)[0]["status"] != "complete":
            time.sleep(0.1)
    for _ in range(_PEOPLE):
        token = deployment.token(uuid4(), 0)
        found.append((token, Client(deployment.url(0), token).submit("pace=60")[0]))
    return found * (STREAMS // _PEOPLE)


def _beside(
    deployment: Deployment, probes: _Probes, name: str, attack: Callable[..., None], *arguments: object
) -> Iterator[Figure]:
    """The probes without the attack, and during it."""
    alone = probes.run(SECONDS / 2)
    with _attacking(attack, arguments) as told, _watched_memory(deployment.apis[0].pid) as most:
        during = probes.run(SECONDS)
    for path in probes.paths:
        answered = [100 * sum(status == 200 for status, _ in during[path]) / len(during[path])]
        yield Figure(f"{path} answered, {name} ({len(during[path])} probes)", "%", answered, _AIM)
        before, times = ([taken for _, taken in samples[path]] for samples in (alone, during))
        yield Figure("… median before", "ms", [percentile(before, 50)])
        yield Figure("… median during", "ms", [percentile(times, 50)])
        yield Figure("… 99th percentile during", "ms", [percentile(times, 99)])
        others = sorted({status for status, _ in during[path]} - {200})
        sys.stderr.write(f"{name}: {path}: other answers {others}\n")
    yield Figure(f"memory of the API at most, {name}", "MiB", [most[0] / 2**20])
    sys.stderr.write(f"{name}: the attackers saw {told}; load {os.getloadavg()[0]:.1f}\n")


@dataclass
class _Probes:
    """Healthy clients that ask again and again, each time over a new connection."""

    port: int
    token: str
    paths: tuple[str, ...] = field(default=("/healthz", "/me"))

    def run(self, seconds: float) -> dict[str, list[tuple[int, float]]]:
        """Status (0: none came) and milliseconds of each probe."""
        found: dict[str, list[tuple[int, float]]] = {path: [] for path in self.paths}
        end = time.monotonic() + seconds
        stop = Event()

        def probe(path: str) -> None:
            while time.monotonic() < end:
                found[path].append(self._once(path))
                stop.wait(_PAUSE)

        threads = [Thread(target=probe, args=(path,)) for path in self.paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def _once(self, path: str) -> tuple[int, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        headers = {"Authorization": f"Bearer {self.token}"} if path == "/me" else {}
        began, status = time.perf_counter(), 0
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            connection.close()
        return status, (time.perf_counter() - began) * 1000


@contextmanager
def _attacking(attack: Callable[..., None], arguments: tuple[object, ...]) -> Iterator[dict[str, Any]]:
    """Run an attack in another process during the `with` block; what its clients saw comes with its end."""
    context = multiprocessing.get_context("spawn")
    stop, told = context.Event(), context.Queue()
    process = context.Process(target=attack, args=(*arguments, stop, told))
    process.start()
    saw: dict[str, Any] = {}
    try:
        time.sleep(_SETTLE)
        yield saw
    finally:
        stop.set()
        saw.update(told.get(timeout=30))
        process.join(30)


@contextmanager
def _watched_memory(pid: int) -> Iterator[list[int]]:
    """The largest resident memory of a process during the `with` block, in bytes."""
    process, done, most = psutil.Process(pid), Event(), [0]

    def look() -> None:
        while not done.wait(0.1):
            most[0] = max(most[0], process.memory_info().rss)

    looking = Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        done.set()
        looking.join()
