"""What people, workers and the sweep do to a job, each step in a transaction of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.jobs import attempts, service
from onbrand.jobs.fairness import next_job
from onbrand.jobs.models import Claim, Job, Owner, Pack, Progress, StoredImage
from onbrand.jobs.sweep import Swept, sweep_jobs
from tests.rules import LIMITS, RULES

OWNER = Owner(uuid4(), uuid4())
PACK = Pack("a" * 64, "Sample brand", "1")
IMAGES = [StoredImage(n, f"{n:064x}", 100) for n in (1, 2, 3, 4)]


async def submit(database: Database) -> UUID:
    async with database.transaction() as connection:
        return (await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)).job_id


async def claim(database: Database, job_id: UUID, *, lease_seconds: float = 45) -> Claim | None:
    async with database.transaction() as connection:
        return await attempts.claim(connection, job_id, "worker", pack=PACK, lease_seconds=lease_seconds)


async def claimed(database: Database, job_id: UUID, *, lease_seconds: float = 45) -> Claim:
    found = await claim(database, job_id, lease_seconds=lease_seconds)
    assert found is not None
    return found


async def find(database: Database, job_id: UUID) -> Job:
    async with database.transaction() as connection:
        return await service.find(connection, OWNER, job_id)


async def record(database: Database, held: Claim, progress: Progress) -> bool:
    async with database.transaction() as connection:
        return await attempts.record_progress(connection, held, progress, lease_seconds=45)


async def publish(database: Database, held: Claim) -> bool:
    async with database.transaction() as connection:
        return await attempts.publish(connection, held, IMAGES, prompt_ignored=0, retention_hours=720)


async def sweep(database: Database, *, max_attempts: int = 3) -> Swept:
    async with database.transaction() as connection:
        return await sweep_jobs(connection, replace(RULES, max_attempts=max_attempts))


async def count(database: Database, table: str) -> int:
    async with database.transaction() as connection:
        cursor = await connection.execute(f"select count(*) as rows from {table}")
        row = await cursor.fetchone()
    assert row is not None
    return int(row["rows"])


async def turn(database: Database, worker: str = "worker") -> UUID | None:
    """Claim the next job."""
    async with database.transaction() as connection:
        job_id = await next_job(connection)
        if job_id is not None:
            assert await attempts.claim(connection, job_id, worker, pack=PACK, lease_seconds=45)
        return job_id


async def served(database: Database) -> str:
    """Claim the next job and publish images; returns its prompt."""
    job_id = await turn(database)
    assert job_id is not None
    async with database.transaction() as connection:
        cursor = await connection.execute("select * from job where id = %s", [job_id])
        row = await cursor.fetchone()
        assert row is not None
        held = Claim(job_id, row["attempt"], row["tries"], row["prompt"], tuple(row["seeds"]))
    assert await publish(database, held)
    return held.prompt


async def submit_as(database: Database, owner: Owner, *prompts: str) -> None:
    for prompt in prompts:
        async with database.transaction() as connection:
            await service.submit(connection, owner, prompt, idempotency_key=None, limits=LIMITS)


async def rows(database: Database, statement: str, *arguments: object) -> list[dict[str, Any]]:
    async with database.transaction() as connection:
        cursor = await connection.execute(statement, list(arguments))
        return await cursor.fetchall()
