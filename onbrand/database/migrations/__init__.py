"""Numbered SQL files, applied in order, each once. Procrastinate's own schema comes first.

Several processes may run `migrate` at the same time: an advisory lock lets one of them work. There are no downward
migrations: a change is undone by a file with the next number.

A file never changes once it was committed, because databases exist that have applied it. Its checksum is stored where
it was applied, and compared whenever a process starts.

A live system doesn't notice a migration. A statement that needs a table for itself waits in a line, and in PostgreSQL
all later readers stand behind it. So each step waits only for a moment, lets the readers pass, and begins again.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import LiteralString

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.rows import TupleRow

from onbrand.database import address as addresses
from onbrand.database.address import Address
from onbrand.database.entra_token import TokenUnavailable
from onbrand.database.pool import Connection
from onbrand.errors import DatabaseNotReady

logger = logging.getLogger(__name__)

_LOCK_TIMEOUT_MS = 200  # how long readers may stand behind a step that waits; a request is patient for 2.5 seconds
_PAUSE_SECONDS = 1.0  # in which they pass
_PATIENCE_SECONDS = 300.0  # longer than a backup of a small service or a long report reads a table
_TOKEN_SECONDS = 15.0  # in which the endpoint of the managed identity starts; it starts together with the container
_LOCK = 0x6F6E6272616E64  # "onbrand"
_TABLE: LiteralString = """
    create table if not exists schema_migration (
        version    integer primary key,
        name       text not null,
        applied_at timestamptz not null default now(),
        checksum   text
    )
