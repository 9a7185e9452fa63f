"""Migrations: each step once, whoever runs them, and one plain sentence when they can't run."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.database import migrations
from onbrand.database.migrations import Migration, is_current, migrate
from onbrand.database.pool import Database
from onbrand.errors import ConfigError, DatabaseNotReady
from onbrand.local.postgres import EmbeddedPostgres

_numbers = itertools.count(1)


@pytest.fixture
def bare_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a database with nothing in it."""
    name = f"bare_{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(name)))
    yield make_conninfo(postgres.url, dbname=name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))


@pytest.fixture
async def bare(bare_url: str) -> AsyncIterator[Database]:
    database = Database(bare_url, application_name="test", max_connections=2)
    await database.open()
    yield database
    await database.close()


async def current(database: Database) -> bool:
    async with database.transaction() as connection:
        return await is_current(connection)


async def test_an_empty_database_is_not_current_until_it_is_migrated(bare: Database, bare_url: str) -> None:
    assert not await current(bare)
    assert migrate(bare_url)[0] == "procrastinate"
    assert await current(bare)


async def test_a_database_that_lacks_the_last_step_is_not_current(bare: Database, bare_url: str) -> None:
    last = len(migrate(bare_url)) - 1
    async with bare.transaction() as connection:
        await connection.execute("delete from schema_migration where version = %s", [last])
    assert not await current(bare)


async def test_the_schema_of_a_newer_version_counts_as_current(bare: Database, bare_url: str) -> None:
    migrate(bare_url)
    async with bare.transaction() as connection:
        await connection.execute("insert into schema_migration (version, name) values (9999, 'of tomorrow')")
    assert await current(bare)


def test_migrating_again_changes_nothing(bare_url: str) -> None:
    migrate(bare_url)
    assert migrate(bare_url) == []


def test_of_several_processes_that_migrate_at_once_one_does(bare_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [bare_url] * 4))
    assert sorted(map(bool, applied)) == [False, False, False, True]


def test_a_step_that_fails_leaves_nothing_behind_and_keeps_those_before_it(
    bare_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = [Migration(0, "good", "create table good ()"), Migration(1, "bad", "create table bad (); select 1 / 0")]
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(DatabaseNotReady, match=r"^The database can't be migrated: division by zero$"):
        migrate(bare_url)
    with psycopg.connect(bare_url) as connection:
        tables = connection.execute("select to_regclass('good')::text, to_regclass('bad')::text").fetchone()
        assert tables == ("good", None)
        assert connection.execute("select name from schema_migration").fetchall() == [("good",)]


def test_a_step_that_cannot_be_written_down_is_undone(bare_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [Migration(0, "good", "create table good ()"), Migration(0, "twin", "create table twin ()")]
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(DatabaseNotReady, match="duplicate key"):
        migrate(bare_url)
    with psycopg.connect(bare_url) as connection:
        assert connection.execute("select to_regclass('twin')").fetchone() == (None,)


def test_a_server_that_cannot_be_reached_is_one_sentence_that_says_what_to_do() -> None:
    with pytest.raises(DatabaseNotReady) as caught:
        migrate("postgresql://onbrand:secret@127.0.0.1:1/onbrand")
    message = caught.value.message
    assert message.startswith("The database can't be reached (")
    assert message.endswith("Start it, or correct ONBRAND_DATABASE_URL.")
    assert "secret" not in message
    assert "\n" not in message


def test_an_address_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(ConfigError) as caught:
        migrate("postgresql//onbrand:secret@127.0.0.1/onbrand")
    assert caught.value.message == "ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)"


def test_the_steps_are_numbered_without_a_gap_or_a_repetition() -> None:
    assert [step.version for step in migrations.migrations()] == list(range(len(migrations.migrations())))
