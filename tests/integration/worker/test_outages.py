"""The database does not answer: at the start, while a job is claimed or drawn, and when the worker must stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.database import pool
from onbrand.database.migrations import migrate
from onbrand.errors import DatabaseNotReady
from onbrand.jobs import queue
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.worker import retries
from tests.integration.worker.harness import WorkerHarness, until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop and start again."""
    with EmbeddedPostgres(tmp_path / "server") as server:
        migrate(server.url)
        yield server


@pytest.fixture
def database_url(server: EmbeddedPostgres) -> str:
    return server.url


async def test_a_drawing_survives_a_restart_of_the_database(harness: WorkerHarness, server: EmbeddedPostgres) -> None:
    with harness.worker_process() as worker:
        job_id, following = await harness.submit("slow"), await harness.submit()
        await harness.drawing(job_id)
        server.stop()
        await asyncio.sleep(6)  # longer than the pool tries to reconnect, and far beyond the drawing's end
        server.start()
        await harness.ended(following)
        assert worker.process.poll() is None
    await harness.check_result(job_id, attempt=1)
    await harness.check_result(following, attempt=1)
    assert harness.notes.count("load") == 1


async def test_a_worker_hears_of_new_jobs_again_after_an_outage_it_has_slept_through(
    harness: WorkerHarness, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "POLL_SECONDS", 60.0)  # so that only a notification is in time
    async with harness.worker():
        await harness.ended(await harness.submit())
        server.stop()
        await asyncio.sleep(1)
        server.start()

        async def listens() -> bool:
            return bool(await harness.query("select pid from pg_stat_activity where query ilike 'listen %%'"))

        await until(listens)
        await harness.ended(await harness.submit(), seconds=5)


async def test_a_job_whose_claim_finds_no_database_is_drawn_when_it_is_back(
    harness: WorkerHarness, server: EmbeddedPostgres
) -> None:
    job_id = await harness.submit()
    harness.database.pool.timeout = 0.2  # the shortest wait for a connection
    async with harness.runner("worker") as runner:
        server.stop()
        drawing = asyncio.create_task(runner.run_next_job())
        await harness.ready()
        await asyncio.sleep(1.5)  # that is the outage; the claim is tried again and again
        server.start()
        await drawing
    await harness.check_result(job_id, attempt=1)


async def test_four_finished_images_wait_for_the_database_to_be_published(
    harness: WorkerHarness, server: EmbeddedPostgres
) -> None:
    async def is_publishing() -> bool:
        return bool(await harness.query("select pid from pg_stat_activity where wait_event_type = 'Lock'"))

    job_id = await harness.submit()
    connection = await psycopg.AsyncConnection.connect(server.url)
    await connection.execute("lock table image in exclusive mode")
    async with harness.runner("worker") as runner:
        drawing = asyncio.create_task(runner.run_next_job())
        await until(is_publishing)
        server.stop()
        await connection.close()
        await asyncio.sleep(1.5)  # that is the outage; publishing is tried again and again
        server.start()
        await drawing
    await harness.check_result(job_id, attempt=1)
    assert harness.notes.count(f"draw {job_id}") == 1


async def test_a_worker_that_starts_before_its_database_waits_for_it_or_for_the_signal_to_stop(
    harness: WorkerHarness, server: EmbeddedPostgres
) -> None:
    job_id = await harness.submit()
    server.stop()
    async with harness.worker() as impatient, harness.worker():
        await asyncio.sleep(1)  # both workers wait
        impatient.stop.set()
        await impatient.ended()
        server.start()
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)


async def test_a_worker_that_must_go_does_not_wait_for_the_database(
    harness: WorkerHarness, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_STOPPING_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(pool, "PATIENCE_SECONDS", 1.2)
    async with harness.worker() as worker:
        await harness.drawing(await harness.submit("slow"))
        server.stop()
        worker.stop.set()
        worker.stop_now.set()
        started = time.monotonic()
        await worker.ended()
        assert time.monotonic() - started < 10


async def test_a_worker_refuses_a_database_without_its_schema(harness: WorkerHarness, server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create database bare")
    harness.database_url = make_conninfo(server.url, dbname="bare")
    with pytest.raises(DatabaseNotReady, match="Run `onbrand migrate`"):
        async with harness.worker() as worker:
            await worker.ended()
    assert harness.notes == []
