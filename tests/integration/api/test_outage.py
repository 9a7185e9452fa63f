"""A database that is stopped, stuck or slow: the API answers within seconds, and recovers without a restart.

Each test has a server of its own, or locks rows of the shared one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from onbrand.config import Settings
from onbrand.database.migrations import migrate
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.api.service import Person, Service, assert_problem, running
from tests.system import descendants, is_alive, wait_until

PROMISED_SECONDS = 3.0
SLACK_SECONDS = 0.5  # for this machine's own business
RECOVERY_SECONDS = 15.0
_CUT = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that may be stopped."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("server")) as server:
        migrate(server.url)
        yield server


@pytest.fixture(scope="module")
def dependent(server: EmbeddedPostgres, make_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service on that server."""
    with running(make_settings(), server.url) as service:
        yield service


@contextmanager
def frozen(server: EmbeddedPostgres) -> Iterator[None]:
    """All of the server's processes stopped: the network goes on taking what nobody will answer."""
    assert server.pid is not None
    pids = [server.pid]
    try:
        _freeze(server.pid)  # first: a running one would go on making processes for connections
        pids += descendants(server.pid)
        for pid in pids[1:]:
            _freeze(pid)
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


def _freeze(pid: int) -> None:
    _send(pid, signal.SIGSTOP)
    wait_until(lambda: not is_alive(pid) or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # a connection's process ends with it
        os.kill(pid, number)


@contextmanager
def stopped(server: EmbeddedPostgres) -> Iterator[None]:
    """The server shut down, then started again on the same port."""
    server.stop()
    try:
        yield
    finally:
        server.start()


async def timed(request: Any) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    answer = await request
    return answer, time.monotonic() - began


async def wait_until_accepted(person: Person) -> float:
    """Seconds until a generation is accepted again."""
    began = time.monotonic()
    while (await person.http.post("/generate", json={"prompt": "again"})).status_code != 202:
        assert time.monotonic() - began < RECOVERY_SECONDS
    return time.monotonic() - began


@pytest.mark.parametrize("trouble", [stopped, frozen], ids=["stopped", "black hole"])
async def test_a_database_that_is_away_is_an_answer_within_seconds(
    server: EmbeddedPostgres, dependent: Service, trouble: Callable[[EmbeddedPostgres], Any]
) -> None:
    async with dependent.person() as person:
        job_id, _ = await person.complete()
        with trouble(server):
            requests = {
                "submit": person.http.post("/generate", json={"prompt": "canary7f3a91"}),
                "look": person.http.get(f"/jobs/{job_id}"),
                "image": person.http.get(f"/jobs/{job_id}/images/1"),
                "stream": person.http.get(f"/jobs/{job_id}/events"),
                "cancel": person.http.delete(f"/jobs/{job_id}"),
                "me": person.http.get("/me"),
                **{f"look {n}": person.http.get(f"/jobs/{job_id}") for n in range(20)},
            }
            readiness = asyncio.create_task(timed(person.http.get("/readyz")))
            answers = dict(zip(requests, await asyncio.gather(*map(timed, requests.values())), strict=True))
            for name, (answer, seconds) in answers.items():
                assert_problem(answer, 503, "database_unavailable")
                assert int(answer.headers["retry-after"]) > 0
                assert seconds < PROMISED_SECONDS + SLACK_SECONDS, name
                assert "canary" not in answer.text
            ready, seconds = await readiness
            assert (ready.status_code, ready.json()["database"]) == (503, False)
            assert seconds < PROMISED_SECONDS + SLACK_SECONDS
            assert (await timed(person.http.get("/healthz")))[1] < 1
            # What needs no database answers as ever.
            assert_problem(await person.http.post("/generate", json={"prompt": ""}), 422, "prompt_blank")
        await wait_until_accepted(person)
        assert (await person.http.get(f"/jobs/{job_id}/images/1")).status_code == 200
        jobs = await dependent.execute("select id from job where prompt = %s", "canary7f3a91")
        assert jobs == []


async def test_a_stream_ends_when_the_database_is_lost(server: EmbeddedPostgres, dependent: Service) -> None:
    async with dependent.person() as person:
        job_id = await person.submit()
        async with asyncio.timeout(10), person.http.stream("GET", f"/jobs/{job_id}/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "event: job"
            with frozen(server):
                assert [line async for line in lines if line.startswith("event")] == []
        await wait_until_accepted(person)


async def test_a_restarted_database_costs_nobody_an_error(server: EmbeddedPostgres, dependent: Service) -> None:
    async with dependent.person() as person:
        job_id = await person.submit()
        await asyncio.gather(*(person.http.get(f"/jobs/{job_id}") for _ in range(20)))  # fills the pool
        with stopped(server):
            pass
        answers = await asyncio.gather(*(person.http.get(f"/jobs/{job_id}") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("table", ["job", "procrastinate_jobs"])
async def test_a_submission_that_is_stuck_on_a_lock_is_given_up_and_leaves_nothing(
    service: Service, member: Person, table: str
) -> None:
    with psycopg.connect(service.database_url) as connection:
        connection.execute(f"lock table {table} in access exclusive mode")
        answer, seconds = await timed(member.http.post("/generate", json={"prompt": "a teapot"}))
        assert_problem(answer, 503, "database_unavailable")
        assert seconds < PROMISED_SECONDS + SLACK_SECONDS
    await wait_until_accepted(member)
    assert len(await service.execute("select id from job where user_id = %s", member.owner.user_id)) == 1


async def test_fifty_requests_that_the_database_keeps_waiting_are_all_answered_in_time(
    service: Service, member: Person
) -> None:
    job_id = await member.submit()
    with psycopg.connect(service.database_url) as connection:
        connection.execute("lock table job in access exclusive mode")
        requests = [timed(member.http.get(f"/jobs/{job_id}")) for _ in range(50)]  # ten times the connections there are
        answers = asyncio.gather(*requests)
        assert (await timed(member.http.get("/healthz")))[1] < 1
        for answer, seconds in await answers:
            assert_problem(answer, 503, "database_unavailable")
            assert seconds < PROMISED_SECONDS + SLACK_SECONDS
    assert (await member.http.get(f"/jobs/{job_id}")).status_code == 200


async def test_a_database_with_a_full_disk_still_shows_what_it_has(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    await service.execute(
        "create function disk_is_full() returns trigger language plpgsql as"
        " $$ begin raise exception 'No space left on device' using errcode = 'disk_full'; end $$"
    )
    await service.execute("create trigger full_disk before insert on job execute function disk_is_full()")
    try:
        answer, seconds = await timed(member.http.post("/generate", json={"prompt": "a teapot"}))
        assert_problem(answer, 503, "database_unavailable")
        assert seconds < PROMISED_SECONDS + SLACK_SECONDS
        assert (await member.http.get(f"/jobs/{job_id}/images/1")).status_code == 200
    finally:
        await service.execute("drop trigger full_disk on job")
        await service.execute("drop function disk_is_full")
    assert await wait_until_accepted(member) < 1


async def test_a_database_that_takes_no_changes_still_shows_what_it_has(
    postgres: EmbeddedPostgres, database_url: str, make_settings: Callable[..., Settings]
) -> None:
    name = str(conninfo_to_dict(database_url)["dbname"])
    with running(make_settings(), database_url) as standby, psycopg.connect(postgres.url, autocommit=True) as server:
        async with standby.person() as person:
            job_id, _ = await person.complete()
            server.execute(SQL("alter database {} set default_transaction_read_only = on").format(Identifier(name)))
            server.execute(_CUT, [name])
            for method, path in (("POST", "/generate"), ("DELETE", f"/jobs/{job_id}")):
                answer, seconds = await timed(person.http.request(method, path, json={"prompt": "a teapot"}))
                assert_problem(answer, 503, "database_unavailable")
                assert seconds < PROMISED_SECONDS + SLACK_SECONDS
            assert (await person.http.get(f"/jobs/{job_id}")).json()["status"] == "complete"
            assert (await person.http.get(f"/jobs/{job_id}/images/1")).status_code == 200
            # And it comes back by itself: connections to what was a standby are not kept.
            server.execute(SQL("alter database {} reset default_transaction_read_only").format(Identifier(name)))
            assert await wait_until_accepted(person) < 5


async def test_an_image_store_that_is_away_is_said_and_spares_the_rest(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    images: Path = service.settings.data_dir / "images"
    images.rename(images.with_name("away"))
    images.write_bytes(b"")  # no directory, so that nothing below it can even be missing
    try:
        answer = await member.http.get(f"/jobs/{job_id}/images/1")
        assert_problem(answer, 503, "store_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await member.http.get(f"/jobs/{job_id}")).status_code == 200
    finally:
        images.unlink()
        images.with_name("away").rename(images)
    assert (await member.http.get(f"/jobs/{job_id}/images/1")).status_code == 200
