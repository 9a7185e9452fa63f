"""Fixtures of many tests: the real PostgreSQL server, and a database for each test, copied from a migrated template."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.config import Settings
from onbrand.database.migrations import migrate
from onbrand.database.pool import Database
from onbrand.local.postgres import EmbeddedPostgres
from tests.clock import Clock, give_clock, use_clock

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process of a parallel run has a core: more threads would wait for each other. Before anybody loads torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

_TEMPLATE = "template_migrated"
_TEMPLATE_WITH_CLOCK = "template_with_clock"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The embedded server, with one migrated database to copy."""
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        # pytest's folders are closed to other users, and as root the server runs as another user.
        Path(folder).chmod(0o755)
        yield from _server(Path(folder))


def _server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("alter system set fsync = off")  # a test's database need not survive a power cut
            connection.execute("select pg_reload_conf()")
            connection.execute(SQL("create database {}").format(Identifier(_TEMPLATE)))
        migrate(make_conninfo(server.url, dbname=_TEMPLATE))
        yield server


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The address of a migrated, empty database that nobody else uses."""
    with _copy(postgres, _TEMPLATE) as url:
        yield url


@contextmanager
def _copy(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("create database {} template {}").format(Identifier(name), Identifier(template)))
    yield make_conninfo(postgres.url, dbname=name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("drop database {} with (force)").format(Identifier(name)))


@pytest.fixture(scope="session")
def _clock_template(postgres: EmbeddedPostgres) -> str:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("create database {}").format(Identifier(_TEMPLATE_WITH_CLOCK)))
    url = make_conninfo(postgres.url, dbname=_TEMPLATE_WITH_CLOCK)
    give_clock(url)
    migrate(url)
    return _TEMPLATE_WITH_CLOCK


@pytest.fixture
def clock_url(postgres: EmbeddedPostgres, _clock_template: str) -> Iterator[str]:
    """Like `database_url`, with a clock that the fixture `clock` moves."""
    with _copy(postgres, _clock_template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            use_clock(connection)
        yield url


@pytest.fixture
async def clock(clock_url: str) -> AsyncIterator[Clock]:
    """The clock of that database, and connections to it."""
    database = Database(clock_url, application_name="test", max_connections=8)
    await database.open()
    yield Clock(database)
    await database.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Connections to that database."""
    database = Database(database_url, application_name="test", max_connections=8)
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Local settings in a folder of their own, whatever the environment says."""
    for name in [name for name in os.environ if name.startswith("ONBRAND_")]:
        monkeypatch.delenv(name)
    return Settings(data_dir=tmp_path / "data")
