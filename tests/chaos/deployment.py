"""A whole Onbrand as in production: PostgreSQL, several API and worker processes, and a supervisor that restarts them.

The processes are the real ones; only the model is a double (`stub_model.py`). The chaos run and the benchmarks use it.
Which faults are injected is in `faults`, what is checked afterwards in `verdict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from onbrand.config import LOCAL_TENANT_ID, REPOSITORY
from onbrand.database.migrations import migrate
from onbrand.jobs.workers import id_of
from onbrand.local.issuer import Issuer
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.worker.stub_worker import STUB_MODEL
from tests.system import descendants, environment, free_port, is_alive

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_LOOK_SECONDS = 0.05

Seen = TypeVar("Seen")


async def until(look: Callable[[], Seen], seconds: float, what: str) -> Seen:
    """Call `look` again and again until it returns something true."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds:.0f} s it was not yet true that {what}")
        await asyncio.sleep(_LOOK_SECONDS)
    return seen


@dataclass
class Part:
    """An API or a worker: when its process ends, another one is started while it `is_wanted`."""

    name: str
    command: list[str]
    settings: dict[str, str]
    log_path: Path
    is_wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    started: list[int] = field(default_factory=list)  # the ids of all its processes
    exit_codes: list[int] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        """The id of its running process, or of the last one."""
        return self.started[-1]

    def start(self) -> None:
        # Its standard input is a pipe from this process: if this process is killed, the pipe ends and so it stops.
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=environment(**self.settings),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        self.started.append(self.process.pid)

    def look_after(self) -> None:
        """Notice that the process has ended, and start another one if it is wanted."""
        if self.process is not None and self.process.poll() is not None:
            self._forget()
        if self.process is None and self.is_wanted:
            self.start()

    def send(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)  # Popen checks first that the process has not ended

    def _forget(self) -> None:
        assert self.process is not None
        self.exit_codes.append(self.process.returncode)
        if self.process.stdin:
            self.process.stdin.close()
        self.process = None


