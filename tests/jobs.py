"""Jobs of three people, made with the same statements that the API and a worker use, but without these processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.jobs import attempts, eta, service, workers
from onbrand.jobs.eta import Outlook
from onbrand.jobs.models import Claim, Job, Owner, Pack, Progress, StoredImage
from tests.rules import LIMITS

ANNA = Owner(uuid4(), uuid4())
BERT = Owner(ANNA.tenant_id, uuid4())
NAMESAKE = Owner(uuid4(), ANNA.user_id)  # the same object id in another tenant
PACK = Pack("a" * 64, "Sample brand", "1")
FILES = sorted(f"{n}{ending}" for n in (1, 2, 3, 4) for ending in (".png", "-512.webp"))  # of an attempt, stored
IMAGES = [StoredImage(n, f"{n:064x}", 100) for n in (1, 2, 3, 4)]


async def submit(
    database: Database,
    owner: Owner = ANNA,
    prompt: str = "a teapot",
    *,
    key: str | None = None,
    max_unfinished: int = 100,
) -> UUID:
    limits = replace(LIMITS, unfinished_per_user=max_unfinished)
    async with database.transaction() as connection:
        return (await service.submit(connection, owner, prompt, idempotency_key=key, limits=limits)).job_id


async def find(database: Database, job_id: UUID, owner: Owner = ANNA) -> Job:
    async with database.transaction() as connection:
        return await service.find(connection, owner, job_id)


async def outlook(database: Database, job_id: UUID) -> Outlook:
    async with database.transaction() as connection:
        return await eta.outlook(connection, await service.find(connection, ANNA, job_id))


async def cancel(database: Database, job_id: UUID, owner: Owner = ANNA) -> Job:
    async with database.transaction() as connection:
        return await service.cancel(connection, owner, job_id, retention_hours=720)


async def claim(database: Database, job_id: UUID) -> Claim:
    async with database.transaction() as connection:
        held = await attempts.claim(connection, job_id, "worker", pack=PACK, lease_seconds=45)
    assert held is not None
    return held


async def report(database: Database, held: Claim, progress: Progress) -> bool:
    async with database.transaction() as connection:
        return await attempts.record_progress(connection, held, progress, lease_seconds=45)


async def publish(database: Database, held: Claim) -> None:
    async with database.transaction() as connection:
        assert await attempts.publish(connection, held, IMAGES, prompt_ignored=0, retention_hours=720)


async def draw(database: Database, job_id: UUID, *, until: Progress | None = None) -> Claim:
    """Claim the job, and report progress `until` there, or publish images."""
    held = await claim(database, job_id)
    if until is None:
        await publish(database, held)
    else:
        assert await report(database, held, until)
    return held


async def drawn_in(database: Database, seconds: float, *, saving: float = 0, pack: Pack = PACK) -> None:
    """Make a complete job that took so many seconds, `saving` of them after the last step."""
    job_id = await submit(database)
    await draw(database, job_id)
    async with database.transaction() as connection:
        await connection.execute(
            "update job set started_at = completed_at - make_interval(secs => %s),"
            " drawn_at = completed_at - make_interval(secs => %s), pack_id = %s where id = %s",
            [seconds, saving, pack.id, job_id],
        )


async def announce(database: Database, *states: Literal["loading", "ready"]) -> None:
    """Make exactly these workers alive."""
    async with database.transaction() as connection:
        await connection.execute(
            "delete from worker where id <> all(%s)", [[f"worker {n}" for n in range(len(states))]]
        )
        for number, state in enumerate(states):
            await workers.announce(connection, f"worker {number}", state, PACK)
