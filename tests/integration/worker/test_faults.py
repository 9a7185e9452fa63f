"""A worker with a bad network, a frozen machine, a prompt that kills the model, and a wrong clock.

The faults are real: bytes that do not arrive (`tests/proxy.py`), signals, no memory left, a database with another time.
Lost connections are in `test_lost_connections.py`, stopped servers in `test_outages.py`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.adapt import Dumper

from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.errors import DatabaseUnavailable, DeadlinePassed, WorkerLost
from onbrand.jobs import service
from onbrand.jobs.models import Status
from tests.clock import Clock
from tests.integration.worker.harness import WorkerHarness, until
from tests.jobs import FILES
from tests.proxy import Proxy
from tests.rules import LIMITS, RULES

TERM, STOP, CONTINUE = signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT
CLAIMS, PUBLISHES = b"attempt = attempt + 1", b"insert into image"


# --- bytes that do not arrive ----------------------------------------------------------------------------------------


async def test_a_publication_whose_answer_is_lost_is_neither_repeated_nor_forgotten(harness: WorkerHarness) -> None:
    async with Proxy.before_database(harness.database_url) as (proxy, harness.database_url), harness.worker() as worker:
        proxy.cut_after(PUBLISHES, b"COMMIT")
        job_id = await harness.submit()
        await harness.ended(job_id)
        await harness.ended(await harness.submit())
        assert proxy.cuts >= 1
        assert not worker.working.done()
    await harness.check_result(job_id, attempt=1)
    assert harness.notes.count(f"draw {job_id}") == 1


async def test_a_claim_whose_answer_is_lost_is_drawn_long_before_its_lease_lapses(harness: WorkerHarness) -> None:
    async with Proxy.before_database(harness.database_url) as (proxy, harness.database_url), harness.worker():
        await harness.ready()
        proxy.cut_after(CLAIMS, b"COMMIT")
        started = time.monotonic()
        job_id = await harness.submit()
        await harness.ended(job_id)
        assert time.monotonic() - started < harness.settings.lease_seconds / 3
        assert proxy.cuts >= 1
    await harness.check_result(job_id, attempt=2)
    assert harness.notes.count(f"draw {job_id}") == 1


async def test_a_submission_whose_answer_is_lost_is_found_again_by_its_key(harness: WorkerHarness) -> None:
    async with Proxy.before_database(harness.database_url) as (proxy, url):
        database = Database(url, application_name="test", max_connections=1)
        await database.open()

        async def submit(connection: Connection) -> service.Submitted:
            return await service.submit(connection, harness.owner, "a teapot", idempotency_key="k", limits=LIMITS)

        proxy.cut_after(b"insert into job", b"COMMIT")
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await submit(connection)
        async with database.transaction() as connection:
            again = await submit(connection)
        await database.close()
    assert not again.is_new
    assert await harness.query("select id from job") == [{"id": again.job_id}]


async def test_a_worker_that_is_cut_off_beyond_its_lease_publishes_nothing_and_goes_on_afterwards(
    harness: WorkerHarness,
) -> None:
    direct = harness.database_url
    async with (
        Proxy.before_database(direct) as (proxy, harness.database_url),
        harness.worker(lease_seconds=1.0) as cut_off,
    ):
        job_id = await harness.submit("once pace=0.4")
        await harness.drawing(job_id)
        proxy.stall()
        harness.database_url = direct
        async with harness.worker(), harness.sweeping():
            await harness.ended(job_id)
        proxy.pass_on()
        following = await harness.submit()
        await harness.ended(following)
        assert not cut_off.working.done()
    await harness.check_result(job_id, attempt=2)
    await harness.check_result(following, attempt=1)


async def test_a_slow_database_delays_and_breaks_nothing(harness: WorkerHarness) -> None:
    async with Proxy.before_database(harness.database_url) as (proxy, harness.database_url), harness.worker():
        await harness.ready()
        proxy.delay_seconds = 0.03
        job_id = await harness.submit()
        await harness.ended(job_id)
        proxy.pass_on()
    await harness.check_result(job_id, attempt=1)


# --- machines that stand still ---------------------------------------------------------------------------------------


async def test_a_frozen_worker_with_four_stored_images_publishes_none_and_removes_them(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALT_AT", "stored 4")
    monkeypatch.setenv("HALT_WITH", "SIGSTOP")
    with harness.worker_process(LEASE_SECONDS="1") as frozen:
        job_id = await harness.submit("pace=0.3")

        async def has_frozen() -> bool:
            return len(harness.stored(job_id)) == len(FILES) and is_stopped(frozen.process.pid)

        await until(has_frozen)
        os.kill(harness.model_pids[0], STOP)
        async with harness.worker(), harness.sweeping():
            await harness.drawing(job_id, attempt=2)
            os.kill(harness.model_pids[0], CONTINUE)
            frozen.signal(CONTINUE)  # it tries to publish while the other worker still draws

            async def has_deleted_its_images() -> bool:
                return harness.stored(job_id) == [f"2/{name}" for name in FILES]

            await until(has_deleted_its_images)
            await harness.ended(job_id)
        frozen.signal(TERM)
        assert await frozen.ended() == 0
    await harness.check_result(job_id, attempt=2)


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


async def test_a_lease_shorter_than_a_step_costs_attempts_and_never_doubles_the_images(harness: WorkerHarness) -> None:
    async with (
        harness.sweeping(max_attempts=6),
        harness.worker(lease_seconds=1.0, max_attempts=6),
        harness.worker(lease_seconds=1.0, max_attempts=6),
    ):
        job_id = await harness.submit("once pace=1.5")
        job = await harness.ended(job_id)
    assert job.result_attempt is not None
    assert job.result_attempt > 1
    await harness.check_result(job_id, job.result_attempt)


async def test_a_worker_that_stops_keeps_its_lease_while_it_finishes_its_job(harness: WorkerHarness) -> None:
    async with harness.sweeping():
        with harness.worker_process(LEASE_SECONDS="1") as stopping:
            job_id = await harness.submit("pace=0.5")  # 3.5 s
            await harness.drawing(job_id)
            stopping.signal(TERM)
            async with harness.worker():
                assert await stopping.ended() == 0
                await harness.ended(await harness.submit())
    await harness.check_result(job_id, attempt=1)
    assert harness.notes.count(f"draw {job_id}") == 1


# --- prompts that kill -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("poison", ["segv@1", "oom@1"])
async def test_a_prompt_that_kills_the_model_is_started_three_times_and_the_next_one_is_drawn(
    harness: WorkerHarness, poison: str
) -> None:
    async with harness.worker():
        poisonous, following = await harness.submit(poison), await harness.submit()
        job = await harness.ended(poisonous)
        await harness.ended(following)
    assert (job.status, job.error_code, job.attempt) == (Status.FAILED, WorkerLost.code, RULES.max_attempts)
    assert harness.notes.count(f"draw {poisonous}") == RULES.max_attempts
    await harness.check_nothing_published(poisonous)
    await harness.check_result(following, attempt=1)


# --- deliveries and versions -----------------------------------------------------------------------------------------


async def test_a_delivery_that_was_deleted_is_made_again_for_a_worker_that_waits(harness: WorkerHarness) -> None:
    async with harness.worker():
        await harness.ended(await harness.submit())
        async with harness.database.transaction() as connection:  # so that the worker never sees the delivery
            job_id = (
                await service.submit(connection, harness.owner, "a cup", idempotency_key=None, limits=LIMITS)
            ).job_id
            await connection.execute("delete from procrastinate_jobs")
        await harness.query("update job set queued_at = queued_at - interval '11 seconds' returning id")
        assert (await harness.sweep()).delivered_again == 1
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)


async def test_a_worker_works_with_the_schema_of_a_newer_version(harness: WorkerHarness) -> None:
    async with harness.database.transaction() as connection:
        await connection.execute("insert into schema_migration (version, name) values (9999, 'of_a_newer_version')")
        await connection.execute("alter table job add column mood text default 'good' not null")
    async with harness.worker():
        job_id = await harness.submit()
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=1)


# --- clocks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_time_in_statements() -> Iterator[None]:
    """Fail a test that sends a time to the database: only the database's clock may count."""

    class Refusing(Dumper):
        def dump(self, value: object) -> bytes:  # noqa: ARG002
            raise AssertionError("a time of this machine went into a statement")

    types: tuple[type, ...] = (date, datetime, timedelta)
    before = [psycopg.adapters.get_dumper(kind, psycopg.adapt.PyFormat.AUTO) for kind in types]
    for kind in types:
        psycopg.adapters.register_dumper(kind, Refusing)
    yield
    for kind, dumper in zip(types, before, strict=True):
        psycopg.adapters.register_dumper(kind, dumper)


