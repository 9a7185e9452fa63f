"""The people of the chaos run: they submit, look, cancel, download, and write down what they were told.

They see Onbrand only over HTTP, and behave as its page does: a lost answer is asked for again, with the same key.
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

PACE = "pace=0.07"  # seconds a step: half a second a drawing
CANARY = "kingfisher"  # in each prompt, and in no log line
_LOOK_SECONDS = 0.4
_AGAIN_SECONDS = 0.3
_REFUSED_SECONDS = 1.0  # by a limit
_AT_ONCE = 3
_THINK_SECONDS = 2.0  # before they want the next
_ENOUGH_BREACHES = 50
# What each request may be answered with. Anything else is a breach.
_ALLOWED = {
    "submit": {202, 429, 503},
    "look": {200, 503},
    "image": {200, 503},
    "cancel": {200, 503},
}


class Fate(StrEnum):
    """What must become of a job."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"  # or complete, if that was earlier
    FAILS = "fails"


@dataclass
class Wish:
    """One illustration that somebody wants, and what they were told about it."""

    key: str
    user_id: UUID
    prompt: str
    fate: Fate
    code: str = ""  # of the failure that is expected
    job_ids: set[str] = field(default_factory=set)
    endings: set[tuple[str, str]] = field(default_factory=set)  # each status and code it was said to have ended with
    sha256: dict[int, str] = field(default_factory=dict)  # of the downloaded images

    @property
    def job_id(self) -> str:
        """The job that was acknowledged; empty before."""
        return next(iter(self.job_ids), "")


@dataclass
class Ledger:
    """What all of them have written down."""

    wishes: list[Wish] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)  # by operation and what came back
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
        """Have every wish fulfilled or refused, a few at a time."""
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
            self._note(wish, await self._ask("look", "GET", f"/jobs/{wish.job_id}"))  # an end is for ever

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
        """The answer, asked for until there is one."""
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
    """Onbrand gave answers that it must never give, again and again."""


def wishes(seed: int, jobs: int, users: int) -> list[Wish]:
    """What is wanted in a run: mostly what must be drawn, some of it cancelled, some that no model survives."""
    chance = random.Random(f"wishes {seed}")
    people = [UUID(int=chance.getrandbits(128), version=4) for _ in range(users)]
    made = []
    for number in range(jobs):
        fate, code, words = _kind(chance.random())
        prompt = f"{words} {CANARY}-{number}"
        made.append(Wish(f"key-{seed}-{number}", people[number % users], prompt, fate, code))
    return made


def _kind(chance: float) -> tuple[Fate, str, str]:
    """What becomes of it, the failure that is expected, and what its prompt tells the model's double."""
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
