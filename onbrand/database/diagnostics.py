"""What `onbrand doctor` reads from the database: the server, the session, and what went wrong with jobs.

Nothing is changed here. The numbers that an operator watches all the time are in `jobs/metrics`. The database's clock
is the only one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.errors import Cancelled


@dataclass(frozen=True)
class Server:
    """The server, the role that Onbrand has there, and this session."""

    version: int  # 180004 is 18.4
    now: datetime
    time_zone: str
    statement_timeout: str  # with its unit; "0" means no limit
    is_encrypted: bool
    is_read_only: bool
    is_superuser: bool
    may_make_roles_or_databases: bool
    connections: int  # of all clients, at this moment
    max_connections: int
    free_connections: int  # for this role and this database, without the reserved ones


@dataclass(frozen=True)
class Endings:
    """How the jobs of the last 24 hours ended. A cancelled job is not a failure."""

    complete: int
    failed: dict[str, int]  # the number for each error code, the most frequent first


@dataclass(frozen=True)
class Missing:
    """Published images that the store had lost or damaged when it was last looked at."""

    images: int
    jobs: tuple[UUID, ...]  # the first few


async def server(connection: Connection) -> Server:
    """The server as this session sees it. It needs no table and no privilege."""
    cursor = await connection.execute(
        "select current_setting('server_version_num')::int as version, now() as now,"
        " current_setting('TimeZone') as time_zone, current_setting('statement_timeout') as statement_timeout,"
        " coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as is_encrypted,"
        " current_setting('transaction_read_only')::bool as is_read_only, role.rolsuper as is_superuser,"
        " role.rolcreaterole or role.rolcreatedb as may_make_roles_or_databases, used.total as connections,"
        " current_setting('max_connections')::int as max_connections,"
        " least("
        "  current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        "   - coalesce(current_setting('reserved_connections', true)::int, 0) - used.total,"
        "  case when role.rolconnlimit >= 0 then role.rolconnlimit"
        "   - (select count(*) from pg_stat_activity where usesysid = role.oid) end,"
        "  case when here.datconnlimit >= 0 then here.datconnlimit - used.here end)::int as free_connections"
        " from pg_roles role, pg_database here,"
        "  (select sum(numbackends)::int as total,"
        "    (sum(numbackends) filter (where datname = current_database()))::int as here"
        "   from pg_stat_database) as used"
        " where role.rolname = current_user and here.datname = current_database()"
    )
    row = await cursor.fetchone()
    assert row is not None  # our role and our database exist
    return Server(**row)


async def forbidden(connection: Connection) -> list[str]:
    """The tables, views and sequences of Onbrand and Procrastinate that lack a privilege that our statements need."""
    cursor = await connection.execute(
        "select other.relname as name from pg_class ours join pg_class other"
        "  on other.relowner = ours.relowner and other.relnamespace = ours.relnamespace"
        " where ours.oid = to_regclass('job') and case other.relkind"
        "  when 'r' then not (has_table_privilege(other.oid, 'select') and has_table_privilege(other.oid, 'insert')"
        "   and has_table_privilege(other.oid, 'update') and has_table_privilege(other.oid, 'delete'))"
        "  when 'v' then not has_table_privilege(other.oid, 'select')"
        "  when 'S' then not has_sequence_privilege(other.oid, 'usage') else false end"
        " order by name"
    )
    return [row["name"] for row in await cursor.fetchall()]


async def lapsed(connection: Connection, seconds: float) -> int:
    """The number of running jobs whose lease lapsed so long ago that a sweep should have found them."""
    cursor = await connection.execute(
        "select count(*) as jobs from job where status = 'processing'"
        " and lease_until < now() - make_interval(secs => %s)",
        [seconds],
    )
    row = await cursor.fetchone()
    return row["jobs"] if row else 0


async def endings(connection: Connection) -> Endings:
    """How the jobs of the last 24 hours ended."""
    cursor = await connection.execute(
        "select null as code, count(*) as jobs from job"
        " where status = 'complete' and completed_at > now() - interval '24 hours'"
        " union all select error_code, count(*) from job"
        " where status = 'failed' and completed_at > now() - interval '24 hours' and error_code <> %s"
        " group by error_code order by jobs desc, code",
        [Cancelled.code],
    )
    counted = {row["code"]: row["jobs"] for row in await cursor.fetchall()}
    return Endings(counted.pop(None), counted)


async def missing(connection: Connection, named: int) -> Missing:
    """Published images that are missing, and the ids of the first `named` of their jobs, the oldest loss first."""
    return await _lost(connection, "missing_since", named)


async def damaged(connection: Connection, named: int) -> Missing:
    """The same for images whose stored bytes are no longer those of their checksum."""
    return await _lost(connection, "damaged_since", named)


async def unread(connection: Connection) -> float:
    """Seconds since that image of a complete job was read which was read longest ago; 0 if there is none."""
    cursor = await connection.execute(
        "select extract(epoch from now() - min(checked_at))::float8 as seconds"
        " from image join job on job.id = image.job_id where job.expires_at > now()"
    )
    row = await cursor.fetchone()
    return (row and row["seconds"]) or 0.0


async def _lost(connection: Connection, since: LiteralString, named: int) -> Missing:
    cursor = await connection.execute(
        f"select job_id, count(*) as images from image where {since} is not null"
        f" group by job_id order by min({since}), job_id"
    )
    rows = await cursor.fetchall()
    return Missing(sum(row["images"] for row in rows), tuple(row["job_id"] for row in rows[:named]))
