"""All rows of a database as files, of one moment, and back: one CSV file for each table, with its head.

It needs no program of PostgreSQL: the server copies, so any version can be dumped and loaded. The tables themselves are
made by the migrations. Unlogged tables (previews) are left out: they are of no use later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow
from psycopg.sql import SQL, Composed, Identifier

from onbrand.database import migrations
from onbrand.database.address import Address
from onbrand.errors import BackupUnusable, DatabaseNotReady, RestoreRefused

_APPLIED = "schema_migration"  # the migrations write it, and no row of it is copied
_KEPT = ("job", "brand_pack", "past_run", "expired_job")  # with rows in one of these, a database is in use
_TABLES = (
    "select c.relname, array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0"
    "  and not a.attisdropped and a.attgenerated = '' order by a.attnum)"
    " from pg_class c join pg_class ours on ours.oid = to_regclass('job') and c.relnamespace = ours.relnamespace"
    " where c.relkind = 'r' and c.relpersistence = 'p' and c.relname <> %s order by c.relname"
)
_REFERENCES = (
    "select distinct conrelid::regclass::text, confrelid::regclass::text from pg_constraint"
    " where contype = 'f' and conrelid <> confrelid"
)
_SEQUENCES = (
    "select c.relname, pg_sequence_last_value(c.oid) from pg_class c join pg_class ours"
    " on ours.oid = to_regclass('job') and c.relnamespace = ours.relnamespace where c.relkind = 'S' order by c.relname"
)


@dataclass(frozen=True)
class Table:
    """A dumped table; its rows are in `NAME.csv`."""

    name: str
    columns: tuple[str, ...]
    sha256: str  # of the file


@dataclass(frozen=True)
class Dump:
    """What was dumped: the schema's step, the tables in the order in which they can be loaded, and the sequences."""

    step: int
    tables: tuple[Table, ...]
    sequences: Mapping[str, int]


@dataclass(frozen=True)
class PublishedImage:
    """An image of a complete job: its key in the object store, its checksum, and until when it is kept."""

    key: str
    sha256: str
    expires_at: float  # seconds since 1970


def write(address: Address, folder: Path, tell: Callable[[str], None]) -> tuple[Dump, list[PublishedImage]]:
    """Write all rows to files in `folder`, and tell which images they speak of. Nobody waits for it.

    Raises:
        DatabaseNotReady: the server cannot be reached, or has no tables of Onbrand.
    """
    with _connected(address) as connection, connection.transaction():
        connection.execute("set transaction isolation level repeatable read, read only")
        if (row := connection.execute("select to_regclass('schema_migration')").fetchone()) is None or row[0] is None:
            raise DatabaseNotReady("The database has no tables of Onbrand, so there is nothing to back up.")
        (step,) = connection.execute("select max(version) from schema_migration").fetchone() or (0,)
        tables = []
        for name, columns in _in_order(connection):
            tell(name)
            path = folder / f"{name}.csv"
            digest = hashlib.sha256()
            with (
                path.open("wb") as file,
                connection.cursor() as cursor,
                cursor.copy(_copy(name, columns, "to stdout")) as rows,
            ):
                for block in rows:
                    file.write(block)
                    digest.update(block)
            tables.append(Table(name, tuple(columns), digest.hexdigest()))
        sequences = {name: last for name, last in connection.execute(_SEQUENCES).fetchall() if last is not None}
        images = connection.execute(
            "select format('jobs/%%s/%%s/%%s%%s', job.id, job.result_attempt, image.n, file.ending) as key,"
            " file.sha256, extract(epoch from job.expires_at)::float8 from image join job on job.id = image.job_id,"
            " lateral (values ('.png', image.sha256),"
            # A database of an older version has no such column, and can be backed up all the same.
            "  ('-512.webp', to_jsonb(image) ->> 'rendition_sha256')) as file (ending, sha256)"
            " where job.status = 'complete' and job.expiring_at is null and job.expires_at > now()"
            " and file.sha256 is not null order by key",
            [],
        ).fetchall()
    return Dump(step, tuple(tables), sequences), [PublishedImage(*image) for image in images]


