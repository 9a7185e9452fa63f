"""A studio, a platform that starts GPU replicas by the scaler's view, and its bill, beside the product's statements.

The clock is the database's and jumps from event to event. The platform looks every half minute, begins to bill at that
moment, and takes replicas away only when the view says zero. Replicas draw, and may be killed at any time.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from uuid import UUID, uuid4

from onbrand.budget import governor, ledger
from onbrand.budget.plan import Plan
from onbrand.database.pool import Connection, Database
from onbrand.errors import BudgetSpent
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Claim, Owner
from onbrand.jobs.sweep import sweep_jobs
from tests.clock import Clock
from tests.jobs import IMAGES, PACK
from tests.rules import LIMITS, RULES

LOOKS_EVERY = 30.0
_AT_ONCE = 4  # jobs that a process accepts at the same time
_MOST_ACCEPTED = 20  # by each of these; a budget that refuses nothing ends, too
STEP = 10.0
LEASE = 45.0


@dataclass
class Replica:
    """A replica of the platform, and the worker in it."""

    name: str
    begun: float
    ready: float
    killed: float
    usd_per_second: float  # the price when it began
    is_silent: bool = False  # its worker is gone, and the platform hasn't noticed
    job: Claim | None = None
    job_ends: float = 0.0


@dataclass
class World:
    """Drives everything; `bill` is what the platform asks for, counted without the product."""

    clock: Clock
    plan: Plan
    chance: random.Random
    draw_seconds: float = 20.0
    start_seconds: float = 120.0
    kills: float = 0.0  # the share of replicas that die before their time
    most: int = 1  # replicas
    now: float = 0.0
    bill: float = 0.0
    lives: int = 0
    accepted: list[UUID] = field(default_factory=list)
    refused: int = 0
    replicas: list[Replica] = field(default_factory=list)
    looked: float = -LOOKS_EVERY

    async def submit(self) -> bool:
        """Somebody generates; False if the budget refuses."""
        try:
            async with self.clock.database.transaction() as connection:
                submitted = await service.submit(
                    connection,
                    Owner(uuid4(), uuid4()),
                    "a teapot",
                    idempotency_key=None,
                    limits=LIMITS,
                    admit=partial(governor.admit, plan=self.plan),
                )
                await ledger.want(connection, self.plan)
        except BudgetSpent:
            self.refused += 1
            return False
        self.accepted.append(submitted.job_id)
        return True

    async def warm(self) -> None:
        """Somebody signs in or types."""
        async with self.clock.database.transaction() as connection:
            await governor.warm(connection, self.plan)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass: in small steps while a replica lives or is wanted, otherwise at once."""
        until = self.now + seconds
        while self.now < until:
            is_quiet = not self.replicas and await self.wanted() == 0
            step = until - self.now if is_quiet else min(STEP, until - self.now)
            await self.clock.move(timedelta(seconds=step))
            self.now += step
            self.bill += sum(replica.usd_per_second for replica in self.replicas) * step
            await self._work()
            if self.now - self.looked >= LOOKS_EVERY:
                self.looked = self.now
                await self._scale()

    async def wanted(self) -> int:
        """What the scaler reads."""
        async with self.clock.database.transaction() as connection:
            cursor = await connection.execute("select n from keda_gpu_demand")
            row = await cursor.fetchone()
        return int(row["n"]) if row else 0

    async def _scale(self) -> None:
        wanted = await self.wanted()
        if wanted == 0:
            for replica in self.replicas:
                async with self.clock.database.transaction() as connection:
                    await ledger.ended(connection, replica.name)
            self.replicas = []
        while len(self.replicas) < min(wanted, self.most):
            self.lives += 1
            life = self.chance.expovariate(1 / 120) if self.chance.random() < self.kills else float("inf")
            name, price = f"replica {self.lives}", self.plan.usd_per_second
            self.replicas.append(Replica(name, self.now, self.now + self.start_seconds, self.now + life, price))

    async def _work(self) -> None:
        self.replicas = [one for one in self.replicas if one.killed > self.now]
        async with self.clock.database.transaction() as connection:
            for replica in self.replicas:
                if self.has_given_a_sign(replica) and not replica.is_silent:
                    is_ready = self.now >= replica.ready
                    await ledger.saw(connection, replica.name, is_ready=is_ready, plan=self.plan)
                    if is_ready:
                        await self._draw(connection, replica)
        async with self.clock.database.transaction() as connection:
            await sweep_jobs(connection, RULES)
        async with self.clock.database.transaction() as connection:
            await governor.tend(connection, self.plan)

    def has_given_a_sign(self, replica: Replica) -> bool:
        """Whether its process runs; before, a container is only fetched and started."""
        return self.now - replica.begun >= self.start_seconds / 2

    async def _draw(self, connection: Connection, replica: Replica) -> None:
        if replica.job is not None and self.now >= replica.job_ends:
            await attempts.publish(connection, replica.job, IMAGES, prompt_ignored=0, retention_hours=720)
            replica.job = None
        if replica.job is not None:
            await attempts.renew(connection, replica.job, lease_seconds=LEASE)
            return
        cursor = await connection.execute("select id from job where status = 'queued' order by created_at limit 1")
        if (row := await cursor.fetchone()) is not None:
            replica.job = await attempts.claim(connection, row["id"], replica.name, pack=PACK, lease_seconds=LEASE)
            replica.job_ends = self.now + self.draw_seconds

    async def spent(self) -> float:
        """What the ledger says."""
        async with self.clock.database.transaction() as connection:
            return await ledger.spent(connection)

    async def standing(self) -> governor.Standing:
        """What the governor says."""
        async with self.clock.database.transaction() as connection:
            return await governor.standing(connection, self.plan)


def accept_until_refused(url: str, plan: Plan, begin: Event, answers: SimpleQueue[int]) -> None:
    """In a process of its own: accept jobs, several at once, until one is refused; put their number into `answers`."""

    async def accept(database: Database) -> int:
        accepted = 0
        while accepted < _MOST_ACCEPTED:
            try:
                async with database.transaction() as connection:
                    await service.submit(
                        connection,
                        Owner(uuid4(), uuid4()),
                        "a teapot",
                        idempotency_key=None,
                        limits=LIMITS,
                        admit=partial(governor.admit, plan=plan),
                    )
            except BudgetSpent:
                return accepted
            accepted += 1
        return accepted

    async def run() -> int:
        database = Database(url, application_name="test", max_connections=_AT_ONCE)
        await database.open()
        try:
            begin.wait()
            return sum(await asyncio.gather(*(accept(database) for _ in range(_AT_ONCE))))
        finally:
            await database.close()

    answers.put(asyncio.run(run()))
