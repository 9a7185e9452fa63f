"""Half an hour of one job after the other, to find anything that grows and should not.

Memory, open files, connections and database tables of one API and one worker with a test double of the model are
sampled every ten seconds. Growth is the slope of a straight line through the samples (least squares). The first fifth
of the time is left out, because caches are filled then.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from benchmarks.client import Client
from benchmarks.report import Figure
from tests.chaos.deployment import Deployment, running_deployment

_SAMPLE_SECONDS = 10.0
_WARM_UP_SHARE = 0.2
_WAITING = 3
_JOB = "pace=0.12"  # about a second, including claiming and storing
_TABLES = ("job", "image", "procrastinate_jobs", "procrastinate_events")

Samples = dict[str, list[tuple[float, float]]]  # by name: (hours since the start, value)


def measure(*, minutes: float) -> Iterator[Figure]:
    """The last sample of each figure, and its growth per hour."""
    samples, jobs = asyncio.run(_measure(minutes))
    yield Figure(f"jobs drawn in {minutes:g} minutes", "", [jobs])
    for name, series in samples.items():
        settled = series[int(len(series) * _WARM_UP_SHARE) :]
        slope = statistics.linear_regression(*zip(*settled, strict=True)).slope
        yield Figure(f"{name}, in the end", "", [series[-1][1]])
        yield Figure(f"{name}, growth by the hour", "", [slope])


async def _measure(minutes: float) -> tuple[Samples, int]:
    settings = {"MAX_SUBMITTED_PER_MINUTE": "10000"}
    samples: Samples = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        async with running_deployment(Path(folder), settings) as deployment:
            started = time.monotonic()
            client = Client(deployment.url(0), deployment.token(uuid4(), 0))
            waiting: list[str] = []
            drawn, due = 0, 0.0
            while (seconds := time.monotonic() - started) < minutes * 60:
                while len(waiting) < _WAITING:
                    waiting.append(client.submit(_JOB)[0])
                job, _ = client.status(waiting[0])
                assert job["status"] != "failed", job
                if job["status"] == "complete":
                    waiting.pop(0)
                    drawn += 1
                if seconds >= due:
                    due += _SAMPLE_SECONDS
                    for name, value in _sample(deployment).items():
                        samples[name].append((seconds / 3600, value))
                await asyncio.sleep(0.25)
    return samples, drawn


def _sample(deployment: Deployment) -> dict[str, float]:
    api, worker = deployment.apis[0].pid, deployment.workers[0].pid
    (model,) = deployment.models(deployment.workers[0])
    taken: dict[str, float] = {}
    for name, pid in (("API", api), ("worker", worker), ("model's double", model)):
        taken[f"memory of the {name}, MiB"] = _memory(pid)
        taken[f"open files of the {name}"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    rows = deployment.query(
        "select count(*) as number from pg_stat_activity where starts_with(application_name, 'onbrand')"
    )
    taken["connections"] = rows[0]["number"]
    for row in deployment.query(
        "select relname as name, n_dead_tup as dead, pg_total_relation_size(relid) / 1048576.0 as size"
        " from pg_stat_user_tables where relname = any(%s) order by relname",
        list(_TABLES),
    ):
        taken[f"table {row['name']}, dead rows"] = row["dead"]
        taken[f"table {row['name']}, MiB"] = float(row["size"])
    return taken


def _memory(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024
