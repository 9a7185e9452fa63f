"""The faults of the chaos run: processes are killed or frozen, connections cut, the image store made unavailable.

A seed decides all faults and their order before the run begins. The moment of each fault depends on how many jobs have
ended, so that on a slow machine a job meets as many faults as on a fast one.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psycopg

from onbrand.jobs.workers import id_of
from onbrand.maintenance import SWEEP_SECONDS
from tests.chaos.deployment import Deployment, Part
from tests.chaos.stores import Store
from tests.system import descendants

LEASE_SECONDS = 2.0
_PATIENCE_SECONDS = 10.0  # after this time a fault is injected even if no job has ended
_SHORTEST_PAUSE_SECONDS = 0.2
_CONNECTIONS = "select pid from pg_stat_activity where starts_with(application_name, 'onbrand')"
_SAVING = "select worker_id from job where status = 'processing' and phase = 'saving'"

# Each kind with its weight: how often it is in one deck of faults.
KILLS = {
    "kill -9 a worker": 6,
    "kill -9 a model process": 4,
    "kill -9 an API": 3,
    "SIGTERM to a worker": 3,
    "SIGTERM to an API": 2,
    "cut database connections": 4,
    "kill -9 PostgreSQL": 1,
    "immediate shutdown of PostgreSQL": 2,
}
DISTURBANCES = {
    "freeze a worker past its lease": 1,
    "freeze a worker that is saving, past its lease": 2,
    "freeze a model process": 1,
    "freeze an API": 1,
    "freeze PostgreSQL": 1,
    "image store away": 2,
    "image store silent": 1,
}


@dataclass(frozen=True)
class Fault:
    """One fault. `target` (0 to 1) chooses one of several parts, `strength` (0 to 1) says how long or how many."""

    kind: str
    target: float
    strength: float

    def one_of(self, parts: Sequence[Part]) -> Part:
        return parts[int(self.target * len(parts))]


def plan(seed: int, kills: int) -> list[Fault]:
    """So many kills, and one disturbance for every three kills, in an order that only the seed decides."""
    chance = random.Random(f"blows {seed}")
    kinds = _shuffled_kinds(chance, KILLS, kills) + _shuffled_kinds(chance, DISTURBANCES, -(-kills // 3))
    chance.shuffle(kinds)
    return [Fault(kind, chance.random(), chance.random()) for kind in kinds]


def _shuffled_kinds(chance: random.Random, weights: dict[str, int], count: int) -> list[str]:
    """So many kinds, drawn from shuffled decks, so that each kind comes about as often as its weight says."""
    injected: list[str] = []
    while len(injected) < count:
        deck = [kind for kind, weight in weights.items() for _ in range(weight)]
        chance.shuffle(deck)
        injected += deck
    return injected[:count]


@dataclass
class FaultInjector:
    """Injects the faults into a deployment and its image store."""

    deployment: Deployment
    store: Store
    faults: list[Fault]
    injected: Counter[str] = field(default_factory=Counter)  # faults that really happened, by kind
    _database: asyncio.Lock = field(default_factory=asyncio.Lock)
    _images: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def inject_all(self, share_done: Callable[[], float]) -> None:
        """Inject every fault: the k-th of n when k/n of all jobs have ended. Long faults overlap with later ones."""
        async with asyncio.TaskGroup() as group:
            for number, fault in enumerate(self.faults):
                deadline = time.monotonic() + _PATIENCE_SECONDS
                await asyncio.sleep(_SHORTEST_PAUSE_SECONDS)
                while share_done() < number / len(self.faults) and time.monotonic() < deadline:
                    await asyncio.sleep(0.05)
                group.create_task(self._inject(fault))

    async def _inject(self, fault: Fault) -> None:
        actions: dict[str, Callable[[Fault], Awaitable[bool]]] = {
            "kill -9 a worker": lambda b: self._signal(b.one_of(self.deployment.workers), signal.SIGKILL),
            "kill -9 a model process": lambda b: self._hit_model(b, 0),
            "kill -9 an API": lambda b: self._signal(b.one_of(self.deployment.apis), signal.SIGKILL),
            "SIGTERM to a worker": lambda b: self._signal(b.one_of(self.deployment.workers), signal.SIGTERM),
            "SIGTERM to an API": lambda b: self._signal(b.one_of(self.deployment.apis), signal.SIGTERM),
            "cut database connections": self._cut_connections,
            "kill -9 PostgreSQL": lambda _: self._kill_postgres(signal.SIGKILL),
            "immediate shutdown of PostgreSQL": lambda _: self._kill_postgres(signal.SIGQUIT),
            "freeze a worker past its lease": lambda b: self._freeze(b.one_of(self.deployment.workers), _past_lease(b)),
            "freeze a worker that is saving, past its lease": self._freeze_saving,
            "freeze a model process": lambda b: self._hit_model(b, 1 + 3 * b.strength),
            "freeze an API": lambda b: self._freeze(b.one_of(self.deployment.apis), 1 + 3 * b.strength),
            "freeze PostgreSQL": self._freeze_postgres,
            "image store away": lambda b: self._take_store(b, silent=False),
            "image store silent": lambda b: self._take_store(b, silent=True),
        }
        if await actions[fault.kind](fault):
            self.injected[fault.kind] += 1

    async def _running(self, part: Part) -> bool:
        """Whether the part has a running process. If it is being started again, wait for it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not part.is_running and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        return part.is_running

    async def _signal(self, part: Part, number: int) -> bool:
        if not await self._running(part):
            return False
        part.send(number)
        return True

    async def _freeze(self, part: Part, seconds: float) -> bool:
        if not await self._running(part):
            return False
        return await _frozen({part.pid}, seconds)

    async def _freeze_saving(self, fault: Fault) -> bool:
        """The worst moment: the images are drawn, and when the worker wakes up it only has to publish them."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(psycopg.OperationalError):
                for row in self.deployment.query(_SAVING):
                    for worker in self.deployment.workers:
                        if worker.is_running and row["worker_id"].startswith(id_of(socket.gethostname(), worker.pid)):
                            return await _frozen({worker.pid}, _past_lease(fault))
            await asyncio.sleep(0.02)
        return False

    async def _hit_model(self, fault: Fault, seconds: float) -> bool:
        """Kill a model process, or freeze it for so many seconds."""
        worker = fault.one_of(self.deployment.workers)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (models := self.deployment.models(worker)):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        return await _frozen(models, seconds) if seconds else _kill(models)

    async def _cut_connections(self, fault: Fault) -> bool:
        def cut() -> bool:
            rows = self.deployment.query(_CONNECTIONS)
            chosen = random.Random(fault.target).sample(rows, math.ceil(fault.strength * len(rows)))
            for row in chosen:
                self.deployment.query("select pg_terminate_backend(%s)", row["pid"])
            return bool(chosen)

        async with self._database:
            with suppress(psycopg.OperationalError):  # another fault has just hit the database
                return await asyncio.to_thread(cut)
            return False

    async def _kill_postgres(self, number: int) -> bool:
        """Kill the server and start it again, as a platform would."""
        async with self._database:
            pid = self.deployment.postgres.pid
            if pid is None or self.deployment.postgres.poll() is not None:
                return False
            os.kill(pid, number)
            await asyncio.sleep(1)
            await self.deployment.start_postgres()
            return True

    async def _freeze_postgres(self, fault: Fault) -> bool:
        async with self._database:
            pid = self.deployment.postgres.pid
            if pid is None or self.deployment.postgres.poll() is not None:
                return False
            return await _frozen({pid} | descendants(pid), 1 + 4 * fault.strength)

    async def _take_store(self, fault: Fault, *, silent: bool) -> bool:
        async with self._images:
            await self.store.away(1 + 2 * fault.strength, silent=silent)
            return True


def _past_lease(fault: Fault) -> float:
    """So many seconds that the sweep finds the worker's job, and perhaps another worker draws it."""
    return LEASE_SECONDS + SWEEP_SECONDS + 0.5 + 2 * fault.strength


def _kill(pids: set[int]) -> bool:
    is_hit = False
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            is_hit = True
    return is_hit


async def _frozen(pids: set[int], seconds: float) -> bool:
    """Freeze processes for a while. They are named by file descriptors, because process ids may be reused meanwhile."""
    descriptors = []
    for pid in pids:
        with suppress(ProcessLookupError):
            descriptors.append(os.pidfd_open(pid))
    try:
        for descriptor in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        for descriptor in descriptors:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGCONT)
            os.close(descriptor)
    return bool(descriptors)