"""
_OUT_OF_DATE = "The database's schema is older than this version. Run `onbrand migrate`."


@dataclass(frozen=True)
class Migration:
    """One migration: `version` is the number in the file's name."""

    version: int
    name: str
    sql: LiteralString  # from files of this package and of Procrastinate, never from input

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True)
class Applied:
    """A migration that a database has applied, as that database tells."""

    version: int
    name: str
    checksum: str | None  # None: a version of Onbrand applied it that didn't store checksums


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration in order; number 0 is Procrastinate's schema."""
    files = sorted(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql"))
    steps = [Migration(0, "procrastinate", SchemaManager.get_schema())]
    for name in files:
        sql = (resources.files(__name__) / name).read_text(encoding="utf-8")
        steps.append(Migration(int(name.split("_")[0]), name.removesuffix(".sql"), sql))
    return tuple(steps)


def altered(applied: Iterable[Applied]) -> list[str]:
    """The names of the migrations that a database has applied with another text than this version's.

    Procrastinate's schema is left out: a later version of Procrastinate may bring another text, and works with the old
    tables or comes with a migration of ours.
    """
    known = {step.version: step for step in migrations() if step.version > 0}
    return [
        step.name
        for step in applied
        if step.checksum is not None and step.version in known and step.checksum != known[step.version].checksum
    ]


def migrate(address: Address, *, until: int | None = None) -> list[str]:
    """Bring the database to this version's schema; return the names of the migrations that were applied.

    `until`: stop after this number, as a restore does with an older backup.

    Raises:
        ConfigError: the URL is not a PostgreSQL address.
        DatabaseNotReady: the server cannot be reached, refuses a statement, has a table in use for minutes, or has
            applied a migration with another text.
    """
    applied: list[str] = []
    deadline = time.monotonic() + _PATIENCE_SECONDS
    try:
        with connect(address) as connection:
            connection.execute("select pg_advisory_lock(%s)", [_LOCK])
            done = _prepare(connection, deadline)
            if names := altered(done):
                raise DatabaseNotReady(altered_message(names))
            for step in migrations():
                if step.version not in {known.version for known in done} and (until is None or step.version <= until):
                    _apply(connection, step, deadline)
                    applied.append(step.name)
    except psycopg.Error as error:
        raise DatabaseNotReady(f"The database can't be migrated: {_first_line(error)}") from error
    return applied


def _prepare(connection: psycopg.Connection[TupleRow], deadline: float) -> list[Applied]:
    """Make the table of applied migrations, and freeze those that have no checksum yet. Returns what is applied."""
    connection.execute(_TABLE)
    columns = connection.execute("select * from schema_migration limit 0").description or ()
    if "checksum" not in [column.name for column in columns]:
        _in_one_step(
            connection, deadline, "schema_migration", ("alter table schema_migration add column checksum text", ())
        )
    for step in migrations():
        connection.execute(
            "update schema_migration set checksum = %s where version = %s and name = %s and checksum is null",
            [step.checksum, step.version, step.name],
        )
    rows = connection.execute("select version, name, checksum from schema_migration order by version").fetchall()
    return [Applied(*row) for row in rows]


def _apply(connection: psycopg.Connection[TupleRow], step: Migration, deadline: float) -> None:
    note: LiteralString = "insert into schema_migration (version, name, checksum) values (%s, %s, %s)"
    _in_one_step(connection, deadline, step.name, (step.sql, ()), (note, (step.version, step.name, step.checksum)))


def _in_one_step(
    connection: psycopg.Connection[TupleRow],
    deadline: float,
    name: str,
    *statements: tuple[LiteralString, tuple[object, ...]],
) -> None:
    """Do these statements in one transaction. If a lock isn't free at once, undo it, pause, and try again.

    Raises:
        DatabaseNotReady: the locks weren't free until the deadline.
    """
    is_told = False
    while True:
        try:
            with connection.transaction():
                connection.execute("select set_config('lock_timeout', %s, true)", [f"{_LOCK_TIMEOUT_MS}ms"])
                for sql, values in statements:
                    connection.execute(sql, values or None)
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if time.monotonic() > deadline:
                raise DatabaseNotReady(
                    f"The database can't be migrated: {name} needs a table that others have had in use for"
                    f" {_PATIENCE_SECONDS / 60:.0f} minutes. Nothing of it was changed. Look for a long transaction"
                    " in pg_stat_activity, such as a backup, then run `onbrand migrate` again."
                ) from None
        if not is_told:
            logger.warning(
                "%s waits for a table that is in use. Readers don't wait for it", name, extra={"action": "migrate_wait"}
            )
            is_told = True
        time.sleep(_PAUSE_SECONDS)


def connect(address: Address) -> psycopg.Connection[TupleRow]:
    """A connection for work that takes its time, without the limits of `Database`.

    Raises:
        ConfigError: the URL is not a PostgreSQL address.
        DatabaseNotReady: the server cannot be reached, or the managed identity gives no token.
    """
    try:
        return addresses.connect(
            address,
            patience_seconds=_TOKEN_SECONDS,
            connect_timeout=5,
            autocommit=True,
            options="-c timezone=UTC",
        )
    except TokenUnavailable as error:
        raise DatabaseNotReady(
            f"The managed identity gives no token for the database: {error.reason}. {error.advice}"
        ) from error
    except psycopg.Error as error:
        raise DatabaseNotReady(
            f"The database can't be reached ({_first_line(error)}). Start it, or correct ONBRAND_DATABASE_URL."
        ) from error


def _first_line(error: psycopg.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


async def is_current(connection: Connection) -> bool:
    """Whether every migration of this version has been applied as it is. A newer schema counts as current."""
    return _mismatch(await applied_here(connection)) is None


async def require_current(connection: Connection) -> None:
    """Do nothing if the schema is current (`is_current`).

    Raises:
        DatabaseNotReady: it is older than this version, or was made by other migrations.
    """
    if message := _mismatch(await applied_here(connection)):
        raise DatabaseNotReady(message)


async def applied_here(connection: Connection) -> list[Applied]:
    """The applied migrations; none if there are none, or none that this role may see."""
    cursor = await connection.execute("select to_regclass('schema_migration') is not null as known")
    row = await cursor.fetchone()
    if row is None or not row["known"]:
        return []
    # As JSON, because the column is missing until this version's `onbrand migrate` has run.
    cursor = await connection.execute(
        "select version, name, to_jsonb(step) ->> 'checksum' as checksum from schema_migration as step order by version"
    )
    return [Applied(**row) for row in await cursor.fetchall()]


def _mismatch(applied: list[Applied]) -> str | None:
    if not applied or applied[-1].version < migrations()[-1].version:
        return _OUT_OF_DATE
    names = altered(applied)
    return altered_message(names) if names else None


def altered_message(names: list[str]) -> str:
    """What to tell an operator whose database has applied other texts under these names."""
    return (
        f"The database was made with another text of the migration {', '.join(names)}, so its tables may differ from"
        " what this version needs. Install the version of Onbrand that made it, or restore a backup."
    )
