"""Connections to PostgreSQL, with bounded patience: a database that is away is an error in seconds, never a hang.

Nothing here knows a table; the statements are in `store` and `migrations`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from onbrand.errors import ConfigError, DatabaseUnavailable

Connection = psycopg.AsyncConnection[DictRow]

PATIENCE_SECONDS = 2.5  # so that a request is answered within three
_CHECK_SECONDS = 1.0  # for an idle connection to show that it still leads somewhere
_RECONNECT_SECONDS = 5.0  # then the pool stops retrying by itself, and the next request tries at once
# Keepalives and the user timeout notice a peer that vanished without a word within about ten seconds.
_CONNECT_ARGUMENTS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "options": "-c timezone=UTC -c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000",
    "row_factory": dict_row,
}
# A full disk is an OperationalError, too.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,  # we stood still, frozen with a transaction open
)


class Database:
    """A bounded pool of connections to one database.

    `application_name` is what `pg_stat_activity` shows. `open` does not wait for the server: a process may start
    before its database, and says so in `/readyz`.
    """

    def __init__(self, url: str, *, application_name: str, max_connections: int) -> None:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise ConfigError("ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)") from None
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs=_CONNECT_ARGUMENTS | {"application_name": application_name},
            min_size=1,
            max_size=max_connections,
            timeout=PATIENCE_SECONDS - _CHECK_SECONDS,  # a check that begins just in time ends in time
            reconnect_timeout=_RECONNECT_SECONDS,
            check=_check,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting in the background."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Give every connection back to the server."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction, committed when the block ends and rolled back when it raises.

        Raises:
            DatabaseUnavailable: no connection, a lost one, no answer within `PATIENCE_SECONDS`, no room on the
                server's disk, or a server that takes no changes.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        try:
            connection = await self.pool.getconn()
            try:
                with _hung_up_at(deadline, connection):
                    async with connection:  # commits or rolls back; the pool keeps it open
                        yield connection
            except psycopg.errors.ReadOnlySqlTransaction:
                await connection.close()  # its server has become a standby; another connection may reach the primary
                raise
            finally:
                await self.pool.putconn(connection)
        except Exception as error:
            met = error if isinstance(error, psycopg.Error) else error.__cause__  # Procrastinate wraps what it meets
            if isinstance(met, _AWAY):
                raise DatabaseUnavailable(retry_after_seconds=5) from error
            if isinstance(met, psycopg.Error) and met.diag.message_primary:
                met.args = (met.diag.message_primary,)  # without the DETAIL, which quotes rows, and so prompts
            raise


async def _check(connection: Connection) -> None:
    with _hung_up_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def _hung_up_at(deadline: float, connection: Connection) -> Iterator[None]:
    """Hang up at the deadline (the loop's clock): whoever waits for the server then gets an OperationalError at once.

    Not `asyncio.timeout`: psycopg answers a cancellation by asking the server to cancel and waiting for it, up to ten
    seconds for one that does not answer (measured with a stopped server).
    """
    timer = asyncio.get_running_loop().call_at(deadline, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: Connection) -> None:
    with (
        suppress(psycopg.OperationalError, OSError),  # it has ended by itself
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)
