"""How many queued jobs of one person are started before the jobs of another person who comes later.

Onbrand's turns are compared with first come, first served, and with plain Procrastinate on its defaults. A job counts
if it was waiting when the later job was submitted, and was started before it. The aim for the second person's first job
is 0.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.client import Client
from benchmarks.plain import Plain
from benchmarks.report import Figure
from tests.chaos.deployment import Deployment, running_deployment, until

BACKLOG = 50
LATER = 3
_SECONDS = 180.0
_ORDINALS = {0: "first", LATER - 1: "third"}


def measure() -> Iterator[Figure]:
    """Jobs, for the first and the last of the three jobs of the second person."""
    yield from asyncio.run(_measure())


async def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        settings = {"MAX_QUEUED_PER_USER": "1000", "MAX_SUBMITTED_PER_MINUTE": "10000"}
        async with running_deployment(Path(folder), settings) as deployment:
            rows = await _drawn(deployment)
            plain = await _plain(deployment)
    backlog, later = rows[:BACKLOG], rows[BACKLOG:]
    figures = []
    for ordinal, job, before_in_plain in ((_ORDINALS[n], later[n], plain[n]) for n in _ORDINALS):
        waiting = [other for other in backlog if other["started_at"] > job["created_at"]]
        turns = sum(other["started_at"] < job["started_at"] for other in waiting)
        name = f"A's waiting jobs that are drawn before B's {ordinal}"
        aim = "0" if job is later[0] else ""
        figures += [
            Figure(f"{name}, of {len(waiting)}", "jobs", [turns], aim),
            Figure(f"{name}, had the same jobs been drawn by time", "jobs", [len(waiting)]),
            Figure(f"{name}, plain Procrastinate, of {BACKLOG}", "jobs", [before_in_plain]),
        ]
    return figures


async def _drawn(deployment: Deployment) -> Sequence[dict[str, Any]]:
    """All jobs in the order of submission: fifty of one person, then three of another."""
    first, second = (Client(deployment.url(0), deployment.token(uuid4(), 0)) for _ in range(2))
    for client, count in ((first, BACKLOG), (second, LATER)):
        for _ in range(count):
            client.submit("pace=0.03")
    unfinished = "select 1 from job where status in ('queued', 'processing')"
    await until(lambda: not deployment.query(unfinished), _SECONDS, "all were drawn")
    return deployment.query("select created_at, started_at from job order by created_at")


async def _plain(deployment: Deployment) -> list[int]:
    """The same jobs in plain Procrastinate, all queued before the worker starts."""
    plain = Plain(deployment.postgres.url)
    await plain.defer("first", BACKLOG, steps=0)
    await plain.defer("second", LATER, steps=0)
    with plain.worker():
        await until(lambda: len(plain.starts()) == BACKLOG + LATER, _SECONDS, "all were started")
    order = plain.starts()
    positions = [position for position, person in enumerate(order) if person == "second"]
    return [order[:position].count("first") for position in positions]
