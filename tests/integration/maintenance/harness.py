"""A database whose clock a test moves, a real folder of images, and the maintenance of both."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from onbrand.errors import ImageStoreUnavailable
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Claim, Job, Owner, Pack, StoredImage, image_key, image_keys, rendition_key
from onbrand.maintenance import Maintenance
from tests.clock import Clock
from tests.rules import LIMITS

OWNER = Owner(uuid4(), uuid4())
PACK = Pack("a" * 64, "Sample brand", "1")
RETENTION = timedelta(hours=720)


class FaultyStore(ImageStore):
    """An image store that stops answering after so many deletions."""

    answers = 1_000_000

    async def delete_job(self, job_id: UUID) -> None:
        self.answers -= 1
        if self.answers < 0:
            raise ImageStoreUnavailable
        await super().delete_job(job_id)


@dataclass
class MaintenanceHarness:
    """A database with a clock, and the image store that belongs to it."""

    clock: Clock
    images: FaultyStore
    folder: Path
    maintenance: Maintenance

    async def query(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        async with self.clock.database.transaction() as connection:
            cursor = await connection.execute(statement, list(arguments))
            return await cursor.fetchall()

    async def now(self) -> datetime:
        at: datetime = (await self.query("select now() as at"))[0]["at"]
        return at

    async def claimed(self) -> Claim:
        async with self.clock.database.transaction() as connection:
            submitted = await service.submit(connection, OWNER, "a teapot", idempotency_key=None, limits=LIMITS)
            held = await attempts.claim(connection, submitted.job_id, "worker", pack=PACK, lease_seconds=45)
        assert held is not None
        return held

    async def store(self, held: Claim, *, hours_old: float = 0, with_renditions: bool = False) -> list[StoredImage]:
        """Store the four images of an attempt."""
        webp = os.urandom(32) if with_renditions else None
        stored = [await self.images.put(held.job_id, held.attempt, n, os.urandom(64), webp) for n in (1, 2, 3, 4)]
        for image in stored:
            for key in image_keys(held.job_id, held.attempt, image):
                self.age(self.folder / key, hours_old)
        return stored

    async def publish(self, held: Claim, images: list[StoredImage]) -> None:
        async with self.clock.database.transaction() as connection:
            assert await attempts.publish(connection, held, images, prompt_ignored=0, retention_hours=720)

    async def complete(self, *, hours_old: float = 0, with_renditions: bool = False) -> UUID:
        """Make a complete job with its four files, or eight."""
        held = await self.claimed()
        await self.publish(held, await self.store(held, hours_old=hours_old, with_renditions=with_renditions))
        return held.job_id

    async def failed(self) -> UUID:
        held = await self.claimed()
        async with self.clock.database.transaction() as connection:
            await service.cancel(connection, OWNER, held.job_id, retention_hours=720)
        return held.job_id

    async def find(self, job_id: UUID) -> Job:
        async with self.clock.database.transaction() as connection:
            return await service.find(connection, OWNER, job_id)

    def path(self, job_id: UUID, attempt: int, n: int) -> Path:
        return self.folder / image_key(job_id, attempt, n)

    def rendition_path(self, job_id: UUID, attempt: int, n: int) -> Path:
        return self.folder / rendition_key(job_id, attempt, n)

    def age(self, path: Path, hours: float) -> None:
        at = time.time() - hours * 3600
        os.utime(path, (at, at))

    @property
    def files(self) -> int:
        return sum(path.is_file() for path in self.folder.rglob("*"))

    async def jobs(self) -> int:
        return len(await self.query("select from job"))
