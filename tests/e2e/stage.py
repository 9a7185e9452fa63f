"""The real API with the real page and no worker: whoever holds the stage plays the worker, and so brings jobs to any
state and keeps them there.

Everything goes through the functions that workers use; only the passing of time is written into the rows. The leases
are long, as nobody renews them and the API sweeps what has lapsed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.config import LOCAL_TENANT_ID, Settings
from onbrand.database.migrations import migrate
from onbrand.errors import JobFailure
from onbrand.images.png import check
from onbrand.images.rendition import render
from onbrand.jobs import attempts, service, workers
from onbrand.jobs.attempts import Rules
from onbrand.jobs.models import Claim, Owner, Phase, Progress
from onbrand.jobs.sweep import sweep_jobs
from onbrand.local.people import PEOPLE
from onbrand.local.postgres import EmbeddedPostgres
from tests.e2e.drawings import BRAND_PACK, STEPS, Drawn
from tests.integration.api.service import Service, running
from tests.rules import LIMITS
from tests.system import free_port, wait_until

#: How long measured runs took, and loads of the model, in seconds, as on a rented GPU.
MEASURED_SECONDS = 2 * (31, 32, 33, 34, 35, 35, 36, 38, 44, 52)
_LEASE_SECONDS = 3600.0
_ACTION_SECONDS = 30.0
_FIRST_FAILURE_IS_FINAL = Rules(max_attempts=1, deadline_seconds=600, max_waiting_seconds=3600, retention_hours=720)
_PACK = BRAND_PACK.pack
_LONG_AGO = "interval '2 hours'"

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Stage:
    """A running service, and what workers and time do to the jobs of its member."""

    service: Service
    silence: str  # the address of a service that never answers
    _loop: asyncio.AbstractEventLoop

    @property
    def origin(self) -> str:
        """The address a person opens."""
        return f"http://localhost:{self.service.settings.port}"

    def execute(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement; the rows it returns."""
        return self.do(self.service.execute(sql, *values))

    @property
    def member(self) -> Owner:
        """Who signs in as the studio's member."""
        return Owner(LOCAL_TENANT_ID, PEOPLE["member"].object_id)

    def jobs(self) -> list[UUID]:
        """The member's jobs, the newest first."""
        rows = self.execute("select id from job where user_id = %s order by created_at desc", self.member.user_id)
        return [row["id"] for row in rows]

    def newest(self, count: int = 1) -> UUID:
        """The member's latest job, once there are `count`."""
        wait_until(lambda: len(self.jobs()) >= count, _ACTION_SECONDS)
        return self.jobs()[0]

    def submit(self, prompt: str, owner: Owner | None = None) -> UUID:
        """A job that did not come through the page: somebody's nobody has seen, or the `owner`'s."""

        async def submit() -> UUID:
            async with self.service.transaction() as connection:
                submitted = await service.submit(
                    connection, owner or Owner(LOCAL_TENANT_ID, uuid4()), prompt, idempotency_key=None, limits=LIMITS
                )
                return submitted.job_id

        return self.do(submit())

    def announce(self, state: Literal["loading", "ready"]) -> None:
        """A worker is there; it need not be heard of again."""
        examples = BRAND_PACK.manifest.examples

        async def announce() -> None:
            async with self.service.transaction() as connection:
                await workers.announce(connection, "stage", state, _PACK, examples)
                await connection.execute("update worker set seen_at = now() + interval '1 day'")

        self.do(announce())

    def measure(self) -> None:
        """Others' runs and loads have been measured: from here on the page can say how long it takes."""
        self.execute(
            "insert into job (id, tenant_id, user_id, prompt, seed, seeds, status, attempt, tries, result_attempt,"
            " percent, started_at, first_started_at, drawn_at, completed_at, expires_at)"
            " select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'a teapot', 1, '{1,2,3,4}', 'complete',"
            " 1, 1, 1, 100, now() - make_interval(secs => seconds), now() - make_interval(secs => seconds),"
            " now() - interval '2 seconds', now(), now() + interval '30 days' from unnest(%s::float8[]) as seconds",
            list(MEASURED_SECONDS),
        )
        self.execute("insert into model_load (seconds) select unnest(%s::float8[])", list(MEASURED_SECONDS))

    def pass_time(self, job_id: UUID, seconds: float) -> None:
        """So much longer ago everything about a job now was."""
        self.execute(
            "update job set created_at = created_at - passed, queued_at = queued_at - passed,"
            " started_at = started_at - passed, first_started_at = first_started_at - passed"
            " from make_interval(secs => %s) as passed where id = %s",
            seconds,
            job_id,
        )

    def claim(self, job_id: UUID) -> Claim:
        """Begin to draw a job."""

        async def claim() -> Claim:
            async with self.service.transaction() as connection:
                held = await attempts.claim(connection, job_id, "stage", pack=_PACK, lease_seconds=_LEASE_SECONDS)
            assert held is not None
            return held

        return self.do(claim())

    def report(self, held: Claim, step: int, previews: tuple[bytes, ...] = ()) -> None:
        """So many steps are drawn."""

        async def report() -> None:
            async with self.service.transaction() as connection:
                progress = Progress(Phase.DRAWING, step, STEPS, previews)
                assert await attempts.record_progress(connection, held, progress, lease_seconds=_LEASE_SECONDS)

        self.do(report())

    def publish(self, held: Claim, drawn: Drawn, *, prompt_ignored: int = 0) -> None:
        """Store four pictures and make them the job's result."""

        async def publish() -> None:
            put = self.service.images.put
            stored = [
                await put(held.job_id, held.attempt, n, png, render(check(png)))
                for n, png in enumerate(drawn.pngs, start=1)
            ]
            async with self.service.transaction() as connection:
                assert await attempts.publish(
                    connection, held, stored, prompt_ignored=prompt_ignored, retention_hours=720
                )

        self.do(publish())

    def fail(self, held: Claim, failure: type[JobFailure]) -> None:
        """The attempt ends badly, and it was the last."""

        async def fail() -> None:
            async with self.service.transaction() as connection:
                assert await attempts.end_attempt(connection, held, failure, _FIRST_FAILURE_IS_FINAL) == "failed"

        self.do(fail())

    def wait_in_vain(self, job_id: UUID) -> None:
        """No worker took the job in time."""
        self.execute(f"update job set queued_at = now() - {_LONG_AGO} where id = %s", job_id)
        self._until_swept(job_id)

    def take_too_long(self, held: Claim) -> None:
        """The job is past its deadline."""
        self.execute(f"update job set first_started_at = now() - {_LONG_AGO} where id = %s", held.job_id)
        self._until_swept(held.job_id)

    def lose_the_worker(self, held: Claim) -> None:
        """Nobody renews the lease, as often as a job may be tried."""
        self.execute(
            f"update job set lease_until = now() - {_LONG_AGO}, tries = %s where id = %s",
            self.service.settings.max_attempts,
            held.job_id,
        )
        self._until_swept(held.job_id)

    def expire(self, job_id: UUID) -> None:
        """The job's time is over."""
        self.execute("update job set expires_at = now() where id = %s", job_id)

    def _until_swept(self, job_id: UUID) -> None:
        """Sweep as the API does every few seconds, which may be sweeping at this moment."""

        async def sweep() -> None:
            async with self.service.transaction() as connection:
                await sweep_jobs(connection, Rules.of(self.service.settings))

        def is_failed() -> bool:
            self.do(sweep())
            status: str = self.execute("select status from job where id = %s", job_id)[0]["status"]
            return status == "failed"

        wait_until(is_failed, _ACTION_SECONDS)

    def do(self, action: Coroutine[Any, Any, Answer]) -> Answer:
        """Run this in the stage's own event loop: Playwright has the one of this thread."""
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(_ACTION_SECONDS)


