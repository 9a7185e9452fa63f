"""Numbered SQL files, applied in order, each once. Procrastinate's own schema comes first.

Several processes may run `migrate` at the same time: an advisory lock lets one of them work. There are no downward
migrations: a change is undone by a file with the next number.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import LiteralString

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.rows import TupleRow

from onbrand.database.pool import Connection
from onbrand.errors import ConfigError, DatabaseNotReady

_LOCK = 0x6F6E6272616E64  # "onbrand"
_TABLE: LiteralString = """
    create table if not exists schema_migration (
        version    integer primary key,
        name       text not null,
        applied_at timestamptz not null default now()
    )
"""


@dataclass(frozen=True)
class Migration:
    """One migration: `version` is the number in the file's name."""

    version: int
    name: str
    sql: LiteralString  # from files of this package and of Procrastinate, never from input


def migrations() -> list[Migration]:
    """Every migration in order; number 0 is Procrastinate's schema."""
    files = sorted(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql"))
    steps = [Migration(0, "procrastinate", SchemaManager.get_schema())]
    for name in files:
        sql = (resources.files(__name__) / name).read_text(encoding="utf-8")
        steps.append(Migration(int(name.split("_")[0]), name.removesuffix(".sql"), sql))
    return steps


def migrate(url: str) -> list[str]:
    """Bring the database to this version's schema; return the names of the migrations that were applied.

    Raises:
        ConfigError: the URL is not a PostgreSQL address.
        DatabaseNotReady: the server cannot be reached, or refuses a statement.
    """
    applied: list[str] = []
    try:
        with _connect(url) as connection:
            connection.execute("select pg_advisory_lock(%s)", [_LOCK])
            connection.execute(_TABLE)
            done = {row[0] for row in connection.execute("select version from schema_migration").fetchall()}
            for step in migrations():
                if step.version in done:
                    continue
                with connection.transaction():
                    connection.execute(step.sql)
                    connection.execute(
                        "insert into schema_migration (version, name) values (%s, %s)", [step.version, step.name]
                    )
                applied.append(step.name)
    except psycopg.Error as error:
        raise DatabaseNotReady(f"The database can't be migrated: {_first_line(error)}") from error
    return applied


def _connect(url: str) -> psycopg.Connection[TupleRow]:
    try:
        return psycopg.connect(url, connect_timeout=5, autocommit=True, options="-c timezone=UTC")
    except psycopg.ProgrammingError:  # its message repeats the address with the password
        raise ConfigError("ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)") from None
    except psycopg.Error as error:
        raise DatabaseNotReady(
            f"The database can't be reached ({_first_line(error)}). Start it, or correct ONBRAND_DATABASE_URL."
        ) from error


def _first_line(error: psycopg.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


async def is_current(connection: Connection) -> bool:
    """Whether every migration of this version has been applied. A newer schema counts as current."""
    applied = await version(connection)
    return applied is not None and applied >= max(step.version for step in migrations())


async def require_current(connection: Connection) -> None:
    """Do nothing if the schema is current (`is_current`).

    Raises:
        DatabaseNotReady: it is older than this version.
    """
    if not await is_current(connection):
        raise DatabaseNotReady("The database's schema is older than this version. Run `onbrand migrate`.")


async def version(connection: Connection) -> int | None:
    """The number of the latest applied migration; None if there is none, or none that this role may see."""
    cursor = await connection.execute("select to_regclass('schema_migration') is not null as known")
    row = await cursor.fetchone()
    if row is None or not row["known"]:
        return None
    cursor = await connection.execute("select max(version) as version from schema_migration")
    row = await cursor.fetchone()
    return row["version"] if row else None
