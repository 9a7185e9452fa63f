"""Connections to PostgreSQL with time limits: a database that does not answer is an error in seconds, never a hang.

Nothing here knows a table. SQL is only in `database`, `jobs/*` and `packs/promotion`; the import contracts in
`pyproject.toml` hold that, because only these import psycopg.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from onbrand.database.address import Address, EntraAddress, TokenConnection, arguments, url_of
from onbrand.errors import DatabaseUnavailable

Connection = psycopg.AsyncConnection[DictRow]

PATIENCE_SECONDS = 2.5  # so that a request is answered within three seconds
_CHECK_SECONDS = 1.0  # an idle connection must answer within this time before it is used again
_RECONNECT_SECONDS = 5.0  # after this time the pool stops retrying by itself, and the next request tries at once
# Keepalives and the user timeout notice within about ten seconds that the other side has vanished without closing.
_CONNECT_ARGUMENTS: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "options": "-c timezone=UTC -c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000",
    "row_factory": dict_row,
}
# The pool replaces a connection of this age when nobody uses it. Azure itself closes none because its token has ended.
_MOST_AGE_SECONDS = 3600.0
# The errors that mean that the database is unavailable. A full disk is an OperationalError, too.
_UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,  # this process was frozen while a transaction was open
)


class Database:
    """A bounded pool of connections to one database.

    `application_name` is what `pg_stat_activity` shows. `open` does not wait for the server: a process may start
    before its database; meanwhile `/readyz` says that the database does not answer.

    Raises:
        ConfigError: it is not a PostgreSQL address.
    """

    def __init__(self, address: Address, *, application_name: str, max_connections: int) -> None:
        tokens = address.tokens if isinstance(address, EntraAddress) else None
        own = {"application_name": application_name, "tokens": tokens}
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url_of(address),
            connection_class=TokenConnection,
            kwargs=_CONNECT_ARGUMENTS | arguments(address) | own,
            min_size=1,
            max_size=max_connections,
            timeout=PATIENCE_SECONDS - _CHECK_SECONDS,  # so even a check that begins last ends within PATIENCE_SECONDS
            reconnect_timeout=_RECONNECT_SECONDS,
            max_lifetime=_MOST_AGE_SECONDS,
            check=_check,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting in the background."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction, committed when the block ends and rolled back when it raises.

        Raises:
            DatabaseUnavailable: there is no connection, it was lost, no answer came within `PATIENCE_SECONDS`, the
                server's disk is full, or the server takes no writes.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        try:
            connection = await self.pool.getconn()
            try:
                with _closed_at(deadline, connection):
                    async with connection:  # commits or rolls back; the pool keeps the connection open
                        yield connection
            except psycopg.errors.ReadOnlySqlTransaction:
                await connection.close()  # this server has become a standby; a new connection may reach the primary
                raise
            finally:
                await self.pool.putconn(connection)
        except Exception as error:
            # Procrastinate wraps the error it got.
            cause = error if isinstance(error, psycopg.Error) else error.__cause__
            if isinstance(cause, _UNAVAILABLE):
                raise DatabaseUnavailable(retry_after_seconds=5) from error
            if isinstance(cause, psycopg.Error) and cause.diag.message_primary:
                cause.args = (cause.diag.message_primary,)  # without DETAIL, which quotes rows and so prompts
            raise


async def _check(connection: Connection) -> None:
    with _closed_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection):
        await AsyncConnectionPool.check_connection(connection)


@contextmanager
def _closed_at(deadline: float, connection: Connection) -> Iterator[None]:
    """Shut the connection down at the deadline (the loop's clock): the waiting statement then raises OperationalError.

    `asyncio.timeout` does not do: when psycopg is cancelled, it asks the server to cancel the statement and waits for
    the answer, up to ten seconds if the server does not answer (measured with a stopped server).
    """
    timer = asyncio.get_running_loop().call_at(deadline, _shut_down, connection)
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(connection: Connection) -> None:
    with (
        suppress(psycopg.OperationalError, OSError),  # the connection has already ended
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)