def new_database(server: EmbeddedPostgres) -> str:
    """The address of a migrated, empty database that nobody else uses."""
    name = f"stage_{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
    url = make_conninfo(server.url, dbname=name)
    migrate(url)
    return url


@contextmanager
def open_stage(
    database_url: str, data_dir: Path, web_dir: Path | None, *, pages_elsewhere: tuple[str, ...] = ()
) -> Iterator[Stage]:
    """A service on a free port with a migrated database of its own, and with the built page if it is to serve one."""
    loop = asyncio.new_event_loop()  # not this thread's: Playwright runs one there
    thread = threading.Thread(target=loop.run_forever, name="stage")
    thread.start()
    try:
        with (
            pytest.MonkeyPatch.context() as environment,
            socket.create_server(("127.0.0.1", 0)) as silent,
            running(_settings(environment, data_dir, pages_elsewhere), database_url, web_dir=web_dir) as service,
        ):
            yield Stage(service, f"http://127.0.0.1:{silent.getsockname()[1]}", loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _settings(environment: pytest.MonkeyPatch, data_dir: Path, origins: tuple[str, ...]) -> Settings:
    """The defaults, whatever the environment says."""
    for name in [name for name in os.environ if name.startswith("ONBRAND_")]:
        environment.delenv(name)
    return Settings(data_dir=data_dir, port=free_port(), cors_origins=origins)