class Deployment:
    """PostgreSQL, APIs and workers in a folder. Enter it with `running_deployment`."""

    def __init__(self, folder: Path, apis: int, workers: int, settings: dict[str, str]) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.notes_dir = folder / "notes"
        # One thread for the whole life of the deployment: the server ends with the thread that started it.
        self._server_thread = ThreadPoolExecutor(1, thread_name_prefix="postgres")
        self.postgres = EmbeddedPostgres(folder / "server", stop_seconds=5)
        self.postgres_is_wanted = True
        self._settings = settings
        self._counts = (apis, workers)
        self.apis: list[Part] = []
        self.workers: list[Part] = []
        self.issuers: list[Issuer] = []
        self._guard: asyncio.Task[None] | None = None

    @property
    def parts(self) -> list[Part]:
        return [*self.apis, *self.workers]

    def url(self, api: int) -> str:
        """The address of an API."""
        return f"http://127.0.0.1:{self.apis[api].settings['PORT']}"

    def token(self, user_id: UUID, api: int) -> str:
        """A member's token for one of the APIs; each is its own local issuer, with the same key."""
        issuer = self.issuers[api]
        return issuer.sign(issuer.access_claims("member") | {"oid": str(user_id), "tid": str(LOCAL_TENANT_ID)})

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement on the database directly, without any code under test."""
        with psycopg.connect(
            self.postgres.url, row_factory=dict_row, autocommit=True, connect_timeout=10
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def models(self, worker: Part) -> set[int]:
        """The model processes of a worker; empty while it starts one."""
        return descendants(worker.pid) if worker.is_running else set()

    def notes(self) -> list[str]:
        """The lines that the models' doubles wrote."""
        path = self.notes_dir / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def readiness(self, api: int) -> dict[str, Any]:
        """The answer of an API's /readyz; empty while there is none."""
        try:
            with urllib.request.urlopen(f"{self.url(api)}/readyz", timeout=2) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except (OSError, ValueError):
            return {}

    async def start_postgres(self) -> None:
        """Start the server, also after a crash; returns when it answers."""
        await asyncio.get_running_loop().run_in_executor(self._server_thread, self.postgres.start)

    async def open(self) -> None:
        """Start everything, and return when every API and every worker is ready."""
        self.folder.chmod(0o755)  # as root, the server runs as another user, who must be able to enter
        self.notes_dir.mkdir()
        page = self.folder / "page"
        page.mkdir()
        (page / "index.html").write_text("<!doctype html><title>Onbrand</title>")
        await self.start_postgres()
        migrate(self.postgres.url)
        common = {
            "DATABASE_URL": self.postgres.url,
            "DATA_DIR": str(self.data_dir),
            "WEB_DIR": str(page),
            "LOG_FORMAT": "json",
            "MAX_REQUESTS_PER_SECOND": "100000",  # a few clients stand for many people
        } | self._settings
        apis, workers = self._counts
        for number in range(1, apis + 1):
            port = str(free_port())
            self.issuers.append(Issuer(f"http://localhost:{port}", self.data_dir / "sign-in"))
            command = [sys.executable, "-m", "onbrand", "api", "--stop-with-parent"]
            self.apis.append(self._part(f"api-{number}", command, common | {"PORT": port}))
            self.apis[-1].start()  # at once, because another process may take the port until the API listens on it
        for number in range(1, workers + 1):
            self.workers.append(self._part(f"worker-{number}", self.worker_command(), common))
        self._guard = asyncio.create_task(self._look_after_all())
        await self.ready()

    def worker_command(self) -> list[str]:
        """The command that starts `onbrand worker` with the model's double."""
        script = str(STUB_MODEL.with_name("stub_worker.py"))
        return [sys.executable, script, str(self.notes_dir), "", "--stop-with-parent"]

    def is_ready(self) -> bool:
        """Whether every API can check tokens and every wanted worker has loaded its model."""
        return not self.unready()

    def unready(self) -> list[str]:
        """What is not ready yet: APIs and wanted workers, each with what is known of it."""
        if self._guard is not None and self._guard.done():
            self._guard.result()  # raises: nobody would start again what ends
        # Not the number that the API shows: it counts a killed worker for another 30 seconds.
        rows = {row["id"]: row for row in self.query("select id, state, now() - seen_at as since from worker")}
        missing = [
            f"{api.name} answers /readyz with {answer}"
            for number, api in enumerate(self.apis)
            if not (answer := self.readiness(number)).get("keys")
        ]
        for worker in self.workers:
            prefix = id_of(socket.gethostname(), worker.pid) if worker.started else "never started"
            own = [row for name, row in rows.items() if name.startswith(prefix)]
            if worker.is_wanted and not any(row["state"] == "ready" for row in own):
                state = f"{own[0]['state']}, seen {own[0]['since']} ago" if own else "not announced"
                missing.append(f"{worker.name} ({prefix}) is {state}")
        return missing

    async def ready(self) -> None:
        """Return once everything is ready."""
        await until(self.is_ready, _START_SECONDS, "everything was ready")

    async def stop(self, parts: Sequence[Part]) -> dict[str, int]:
        """Stop them as an upgrade does, and return their exit codes. A process that takes too long is killed."""
        for part in parts:
            part.is_wanted = False
            part.send(signal.SIGTERM)
        for part in parts:
            try:
                await until(lambda part=part: _has_ended(part), _STOP_SECONDS, "it ended")  # type: ignore[misc]
            except TimeoutError:
                part.send(signal.SIGKILL)
                await until(lambda part=part: _has_ended(part), _STOP_SECONDS, "it died")  # type: ignore[misc]
        return {part.name: part.exit_codes[-1] for part in parts if part.exit_codes}

    async def close(self) -> None:
        """Stop everything. Processes that remain are killed."""
        await self.stop(self.workers)
        await self.stop(self.apis)
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        for pid in self.left_running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await asyncio.get_running_loop().run_in_executor(self._server_thread, self.postgres.stop)
        self._server_thread.shutdown()

    def left_running(self) -> set[int]:
        """Processes of APIs, workers and models that still run. They have the data folder in their environment."""
        mark, found = str(self.data_dir).encode(), set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes() and is_alive(int(entry.name)):
                        found.add(int(entry.name))
        return found

    def _part(self, name: str, command: list[str], settings: dict[str, str]) -> Part:
        return Part(name, command, settings, self.folder / f"{name}.log")

    async def _look_after_all(self) -> None:
        while True:
            for part in self.parts:
                part.look_after()
            if self.postgres_is_wanted and self.postgres.poll() is not None:
                await self.start_postgres()
            await asyncio.sleep(_LOOK_SECONDS)


def _has_ended(part: Part) -> bool:
    part.look_after()
    return part.process is None


@asynccontextmanager
async def running_deployment(
    folder: Path, settings: Mapping[str, str], *, apis: int = 1, workers: int = 1
) -> AsyncIterator[Deployment]:
    """A deployment that is ready, with these settings for every API and worker. It is stopped when the block ends."""
    deployment = Deployment(folder, apis, workers, dict(settings))
    try:
        await deployment.open()
        yield deployment
    finally:
        await deployment.close()
