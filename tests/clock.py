"""A real PostgreSQL whose clock a test moves: statements call `now()`, and this database returns another time.

`pg_catalog` comes last in the search path, so PostgreSQL finds `clock.now()` first: in every statement, and in every
default and view, because the schema is created with the same path. Production code does not know of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
from psycopg.sql import SQL, Identifier

from onbrand.database.pool import Database

SHIFTING = """
    create schema clock;
    create table clock.shift (by interval not null);
    insert into clock.shift values ('0');
    grant usage on schema clock to public;
    grant select on clock.shift to public;
    create function clock.now() returns timestamptz language sql stable
        as 'select pg_catalog.now() + (select by from clock.shift)';
"""


def give_clock(url: str) -> None:
    """Give a new database a clock that can be moved. Call it before the migrations."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SHIFTING)
        use_clock(connection)


def use_clock(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Make new connections to this database use that clock. A copy of the database needs this call again."""
    connection.execute(
        SQL("alter database {} set search_path = public, clock, pg_catalog").format(Identifier(connection.info.dbname))
    )


class Clock:
    """The clock of one test's database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def move(self, by: timedelta) -> None:
        """Move the clock forward, or back."""
        async with self.database.transaction() as connection:
            await connection.execute("update clock.shift set by = by + %s", [by])

    async def set(self, to: datetime) -> None:
        """Set the clock; it goes on from there."""
        async with self.database.transaction() as connection:
            await connection.execute("update clock.shift set by = %s - pg_catalog.now()", [to])
