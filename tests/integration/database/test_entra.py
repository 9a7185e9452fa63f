"""PostgreSQL opened by tokens of a managed identity: fetched, kept, rotated, ended, and missing for a while."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.config import REPOSITORY, DatabaseSignIn, Settings
from onbrand.database import dump, migrations
from onbrand.database.address import EntraAddress, configured
from onbrand.database.entra_token import EARLY_SECONDS, Tokens, TokenUnavailable
from onbrand.database.pool import Database
from onbrand.errors import DatabaseNotReady, DatabaseUnavailable
from onbrand.local.postgres import EmbeddedPostgres
from tests.identity_endpoint import CLIENT_ID, RESOURCE, SECRET, IdentityEndpoint, identity_endpoint
from tests.system import environment, onbrand

PATIENCE_SECONDS = 30.0
SCALER_PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def identity(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """The endpoint of a container app, and a role in the test's database that its tokens open."""
    with identity_endpoint(database_url, monkeypatch) as endpoint:
        yield endpoint


def address_of(identity: IdentityEndpoint, **changes: object) -> EntraAddress:
    chosen = {"database_url": identity.url, "database_auth": "entra", "database_client_id": CLIENT_ID}
    address = configured(Settings(**chosen | changes))  # type: ignore[arg-type]
    assert isinstance(address, EntraAddress)
    return address


def variables_of(identity: IdentityEndpoint, **settings: str) -> dict[str, str]:
    return {"DATABASE_URL": identity.url, "DATABASE_AUTH": "entra", "DATABASE_CLIENT_ID": str(CLIENT_ID)} | settings


async def who(database: Database) -> str:
    """The role and the process id of a connection."""
    async with database.transaction() as connection:
        cursor = await connection.execute("select session_user::text || ' ' || pg_backend_pid() as me")
        row = await cursor.fetchone()
        assert row is not None
        return str(row["me"])


async def eventually(database: Database) -> str:
    """The same, once the database answers."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(DatabaseUnavailable):
            return await who(database)
        assert time.monotonic() < deadline, "the database did not come back"
        await asyncio.sleep(0.1)


def hang_up(identity: IdentityEndpoint) -> int:
    """End all connections of the identity's role, as a server that is restarted does. Returns their number."""
    with psycopg.connect(identity.admin_url, autocommit=True) as connection:
        return connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [identity.role]
        ).rowcount


async def opened(address: EntraAddress, connections: int = 1) -> Database:
    database = Database(address, application_name="test", max_connections=connections)
    await database.open()
    return database