def require_unused(address: Address) -> None:
    """Do nothing if no job and no pack is in this database. Empty tables are fine: a command may have made them.

    Raises:
        RestoreRefused: it is in use.
        DatabaseNotReady: the server cannot be reached.
    """
    with _connected(address) as connection:
        _require_unused(connection)


def load(address: Address, folder: Path, dump: Dump, tell: Callable[[str], None]) -> None:
    """Make the tables as they were at the dump, load its rows in one transaction, and bring the schema to this version.

    Raises:
        RestoreRefused: the database is in use.
        BackupUnusable: the dump is of a newer version, or doesn't fit its tables.
        DatabaseNotReady: the server cannot be reached, or refuses a statement.
    """
    newest = migrations.migrations()[-1].version
    if dump.step > newest:
        raise BackupUnusable(
            f"The backup is of a newer version of Onbrand (schema step {dump.step}, this knows {newest})."
        )
    require_unused(address)
    migrations.migrate(address, until=dump.step)
    with _connected(address) as connection, connection.transaction():
        _require_unused(connection)
        here = dict(_in_order(connection))
        if unknown := [table.name for table in dump.tables if not set(table.columns) <= set(here.get(table.name, ()))]:
            raise BackupUnusable(
                f"The tables in this database have no room for those of the backup: {', '.join(unknown)}."
            )
        for name in here:  # what triggers would write is in the dump already
            connection.execute(SQL("alter table {} disable trigger user").format(Identifier(name)))
        connection.execute(SQL("truncate {} cascade").format(SQL(", ").join(map(Identifier, here))))
        for table in dump.tables:
            tell(table.name)
            _load_table(connection, folder / f"{table.name}.csv", table)
        for name in here:
            connection.execute(SQL("alter table {} enable trigger user").format(Identifier(name)))
        for name, last in dump.sequences.items():
            connection.execute("select setval(to_regclass(%s), %s)", [name, last])
    migrations.migrate(address)


def _load_table(connection: psycopg.Connection[TupleRow], path: Path, table: Table) -> None:
    statement = _copy(table.name, table.columns, "from stdin")
    with path.open("rb") as file, connection.cursor() as cursor, cursor.copy(statement) as rows:
        while block := file.read(2**20):
            rows.write(block)


def _require_unused(connection: psycopg.Connection[TupleRow]) -> None:
    for name in _KEPT:
        known = connection.execute("select to_regclass(%s)", [name]).fetchone()
        if known is None or known[0] is None:
            continue
        if connection.execute(SQL("select from {} limit 1").format(Identifier(name))).fetchone() is not None:
            raise RestoreRefused(
                f"The database holds something already (table {name}). Nothing was changed. Name an empty database in"
                " ONBRAND_DATABASE_URL."
            )


def _in_order(connection: psycopg.Connection[TupleRow]) -> list[tuple[str, list[str]]]:
    """The tables with their columns, each after those that it refers to."""
    left: dict[str, list[str]] = dict(connection.execute(_TABLES, [_APPLIED]).fetchall())
    references = connection.execute(_REFERENCES).fetchall()
    ordered: list[tuple[str, list[str]]] = []
    while left:
        free = [name for name in left if not any(one == name and other in left for one, other in references)]
        for name in free or list(left):  # a circle, which none of our tables makes, is left to the server
            ordered.append((name, left.pop(name)))
    return ordered


def _copy(name: str, columns: Sequence[str], direction: str) -> Composed:
    end = SQL(" to stdout") if direction == "to stdout" else SQL(" from stdin")
    listed = SQL(", ").join(map(Identifier, columns))
    return SQL("copy {} ({})").format(Identifier(name), listed) + end + SQL(" with (format csv, header true)")


@contextmanager
def _connected(address: Address) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection without time limits. A refused statement is one sentence without the row it was about."""
    with migrations.connect(address) as connection:
        try:
            connection.execute("set client_encoding to 'UTF8'")
            yield connection
        except psycopg.Error as error:
            reason = error.diag.message_primary or type(error).__name__
            raise DatabaseNotReady(f"The database refused it, and nothing was changed: {reason}") from None
