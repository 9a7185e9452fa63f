"""Everything around a worker under test: real database, queue and image store, a person, and the model's double."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest

from onbrand.config import REPOSITORY, Settings
from onbrand.database.address import Address
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable
from onbrand.images.store import ImageStore
from onbrand.jobs import service
from onbrand.jobs.models import Job, Owner, Status, image_key, rendition_key
from onbrand.jobs.sweep import Swept, sweep_jobs
from onbrand.packs.store import PackStore
from onbrand.worker import run
from onbrand.worker.job_runner import JobRunner
from onbrand.worker.model_process import ModelProcess
from onbrand.worker.switching import PackInUse
from tests.integration.worker.stub_worker import STUB_MODEL
from tests.jobs import FILES
from tests.packs import MINI
from tests.rules import LIMITS, RULES
from tests.system import environment, is_alive

Seen = TypeVar("Seen")

PATIENCE_SECONDS = 30.0


async def until(look: Callable[[], Awaitable[Seen | None]], seconds: float = PATIENCE_SECONDS) -> Seen:
    """Call `look` again and again until it returns something true. An unavailable database counts as nothing."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(DatabaseUnavailable):
            if seen := await look():
                return seen
        assert time.monotonic() < deadline, "the deadline has passed"
        await asyncio.sleep(0.02)


