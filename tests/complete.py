"""A complete job with its four images, made with the functions that the API and a worker use."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Owner, Pack
from tests.rules import LIMITS

OWNER = Owner(uuid4(), uuid4())
PNG = b"four of these make a result"
WEBP = b"and four of these"
_PACK = Pack("a" * 64, "Sample brand", "1")


async def complete_job(url: str, data_dir: Path) -> UUID:
    """Make a complete job of `OWNER` with its pictures on disk; returns its id."""
    return await complete_job_in(ImageStore.on_disk(data_dir / "images"), url)


async def complete_job_in(images: ImageStore, url: str) -> UUID:
    """Make a complete job of `OWNER` with its pictures in this store; returns its id."""
    database = Database(url, application_name="test", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            submitted = await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)
            held = await attempts.claim(connection, submitted.job_id, "worker", pack=_PACK, lease_seconds=45)
            assert held is not None
            stored = [await images.put(held.job_id, held.attempt, n, PNG, WEBP) for n in (1, 2, 3, 4)]
            assert await attempts.publish(connection, held, stored, prompt_ignored=0, retention_hours=720)
        return held.job_id
    finally:
        await database.close()
