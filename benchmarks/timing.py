"""Whether the time of a 404 shows that a job exists: another person's job compared with an id that no job has."""

from __future__ import annotations

import http.client
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from benchmarks.report import Figure
from onbrand.local.issuer import Issuer
from tests.system import System, running_system

REQUESTS = 1000


def measure() -> Iterator[Figure]:
    """Milliseconds of both, and their difference. They take turns, so that a slower machine affects both."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder), MAX_REQUESTS_PER_SECOND="100000") as system,
    ):
        system.wait_until_ready()
        owner, stranger = _token(system), _token(system)
        status, job = system.request("POST", "/generate", owner, {"prompt": "a teapot"})
        assert status == 202, job
        connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=10)
        another_persons, unknown = [], []
        for _ in range(REQUESTS):
            another_persons.append(_timed(connection, job["job_id"], stranger))
            unknown.append(_timed(connection, str(uuid4()), stranger))
    yield Figure("404 for another person's job", "ms", another_persons)
    yield Figure("404 for an unknown job", "ms", unknown)
    difference = abs(statistics.median(another_persons) / statistics.median(unknown) - 1)
    yield Figure("difference of the two medians", "%", [difference * 100], aim="under 10")


def _token(system: System) -> str:
    issuer = Issuer(system.origin, system.data_dir / "sign-in")
    return issuer.sign(issuer.access_claims("member") | {"oid": str(uuid4())})


def _timed(connection: http.client.HTTPConnection, job_id: str, token: str) -> float:
    started = time.perf_counter()
    connection.request("GET", f"/jobs/{job_id}", headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    response.read()
    milliseconds = (time.perf_counter() - started) * 1000
    assert response.status == 404
    return milliseconds
