"""The real database and image folder of a walk. The database's clock stands still unless the walk moves it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import DictRow, dict_row

from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.images.store import ImageStore
from onbrand.jobs.models import Claim, Owner, Status, StoredImage, image_key
from onbrand.maintenance import Maintenance
from tests.integration.life_cycle.expected_jobs import ExpectedJob

Result = TypeVar("Result")

_START = "timestamptz '2026-01-01 00:00:00+00'"
_STANDING_STILL = f"""
    create or replace function clock.now() returns timestamptz language sql stable
        as $$ select {_START} + (select by from clock.shift) $$
"""
_COLUMNS = ", ".join(
    f"extract(epoch from {field.name} - {_START})::bigint as {field.name}"
    if field.name.endswith(("_at", "_until"))
    else field.name
    for field in fields(ExpectedJob)
    if field.name != "owner"
)
_LOOK = (
    f"select {_COLUMNS}, tenant_id, user_id,"
    " (select json_object_agg(n, sha256) from image where job_id = job.id) as images from job"
)


class RealSystem:
    """One database and one folder of images. `empty` prepares them for the next walk."""

    def __init__(self, runner: asyncio.Runner, url: str, settings: Settings) -> None:
        self._runner = runner
        self._database = Database(url, application_name="test", max_connections=2)
        self.observer: psycopg.Connection[DictRow] = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self.observer.execute(_STANDING_STILL)
        self._folder = settings.data_dir / "images"
        self._images = ImageStore.on_disk(self._folder)
        self.maintenance = Maintenance(settings, self._database, self._images)
        self.run(self._database.open())

    def close(self) -> None:
        self.observer.close()
        self.run(self._database.close())

    def empty(self) -> None:
        """Delete all jobs and images, and set the clock back to the start."""
        for table in ("job", "procrastinate_jobs", "expired_job", "past_run", "day_count"):
            self.observer.execute(f"delete from {table}")
        shutil.rmtree(self._folder / "jobs", ignore_errors=True)
        self.set_clock(0)

    def run(self, doing: Awaitable[Result]) -> Result:
        async def do() -> Result:
            return await doing

        return self._runner.run(do())

    def commit(self, change: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Do something in a transaction of its own."""

        async def do() -> Result:
            async with self._database.transaction() as connection:
                return await change(connection)

        return self._runner.run(do())

    def set_clock(self, seconds: int) -> None:
        """Set the database's clock, in seconds since the start of the walk."""
        self.observer.execute("update clock.shift set by = make_interval(secs => %s)", [seconds])

    def age(self, seconds: int) -> None:
        """Make all files so many seconds older."""
        for path in self.files():
            stored = path.stat().st_mtime - seconds
            os.utime(path, (stored, stored))

    def put(self, claim: Claim, n: int) -> StoredImage:
        """Store an image. Its bytes are no PNG file, because the store does not look at them."""
        png = f"{claim.job_id} {claim.attempt} {n}".encode()
        return self.run(self._images.put(claim.job_id, claim.attempt, n, png))

    def discard(self, claim: Claim) -> None:
        self.run(self._images.discard(claim.job_id, claim.attempt))

    def files(self) -> list[Path]:
        return [path for path in (self._folder / "jobs").rglob("*") if path.is_file()]

    def ages(self) -> dict[Path, float]:
        """The age of each file, in seconds."""
        return {path: time.time() - path.stat().st_mtime for path in self.files()}

    def take_delivery(self) -> int | None:
        """Take a delivery as Procrastinate's worker does. Its row looks like that of a worker that died."""
        row = self.observer.execute(
            "update procrastinate_jobs set status = 'doing' where id = ("
            " select id from procrastinate_jobs where status = 'todo' order by priority desc, id limit 1) returning id"
        ).fetchone()
        return row["id"] if row else None

    def finish_delivery(self, delivery: int) -> None:
        self.observer.execute("delete from procrastinate_jobs where id = %s", [delivery])

    def deliveries(self, status: str) -> int:
        rows = self.observer.execute("select from procrastinate_jobs where status::text = %s", [status]).fetchall()
        return len(rows)

    def check(self, expected: Mapping[UUID, ExpectedJob]) -> None:
        """Every row is as expected, and a job has its four images if and only if it is complete."""
        seen = {}
        for row in self.observer.execute(_LOOK).fetchall():
            images, owner = row.pop("images") or {}, Owner(row.pop("tenant_id"), row.pop("user_id"))
            job = ExpectedJob(**row | {"owner": owner, "status": Status(row["status"])})
            seen[job.id] = job
            assert sorted(images) == (["1", "2", "3", "4"] if job.status is Status.COMPLETE else [])
            for n, sha256 in images.items():
                if job.expiring_at is None:
                    assert job.result_attempt is not None
                    stored = (self._folder / image_key(job.id, job.result_attempt, int(n))).read_bytes()
                    assert hashlib.sha256(stored).hexdigest() == sha256
        assert seen == expected