@pytest.mark.usefixtures("_no_time_in_statements")
async def test_a_worker_decides_nothing_by_its_own_clock(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    async with harness.sweeping():
        for hours in (1, -1):
            monkeypatch.setattr(time, "time", lambda hours=hours: now() + 3600 * hours)
            async with harness.worker(lease_seconds=1.0):
                job_id, again = await harness.submit("slow"), await harness.submit("once kill@2")
                await harness.ended(job_id)
                await harness.ended(again)
            await harness.check_result(job_id, attempt=1)
            await harness.check_result(again, attempt=2)


@pytest.fixture
def moved(
    clock: Clock, clock_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WorkerHarness:
    """A harness with a database whose clock can be moved."""
    notes_dir = tmp_path / "notes"
    notes_dir.mkdir()
    return WorkerHarness(clock.database, clock_url, settings, notes_dir, monkeypatch)


@pytest.mark.parametrize("days", [-5, 5])
async def test_a_database_whose_clock_is_set_keeps_the_job_that_is_drawn_unless_its_time_is_over(
    moved: WorkerHarness, clock: Clock, days: int
) -> None:
    async with moved.worker(), moved.sweeping():
        before = await moved.submit()
        await moved.ended(before)
        job_id = await moved.submit("pace=0.3")
        await moved.drawing(job_id)
        await clock.move(timedelta(days=days))
        job, following = await moved.ended(job_id), await moved.submit()
        await moved.ended(following)
    if days > 0:
        assert job.error_code == DeadlinePassed.code  # by the database's clock it has been drawn for five days
        await moved.check_nothing_published(job_id)
    else:
        await moved.check_result(job_id, attempt=1)
    for other in (before, following):
        await moved.check_result(other, attempt=1)


async def test_a_job_whose_worker_died_before_the_clock_was_set_back_is_drawn_within_minutes(
    moved: WorkerHarness, clock: Clock
) -> None:
    with moved.worker_process() as worker:
        job_id = await moved.submit("once hang@2")
        await moved.noted(f"hang {job_id}")
        worker.signal(signal.SIGKILL)
        await worker.ended()
    lost = await moved.submit()
    await moved.query("delete from procrastinate_jobs returning id")
    await clock.move(timedelta(days=-5))
    await moved.sweep()
    await clock.move(timedelta(minutes=1, seconds=1))
    async with moved.worker(), moved.sweeping():
        await moved.ended(job_id)
        await moved.ended(lost)
    await moved.check_result(job_id, attempt=2)
    await moved.check_result(lost, attempt=1)
