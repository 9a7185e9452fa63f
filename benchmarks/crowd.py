"""Five people at once on a machine without a GPU: the real mini, five event streams and fifty pollers.

`onbrand up` in a temporary data directory. First one person at a time, nobody else looking. Then, in each round, five
people submit at the same moment; each follows the own job as an event stream, and ten pollers read each job every
second. A few runs alone and one round come before, of which only the estimates learn: how slow a crowd makes the
machine is not known before the first one. The pollers are in another process, so that they take the machine's time and
not the streams'.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.client import Client
from benchmarks.report import Figure, percentile
from onbrand.local.issuer import Issuer
from tests.system import System, running_system

PEOPLE = 5
POLLERS = 50
ALONE = 6
ROUNDS = 3
_WARM_UP = 3  # runs alone, before the first round, that only give the estimates something to begin with
_PROMPTS = ("a red backpack", "a teapot", "a bicycle", "a camera", "an alarm clock")
_JUMP_SECONDS = 2  # one is rounding


@dataclass
class Run:
    """One person's job: what was told at its submission, what the stream said when, and how long it took."""

    token: str
    job_id: str
    told: int | None
    submitted: float
    seen: list[tuple[float, int | None]] = field(default_factory=list)  # seconds since its submission, and left
    seconds: float = 0.0
    status: str = ""

    @property
    def jumps(self) -> int:
        """How often the stream's seconds left went up."""
        known = [left for _, left in self.seen if left is not None]
        return sum(later - earlier >= _JUMP_SECONDS for earlier, later in itertools.pairwise(known))


def measure(alone_runs: int = ALONE, rounds: int = ROUNDS) -> Iterator[Figure]:
    """Milliseconds of polls, seconds of runs, and how far the estimates were from them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_system(Path(folder), MAX_SUBMITTED_PER_MINUTE="1000") as system,
    ):
        system.wait_until_ready()
        tokens = [_token(system) for _ in range(PEOPLE)]
        for _ in range(_WARM_UP):
            _follow(system, _submit(system, tokens[0], 0))
        _round(system, tokens)
        alone = [_follow(system, _submit(system, tokens[n % PEOPLE], n)) for n in range(alone_runs)]
        together: list[Run] = []
        polls: list[float] = []
        for _ in range(rounds):
            runs, milliseconds = _round(system, tokens)
            together += runs
            polls += milliseconds
    assert all(run.status == "complete" for run in [*alone, *together])
    yield Figure("one person alone, submit to pictures", "s", [run.seconds for run in alone])
    yield Figure("five at once, submit to pictures", "s", [run.seconds for run in together], "< 60 s")
    yield Figure("status, fifty pollers and five streams, median", "ms", [percentile(polls, 50)])
    yield Figure(f"… 99th percentile of {len(polls)}", "ms", [percentile(polls, 99)], "≤ 100 ms")
    yield from _estimates("one person alone", alone)
    yield from _estimates("five at once", together)


def _estimates(who: str, runs: Sequence[Run]) -> Iterator[Figure]:
    told = [run for run in runs if run.told is not None]
    if not told:
        return
    yield Figure(f"{who}: told at submission minus real", "s", [(run.told or 0) - run.seconds for run in told])
    near = sum(abs((run.told or 0) - run.seconds) <= 0.3 * run.seconds for run in told)
    yield Figure(f"{who}: told within 30 %", "%", [100 * near / len(told)], "≥ 80 %")
    shown = [at + left - run.seconds for run in runs for at, left in run.seen if left is not None]
    yield Figure(f"{who}: shown while waiting minus real", "s", shown)
    yield Figure(f"{who}: jumps upward of a run's seconds", "", [run.jumps for run in runs])


def _token(system: System) -> str:
    issuer = Issuer(system.origin, system.data_dir / "sign-in")
    return issuer.sign(issuer.access_claims("member") | {"oid": str(uuid4())})


def _submit(system: System, token: str, number: int) -> Run:
    started = time.perf_counter()
    status, answer = system.request("POST", "/generate", token, {"prompt": _PROMPTS[number % len(_PROMPTS)]})
    assert status == 202, answer
    return Run(token, answer["job_id"], answer["estimated_seconds"], started)


def _follow(system: System, run: Run) -> Run:
    """Read the job's event stream to its end."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{system.port}/jobs/{run.job_id}/events", headers={"Authorization": f"Bearer {run.token}"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        for line in response:
            if line.startswith(b"data:"):
                job: dict[str, Any] = json.loads(line[5:])
                run.status = job["status"]
                run.seen.append((time.perf_counter() - run.submitted, job["progress"]["eta_seconds"]))
    run.seconds = time.perf_counter() - run.submitted
    return run


def _round(system: System, tokens: Sequence[str]) -> tuple[list[Run], list[float]]:
    with ThreadPoolExecutor(PEOPLE) as pool:
        runs = list(pool.map(lambda n: _submit(system, tokens[n], n), range(PEOPLE)))
        context = multiprocessing.get_context("spawn")
        stop, answers = context.Event(), context.SimpleQueue()
        people = [
            (f"http://127.0.0.1:{system.port}", runs[n % PEOPLE].token, runs[n % PEOPLE].job_id) for n in range(POLLERS)
        ]
        crowd = context.Process(target=_poll_every_second, args=(people, stop, answers))
        crowd.start()
        try:
            runs = list(pool.map(lambda run: _follow(system, run), runs))
        finally:
            stop.set()
        milliseconds: list[float] = answers.get()
        crowd.join(30)
        return runs, milliseconds


def _poll_every_second(people: list[tuple[str, str, str]], stop: Event, answers: SimpleQueue[list[float]]) -> None:
    milliseconds: list[float] = []

    def poll(number: int, url: str, token: str, job_id: str) -> None:
        client = Client(url, token)
        stop.wait(number / len(people))
        while not stop.is_set():
            milliseconds.append(client.request("GET", f"/jobs/{job_id}").milliseconds)
            stop.wait(1)

    with ThreadPoolExecutor(len(people)) as pool:
        for polling in [pool.submit(poll, number, *person) for number, person in enumerate(people)]:
            polling.result()
    answers.put(milliseconds)
