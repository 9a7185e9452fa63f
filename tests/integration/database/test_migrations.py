"""Migrations: each step once, whoever runs them, and one plain sentence when they can't run."""

from __future__ import annotations

import itertools
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.database import migrations
from onbrand.database.migrations import Migration, is_current, migrate, require_current
from onbrand.database.pool import Database
from onbrand.errors import ConfigError, DatabaseNotReady
from onbrand.local.postgres import EmbeddedPostgres
from tests.system import wait_until

_numbers = itertools.count(1)
_FROZEN = Path(__file__).resolve().parents[2] / "vectors" / "migrations.sha256"  # a line for each file, for ever
_TABLE_OF_BEFORE = (
    "create table schema_migration"
    " (version integer primary key, name text not null, applied_at timestamptz not null default now())"
)
_VIEW_OF_BEFORE: LiteralString = """
drop view waiting_job; create view waiting_job as
    with served as materialized (  -- one look for each person, not for each job
        select tenant_id, user_id,
               (select max(started_at) from job
                where job.tenant_id = person.tenant_id and job.user_id = person.user_id) as served_at
        from (select distinct tenant_id, user_id from job where status = 'queued') as person
    ),
    turns as (
        select job.id, job.created_at, served.served_at,
               row_number() over person as turn,
               min(job.created_at) over person as first_created_at
        from job join served using (tenant_id, user_id)
        where job.status = 'queued'
        window person as (partition by tenant_id, user_id order by job.created_at, job.id)
    )
    select id, row_number() over (order by turn, served_at nulls first, first_created_at, created_at, id) as place
    from turns;
"""


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
    migrate(bare_url)
    last = migrations.migrations()[-1].version
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
    steps = (Migration(0, "good", "create table good ()"), Migration(1, "bad", "create table bad (); select 1 / 0"))
    monkeypatch.setattr(migrations, "migrations", lambda: steps)
    with pytest.raises(DatabaseNotReady, match=r"^The database can't be migrated: division by zero$"):
        migrate(bare_url)
    with psycopg.connect(bare_url) as connection:
        tables = connection.execute("select to_regclass('good')::text, to_regclass('bad')::text").fetchone()
        assert tables == ("good", None)
        assert connection.execute("select name from schema_migration").fetchall() == [("good",)]


def test_a_step_that_cannot_be_written_down_is_undone(bare_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (Migration(0, "good", "create table good ()"), Migration(0, "twin", "create table twin ()"))
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


def test_a_migration_never_changes_once_it_was_committed() -> None:
    frozen = [line.split() for line in _FROZEN.read_text().splitlines()]
    assert [[step.checksum, step.name] for step in migrations.migrations()] == frozen


async def test_a_database_made_with_another_text_of_a_migration_is_told_from_ours(
    bare: Database, bare_url: str
) -> None:
    migrate(bare_url)
    async with bare.transaction() as connection:
        await connection.execute("update schema_migration set checksum = repeat('0', 64) where version = 2")
    assert not await current(bare)
    async with bare.transaction() as connection:
        with pytest.raises(DatabaseNotReady, match="another text of the migration 0002_upkeep"):
            await require_current(connection)
    with pytest.raises(DatabaseNotReady, match="another text of the migration 0002_upkeep"):
        migrate(bare_url)


async def test_a_database_from_before_checksums_has_them_from_the_next_migration_on(
    bare: Database, bare_url: str
) -> None:
    migrate(bare_url)
    with psycopg.connect(bare_url) as connection:
        connection.execute("alter table schema_migration drop column checksum")
    assert await current(bare)
    migrate(bare_url)
    with psycopg.connect(bare_url) as connection:
        rows = connection.execute("select version, checksum from schema_migration order by version").fetchall()
    assert rows == [(step.version, step.checksum) for step in migrations.migrations()]


def test_a_database_with_the_first_form_of_the_waiting_line_gets_the_right_one(
    bare_url: str, database_url: str
) -> None:
    steps = migrations.migrations()
    with psycopg.connect(bare_url) as connection:
        for step in steps[:8]:  # as an earlier version did it, without checksums
            connection.execute(step.sql)
        connection.execute(_TABLE_OF_BEFORE)
        connection.execute(
            "insert into schema_migration select n, (%s::text[])[n + 1] from generate_series(0, 7) as n",
            [[step.name for step in steps]],
        )
        connection.execute(_VIEW_OF_BEFORE)
    migrate(bare_url)
    with psycopg.connect(bare_url) as old, psycopg.connect(database_url) as new:
        shows = "select pg_get_viewdef('waiting_job'::regclass)"
        assert old.execute(shows).fetchone() == new.execute(shows).fetchone()


def test_readers_pass_while_a_migration_waits_for_its_table(
    bare_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    migrate(bare_url)
    steps = migrations.migrations()
    adds = Migration(steps[-1].version + 1, "adds", "alter table job add column added integer")
    monkeypatch.setattr(migrations, "migrations", lambda: (*steps, adds))
    monkeypatch.setattr(migrations, "_PAUSE_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING), psycopg.connect(bare_url) as reader:
        reader.execute("select count(*) from job")  # and its transaction stays open
        applied = pool.submit(migrate, bare_url)
        wait_until(lambda: any(getattr(line, "action", "") == "migrate_wait" for line in caplog.records))
        with psycopg.connect(bare_url, options="-c lock_timeout=20s") as another:
            another.execute("select count(*) from job")  # without the pauses this fails: it stands behind the migration
        assert not applied.done()
        reader.rollback()
        assert applied.result(60) == ["adds"]


def test_a_table_that_is_never_free_is_one_sentence(bare_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(bare_url)
    steps = migrations.migrations()
    adds = Migration(steps[-1].version + 1, "adds", "alter table job add column added integer")
    monkeypatch.setattr(migrations, "migrations", lambda: (*steps, adds))
    monkeypatch.setattr(migrations, "_PATIENCE_SECONDS", 0.0)
    with psycopg.connect(bare_url) as reader:
        reader.execute("select count(*) from job")
        with pytest.raises(DatabaseNotReady, match="adds needs a table that others have had in use"):
            migrate(bare_url)
