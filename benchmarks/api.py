"""Latency of submitting jobs and of reading their status while the worker draws, on one keep-alive connection."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure, percentile
from tests.system import System, running_system

SUBMISSIONS = 60
STATUS_REQUESTS = 600


def measure() -> Iterator[Figure]:
    """Milliseconds, median and 99th percentile, while a job is always being drawn."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(
            Path(folder),
            MAX_QUEUED_PER_USER="1000",
            MAX_SUBMITTED_PER_MINUTE="1000",
            MAX_REQUESTS_PER_SECOND="100000",
        ) as system,
    ):
        system.wait_until_ready()
        connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
        headers = {"Authorization": f"Bearer {system.command('token')}", "Content-Type": "application/json"}
        body = json.dumps({"prompt": "a teapot"})
        submits, job_ids = [], []
        for _ in range(SUBMISSIONS):
            seconds, answer = _timed(connection, "POST", "/generate", headers, body)
            submits.append(seconds * 1000)
            job_ids.append(answer["job_id"])
        statuses = []
        for number in range(STATUS_REQUESTS):
            path = f"/jobs/{job_ids[number % len(job_ids)]}"
            statuses.append(_timed(connection, "GET", path, headers)[0] * 1000)
        _cancel(connection, job_ids, headers, system)
    for name, samples in (("submit", submits), ("status", statuses)):
        yield Figure(f"{name} while a job is drawn, median", "ms", [percentile(samples, 50)])
        yield Figure(f"{name} while a job is drawn, 99th percentile", "ms", [percentile(samples, 99)])


def _timed(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str], body: str | None = None
) -> tuple[float, dict[str, str]]:
    started = time.perf_counter()
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    seconds = time.perf_counter() - started
    assert response.status in (200, 202), content
    answer: dict[str, str] = json.loads(content)
    return seconds, answer


def _cancel(
    connection: http.client.HTTPConnection, job_ids: list[str], headers: dict[str, str], system: System
) -> None:
    assert system.readiness()["workers"] == 1, "the worker must have been drawing all the time"
    for job_id in job_ids:
        _timed(connection, "DELETE", f"/jobs/{job_id}", headers)