@dataclass
class Worker:
    """A worker inside this process."""

    working: asyncio.Task[None]
    stop: asyncio.Event
    stop_now: asyncio.Event

    async def ended(self) -> None:
        """Return when the worker has ended; raises the exception it ended with."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.working


@dataclass
class WorkerProcess:
    """`onbrand worker` with the stub as its model, as a process of its own."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log, one JSON object a line."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code."""

        async def look() -> bool:
            return self.process.poll() is not None

        await until(look, seconds)
        return int(self.process.returncode)


@dataclass
class WorkerHarness:
    """Everything around a worker. The lease is long unless a test shortens it, so no lease lapses by accident."""

    database: Database
    database_url: str
    settings: Settings
    notes_dir: Path
    monkeypatch: pytest.MonkeyPatch
    owner: Owner = field(default_factory=lambda: Owner(uuid4(), uuid4()))
    by_token: Address | None = None  # how a worker inside this process signs in, if not as `database_url` says

    @property
    def images_dir(self) -> Path:
        return self.settings.data_dir / "images"

    @property
    def notes(self) -> list[str]:
        """What the model's double wrote down."""
        path = self.notes_dir / "notes"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def model_pids(self) -> list[int]:
        """The process ids of the models that became ready, in order."""
        return [int(line.split()[1]) for line in self.notes if line.startswith("ready")]

    async def submit(self, prompt: str = "a teapot") -> UUID:
        async with self.database.transaction() as connection:
            return (await service.submit(connection, self.owner, prompt, idempotency_key=None, limits=LIMITS)).job_id

    async def find(self, job_id: UUID) -> Job:
        async with self.database.transaction() as connection:
            return await service.find(connection, self.owner, job_id)

    async def cancel(self, job_id: UUID) -> None:
        async with self.database.transaction() as connection:
            await service.cancel(connection, self.owner, job_id, retention_hours=720)

    async def ended(self, job_id: UUID, seconds: float = PATIENCE_SECONDS) -> Job:
        """The job once it is complete or failed."""

        async def look() -> Job | None:
            job = await self.find(job_id)
            return job if job.status in (Status.COMPLETE, Status.FAILED) else None

        return await until(look, seconds)

    async def drawing(self, job_id: UUID, attempt: int = 1) -> None:
        """Return when the attempt is past its first step."""

        async def look() -> bool:
            job = await self.find(job_id)
            assert job.status is not Status.COMPLETE, "the job is complete before it was seen being drawn"
            return (job.attempt, job.status) == (attempt, Status.PROCESSING) and job.progress.step > 0

        await until(look)

    async def noted(self, line: str, times: int = 1) -> None:
        """Return when the model's double has written this line so many times."""

        async def look() -> bool:
            return self.notes.count(line) >= times

        await until(look)

    async def ready(self, models: int = 1) -> None:
        """Return when so many model processes have become ready."""

        async def look() -> bool:
            return len(self.model_pids) >= models

        await until(look)

    async def query(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """The rows of a statement that returns rows."""
        async with self.database.transaction() as connection:
            cursor = await connection.execute(statement, list(arguments))
            return await cursor.fetchall()

    def stored(self, job_id: UUID) -> list[str]:
        """The image files of a job, relative to its folder, including half-written ones."""
        folder = self.images_dir / "jobs" / str(job_id)
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    async def check_result(self, job_id: UUID, attempt: int) -> None:
        """The job is complete with exactly the four images of one attempt, each as its row says, and no other file.

        Each has its rendition beside it.
        """
        job = await self.find(job_id)
        assert (job.status, job.result_attempt, job.percent) == (Status.COMPLETE, attempt, 100)
        rows = await self.query("select * from image where job_id = %s order by n", job_id)
        assert [row["n"] for row in rows] == [1, 2, 3, 4]
        for row in rows:
            png = (self.images_dir / image_key(job_id, attempt, row["n"])).read_bytes()
            assert (hashlib.sha256(png).hexdigest(), len(png)) == (row["sha256"], row["size"])
            webp = (self.images_dir / rendition_key(job_id, attempt, row["n"])).read_bytes()
            assert (hashlib.sha256(webp).hexdigest(), len(webp)) == (row["rendition_sha256"], row["rendition_size"])
        assert self.stored(job_id) == [f"{attempt}/{name}" for name in FILES]

    async def check_nothing_published(self, job_id: UUID) -> None:
        """There is neither an image row nor a file of the job."""
        assert await self.query("select from image where job_id = %s", job_id) == []
        assert self.stored(job_id) == []

    def model_command(self, loading: str, pack_dir: Path) -> list[str]:
        """The command that starts the model's double with a pack."""
        return [sys.executable, str(STUB_MODEL), str(self.notes_dir), loading, str(pack_dir)]

    @asynccontextmanager
    async def worker(self, loading: str = "", **settings: Any) -> AsyncIterator[Worker]:
        """A worker inside this process. At the end it is stopped as by SIGTERM."""
        self.monkeypatch.setattr(run, "model_command", partial(self.model_command, loading))
        stop, stop_now = asyncio.Event(), asyncio.Event()
        chosen = self.settings.model_copy(update=settings)
        working = asyncio.create_task(run.run_worker(chosen, self.by_token or self.database_url, stop, stop_now))
        worker = Worker(working, stop, stop_now)
        try:
            yield worker
        finally:
            stop.set()
            await worker.ended()

    @asynccontextmanager
    async def runner(
        self, worker_id: str, images: ImageStore | None = None, **settings: Any
    ) -> AsyncIterator[JobRunner]:
        """The part of a worker that serves a delivery, for tests that call it without a delivery."""
        model = ModelProcess()
        chosen = self.settings.model_copy(update=settings)
        store_ = images or ImageStore.on_disk(self.images_dir)
        in_use = PackInUse(
            chosen.pack, self.database, PackStore.open(chosen), MINI, model, partial(self.model_command, "")
        )
        try:
            await in_use.open()
            yield JobRunner(chosen, self.database, store_, model, in_use, worker_id, asyncio.Event())
        finally:
            await model.stop()

    @contextmanager
    def worker_process(self, *options: str, loading: str = "", **settings: str) -> Iterator[WorkerProcess]:
        """A worker as a process of its own. At the end it and its model process are killed."""
        log_path = self.notes_dir / f"worker-{uuid4()}.log"
        chosen = {
            "DATABASE_URL": self.database_url,
            "DATA_DIR": str(self.settings.data_dir),
            "LEASE_SECONDS": str(self.settings.lease_seconds),
            "LOG_FORMAT": "json",
        } | settings
        command = [sys.executable, str(STUB_MODEL.with_name("stub_worker.py")), str(self.notes_dir), loading, *options]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment(**chosen), stdin=subprocess.PIPE, stderr=log, cwd=REPOSITORY
            )
        try:
            yield WorkerProcess(process, log_path)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
            for pid in filter(is_alive, self.model_pids):
                os.kill(pid, signal.SIGKILL)

    async def sweep(self, max_attempts: int = 3) -> Swept:
        """One sweep, as the API runs it every five seconds."""
        async with self.database.transaction() as connection:
            return await sweep_jobs(connection, replace(RULES, max_attempts=max_attempts))

    @asynccontextmanager
    async def sweeping(self, max_attempts: int = 3) -> AsyncIterator[None]:
        """A sweep every 0.1 seconds."""

        async def sweep() -> None:
            while True:
                await self.sweep(max_attempts)
                await asyncio.sleep(0.1)

        task = asyncio.create_task(sweep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