# --- fetching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["container app", "virtual machine"])
def test_a_token_opens_the_database(database_url: str, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    with identity_endpoint(database_url, monkeypatch, form) as identity:
        with migrations.connect(address_of(identity)) as connection:
            assert connection.execute("select session_user").fetchone() == (identity.role,)
        [asked] = identity.asked
        assert (asked["resource"], asked["client_id"]) == (RESOURCE, str(CLIENT_ID))


async def test_many_connections_at_once_ask_for_one_token(identity: IdentityEndpoint) -> None:
    identity.delay_seconds = 0.3  # so that all of them want it before it is there
    database = await opened(address_of(identity), connections=4)
    held = [await database.pool.getconn(timeout=PATIENCE_SECONDS) for _ in range(4)]
    for connection in held:
        await database.pool.putconn(connection)
    await database.close()
    assert len(identity.asked) == 1


def test_no_proxy_and_no_redirect_sees_the_request(identity: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with migrations.connect(address_of(identity)):
        pass
    identity.status = 302
    with pytest.raises(TokenUnavailable, match="HTTP 302"):
        address_of(identity).tokens.get()


# --- rotating and ending ---------------------------------------------------------------------------------------------


async def test_a_rotation_is_survived_by_the_next_connection_and_open_ones_go_on(
    identity: IdentityEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "psycopg")  # libpq's addresses, and each attempt
    database = await opened(address_of(identity))
    before, first = await eventually(database), identity.token
    identity.rotate()
    assert await who(database) == before  # an open connection needs no token
    await asyncio.sleep(1.1)  # a token that is younger is not asked for again
    hang_up(identity)
    assert await eventually(database) != before
    await database.close()
    assert len(identity.asked) == 2
    assert "connection attempt" in caplog.text
    assert not any(secret in caplog.text for secret in (first, identity.token, SECRET))


async def test_a_token_that_the_server_holds_for_ended_is_replaced(identity: IdentityEndpoint) -> None:
    database = await opened(address_of(identity))
    before = await eventually(database)
    identity.end()  # the endpoint has said an hour
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(identity.url, password=identity.token)
    await asyncio.sleep(1.1)  # a token that is younger is not asked for again
    hang_up(identity)
    with pytest.raises(DatabaseUnavailable):
        await who(database)
    identity.rotate()
    assert await eventually(database) != before
    await database.close()


def test_a_command_that_meets_a_rotation_goes_on(identity: IdentityEndpoint) -> None:
    address = address_of(identity)
    with migrations.connect(address):
        pass
    identity.rotate()
    time.sleep(1.1)
    with migrations.connect(address) as connection:
        assert connection.execute("select session_user").fetchone() == (identity.role,)


class Watch:
    """Both clocks of `Tokens`, which a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead

    def steady(self) -> float:
        return 1000.0 + self.ahead


def watched(identity: IdentityEndpoint, watch: Watch) -> Tokens:
    settings = Settings(
        database_url=identity.url,  # type: ignore[arg-type]
        database_auth=DatabaseSignIn.ENTRA,
        database_client_id=CLIENT_ID,
    )
    assert settings.database_identity is not None
    return Tokens(settings.database_identity, clock=watch.time, steady=watch.steady)


def test_a_token_is_kept_until_shortly_before_its_end(identity: IdentityEndpoint) -> None:
    watch = Watch()
    tokens = watched(identity, watch)
    first = tokens.get()
    watch.ahead = identity.life_seconds - EARLY_SECONDS - 60
    assert (tokens.get(), len(identity.asked)) == (first, 1)
    identity.rotate()
    identity.life_seconds *= 2
    watch.ahead = identity.life_seconds / 2 - EARLY_SECONDS + 1
    assert tokens.get() == identity.token != first


def test_an_endpoint_that_is_away_near_the_end_costs_nothing_while_the_token_is_good(
    identity: IdentityEndpoint,
) -> None:
    watch = Watch()
    tokens = watched(identity, watch)
    first = tokens.get()
    identity.stop()
    watch.ahead = identity.life_seconds - EARLY_SECONDS + 1
    assert tokens.get() == first
    watch.ahead = identity.life_seconds + 1
    with pytest.raises(TokenUnavailable, match="doesn't answer"):
        tokens.get()


def test_a_token_that_the_server_refuses_is_asked_for_anew_but_not_without_end(identity: IdentityEndpoint) -> None:
    watch = Watch()
    tokens = watched(identity, watch)
    first = tokens.get()
    identity.rotate()
    tokens.forget(first)  # it is brand-new, so the server has another reason, and the next one would end the same
    assert (tokens.get(), len(identity.asked)) == (first, 1)
    watch.ahead = 1
    tokens.forget("another")  # that of a caller who was slower
    assert (tokens.get(), len(identity.asked)) == (first, 1)
    tokens.forget(first)
    assert tokens.get() == identity.token != first


def test_a_token_with_a_short_life_serves_all_who_connect_at_that_moment(identity: IdentityEndpoint) -> None:
    identity.life_seconds = EARLY_SECONDS / 2
    watch = Watch()
    tokens = watched(identity, watch)
    assert [tokens.get() for _ in range(3)] == [identity.token] * 3
    assert len(identity.asked) == 1
    watch.ahead = 1
    tokens.get()
    assert len(identity.asked) == 2


def test_a_token_that_has_ended_when_it_comes_is_none(identity: IdentityEndpoint) -> None:
    identity.life_seconds = -1
    with pytest.raises(TokenUnavailable, match="Check this machine's clock"):
        address_of(identity).tokens.get()


def test_callers_who_wait_for_a_request_that_fails_hear_of_that_failure(identity: IdentityEndpoint) -> None:
    identity.status, identity.delay_seconds = 500, 0.3
    tokens = watched(identity, Watch())

    def ask() -> str:
        with pytest.raises(TokenUnavailable) as failed:
            tokens.get()
        return failed.value.reason

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: ask(), range(4))) == {"its endpoint answered HTTP 500"}
    assert len(identity.asked) == 1


# --- an endpoint that is away ----------------------------------------------------------------------------------------


async def test_while_the_endpoint_is_away_open_connections_serve_and_new_ones_come_when_it_is_back(
    identity: IdentityEndpoint, caplog: pytest.LogCaptureFixture
) -> None:
    serving = await opened(address_of(identity))
    before = await eventually(serving)
    identity.stop()
    with caplog.at_level(logging.WARNING, "psycopg.pool"):
        waiting = await opened(address_of(identity))
        with pytest.raises(DatabaseUnavailable):
            await who(waiting)
    assert await who(serving) == before
    failures = [record.getMessage() for record in caplog.records if record.getMessage().startswith("error connecting")]
    [line] = {failure.partition(": ")[2] for failure in failures}
    assert line.startswith("the managed identity gives no token for the database: its endpoint doesn't answer. Check")
    identity.start()
    assert (await eventually(waiting)).startswith(identity.role)
    await serving.close()
    await waiting.close()


def test_a_command_waits_for_an_endpoint_that_starts_after_it(identity: IdentityEndpoint) -> None:
    identity.stop()
    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(migrations.connect, address_of(identity))
        time.sleep(0.5)  # the first try has failed
        identity.start()
        with connecting.result(PATIENCE_SECONDS) as connection:
            assert connection.execute("select session_user").fetchone() == (identity.role,)


def test_a_wrong_client_id_is_named_at_once(identity: IdentityEndpoint, tmp_path: Path) -> None:
    wrong = variables_of(identity, DATABASE_CLIENT_ID=str(CLIENT_ID).replace("d", "e"), DATA_DIR=str(tmp_path))
    refused = onbrand("migrate", **wrong)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "onbrand: The managed identity gives no token for the database: its endpoint refuses the request (HTTP 400)."
        " Correct ONBRAND_DATABASE_CLIENT_ID, and assign that identity to this machine.\n"
    )
    assert len(identity.asked) == 1


# --- processes and commands ------------------------------------------------------------------------------------------


def test_two_processes_use_the_database_across_a_rotation(identity: IdentityEndpoint, tmp_path: Path) -> None:
    """Each has the database open, loses its connection after a rotation, and goes on by itself."""
    program = (
        "import asyncio, sys\n"
        "from onbrand.config import load_settings\n"
        "from onbrand.database.address import configured\n"
        "from onbrand.database.pool import Database\n"
        "from onbrand.errors import DatabaseUnavailable\n"
        "async def main():\n"
        "    database = Database(configured(load_settings()), application_name='test', max_connections=1)\n"
        "    await database.open()\n"
        "    for line in sys.stdin:\n"
        "        while True:\n"
        "            try:\n"
        "                async with database.transaction() as connection:\n"
        "                    row = await (await connection.execute('select pg_backend_pid() as pid')).fetchone()\n"
        "                break\n"
        "            except DatabaseUnavailable:\n"
        "                await asyncio.sleep(0.1)\n"
        "        print(row['pid'], flush=True)\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    variables = environment(**variables_of(identity, DATA_DIR=str(tmp_path)))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env=variables,
            cwd=REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]

    def ask(process: subprocess.Popen[str]) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        return process.stdout.readline()

    try:
        before = {ask(process) for process in processes}
        identity.rotate()
        time.sleep(1.1)
        assert hang_up(identity) == 2
        after = {ask(process) for process in processes}
        assert len(before) == len(after) == 2
        assert before.isdisjoint(after)
    finally:
        for process in processes:
            process.communicate(timeout=PATIENCE_SECONDS)


def test_a_backup_and_a_restore_sign_in_with_tokens(identity: IdentityEndpoint, tmp_path: Path) -> None:
    address = address_of(identity)
    dumped, _ = dump.write(address, tmp_path, lambda _: None)
    dump.load(address, tmp_path, dumped, lambda _: None)
    assert {table.name for table in dumped.tables} >= {"job", "brand_pack"}


@pytest.fixture
def as_on_azure(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """An empty database as Azure makes it: a group owns it, and the identity, an administrator, is in the group.

    It is no superuser, may make roles, and the schema `public` is the owner's alone, as since PostgreSQL 15.
    """
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create role an_azure_pg_admin createrole createdb")
        connection.execute("create database on_azure owner an_azure_pg_admin")
    try:
        with identity_endpoint(make_conninfo(postgres.url, dbname="on_azure"), monkeypatch, group=None) as identity:
            role = Identifier(identity.role)
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                connection.execute(SQL("alter role {} createrole createdb").format(role))
                connection.execute(SQL("grant an_azure_pg_admin to {}").format(role))
            yield identity
            with psycopg.connect(identity.admin_url, autocommit=True) as connection:
                connection.execute("drop owned by onbrand_scaler")
                connection.execute("drop role onbrand_scaler")
    finally:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("drop database on_azure with (force)")
            connection.execute("drop role an_azure_pg_admin")


def test_the_identity_migrates_and_lets_the_scaler_in_without_any_other_grant(
    as_on_azure: IdentityEndpoint, tmp_path: Path
) -> None:
    variables = variables_of(as_on_azure, DATA_DIR=str(tmp_path), SCALER_PASSWORD=SCALER_PASSWORD)
    migrated = onbrand("migrate", **variables)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout.startswith("applied: procrastinate, ")
    assert as_on_azure.token not in migrated.stdout
    as_on_azure.rotate()
    again = onbrand("migrate", **variables)
    assert (again.stdout, again.stderr) == ("nothing to do: the schema is current\n", "")
    scaler = make_conninfo(as_on_azure.url, user="onbrand_scaler", password=SCALER_PASSWORD)
    with psycopg.connect(scaler) as connection:
        assert connection.execute("select n from keda_gpu_demand").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select * from job")


def test_an_address_with_a_password_needs_no_identity(database_url: str) -> None:
    address = configured(Settings(database_url=database_url))  # type: ignore[arg-type]
    assert address == database_url
    with migrations.connect(database_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_refusal_of_the_server_is_told_without_the_token(identity: IdentityEndpoint) -> None:
    address = address_of(identity)
    token = address.tokens.get()
    with psycopg.connect(identity.admin_url, autocommit=True) as connection:
        connection.execute(SQL("alter role {} nologin").format(Identifier(identity.role)))
    with pytest.raises(DatabaseNotReady, match="not permitted to log in") as refused:
        migrations.connect(address)
    assert token not in refused.value.message
