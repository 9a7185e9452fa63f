"""The people of the chaos run: they submit, look, cancel, download, and record every answer.

They use Onbrand only over HTTP, and behave like its page: if an answer is lost, they repeat the request with the same
Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

import httpx

from tests.chaos.deployment import Deployment

PACE = "pace=0.07"  # seconds for a step: half a second for a job
CANARY = "kingfisher"  # a word in each prompt that must be in no log line
_LOOK_SECONDS = 0.4
_AGAIN_SECONDS = 0.3
_REFUSED_SECONDS = 1.0  # after a 429
_AT_ONCE = 3
_THINK_SECONDS = 2.0  # at most, before a person submits the next job
_ENOUGH_BREACHES = 50
# The allowed statuses of each request. Any other is a breach.
_ALLOWED = {
    "submit": {202, 429, 503},
    "look": {200, 503},
    "image": {200, 503},
    "cancel": {200, 503},
}


class Fate(StrEnum):
    """How a job must end."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"  # or complete, if the cancel came too late
    FAILS = "fails"


@dataclass
class Wish:
    """One job that a person wants, and the answers they got about it."""

    key: str
    user_id: UUID
    prompt: str
    fate: Fate
    code: str = ""  # of the expected failure
    job_ids: set[str] = field(default_factory=set)
    endings: set[tuple[str, str]] = field(default_factory=set)  # each final status and error code in an answer
    sha256: dict[int, str] = field(default_factory=dict)  # of the downloaded images

    @property
    def job_id(self) -> str:
        """The id of the accepted job; empty before."""
        return next(iter(self.job_ids), "")


@dataclass
class Ledger:
    """All answers of all people."""

    wishes: list[Wish] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)  # by operation and status
    submitted: int = 0
    ended: int = 0


class Person:
    """One user with a client for each API."""

    def __init__(
        self, deployment: Deployment, ledger: Ledger, user_id: UUID, wishes: list[Wish], chance: random.Random
    ) -> None:
        self._ledger = ledger
        self._wishes = wishes
        self._chance = chance
        self._clients = [
            httpx.AsyncClient(
                base_url=deployment.url(api),
                headers={"Authorization": f"Bearer {deployment.token(user_id, api)}"},
                timeout=10,
                verify=False,
            )
            for api in range(len(deployment.apis))
        ]

    async def live(self) -> None:
        """Pursue every wish to its end, a few at a time."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def pursue(wish: Wish) -> None:
            async with gate:
                await asyncio.sleep(self._chance.uniform(0, _THINK_SECONDS))
                await self._pursue(wish)

        try:
            async with asyncio.TaskGroup() as group:
                for wish in self._wishes:
                    group.create_task(pursue(wish))
        finally:
            for client in self._clients:
                await client.aclose()

    async def _pursue(self, wish: Wish) -> None:
        await asyncio.gather(*(self._submit(wish) for _ in range(1 + (self._chance.random() < 0.2))))
        self._ledger.submitted += 1
        if wish.fate is Fate.CANCELLED:
            await asyncio.sleep(self._chance.uniform(0, 3))
            self._note(wish, await self._ask("cancel", "DELETE", f"/jobs/{wish.job_id}"))
        while True:
            job = await self._ask("look", "GET", f"/jobs/{wish.job_id}")
            self._note(wish, job)
            if job["status"] in ("complete", "failed"):
                break
            await asyncio.sleep(_LOOK_SECONDS)
        self._ledger.ended += 1
        if job["status"] == "complete":
            for n in (1, 2, 3, 4):
                png = await self._ask("image", "GET", f"/jobs/{wish.job_id}/images/{n}")
                wish.sha256[n] = hashlib.sha256(png).hexdigest()
            self._note(wish, await self._ask("look", "GET", f"/jobs/{wish.job_id}"))  # an ended job does not change

    async def _submit(self, wish: Wish) -> None:
        answer = await self._ask(
            "submit", "POST", "/generate", json={"prompt": wish.prompt}, headers={"Idempotency-Key": wish.key}
        )
        wish.job_ids.add(answer["job_id"])

    def _note(self, wish: Wish, job: dict[str, Any]) -> None:
        if job["status"] in ("complete", "failed"):
            wish.endings.add((job["status"], job["error"]["code"] if job["error"] else ""))
        if (job["progress"]["percent"] == 100) != (job["status"] == "complete"):
            self._ledger.breaches.append(f"job {wish.job_id} is {job['status']} at {job['progress']['percent']} %")

    async def _ask(self, operation: str, method: str, path: str, **request: Any) -> Any:
        """Repeat a request until there is a successful answer."""
        while True:
            client = self._chance.choice(self._clients)
            try:
                response = await client.request(method, path, **request)
            except httpx.TransportError:
                self._ledger.requests[f"{operation}: no answer"] += 1
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            status = response.status_code
            self._ledger.requests[f"{operation}: {status}"] += 1
            if status not in _ALLOWED[operation]:
                self._ledger.breaches.append(f"{operation} was answered with {status}: {response.text[:300]}")
                if len(self._ledger.breaches) >= _ENOUGH_BREACHES:
                    raise Refused
            if status in (200, 202):
                return response.content if operation == "image" else response.json()
            await asyncio.sleep(_REFUSED_SECONDS if status == 429 else _AGAIN_SECONDS)


class Refused(Exception):
    """Onbrand gave forbidden answers again and again."""


def wishes(seed: int, jobs: int, users: int) -> list[Wish]:
    """The jobs of a run: most must be drawn, some are cancelled, some make every model process fail."""
    chance = random.Random(f"wishes {seed}")
    people = [UUID(int=chance.getrandbits(128), version=4) for _ in range(users)]
    made = []
    for number in range(jobs):
        fate, code, words = _kind(chance.random())
        prompt = f"{words} {CANARY}-{number}"
        made.append(Wish(f"key-{seed}-{number}", people[number % users], prompt, fate, code))
    return made


def _kind(chance: float) -> tuple[Fate, str, str]:
    """How the job must end, the expected failure, and the words of its prompt for the model's double."""
    for share, fate, code, words in (
        (0.01, Fate.FAILS, "worker_lost", f"kill@1 {PACE}"),
        (0.02, Fate.FAILS, "bad_image", "three"),
        (0.03, Fate.FAILS, "bad_image", "torn"),
        (0.08, Fate.COMPLETE, "", f"{PACE} once kill@2"),
        (0.10, Fate.COMPLETE, "", f"{PACE} once hang@2"),
        (0.12, Fate.COMPLETE, "", f"{PACE} once three"),
        (0.20, Fate.CANCELLED, "", PACE),
    ):
        if chance < share:
            return fate, code, words
    return Fate.COMPLETE, "", PACE
