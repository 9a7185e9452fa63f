"""Where the database is, and how a connection signs in there: with what the address says, or with a fresh token.

A password is in the address, and never changes. With Entra the address has none: each new connection brings a token
of the managed identity, and a connection that is open goes on when its token has ended.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Self

import psycopg
from psycopg.rows import DictRow, TupleRow

from onbrand import postgres_address
from onbrand.concurrency import in_thread
from onbrand.config import Settings
from onbrand.database.entra_token import Tokens, TokenUnavailable
from onbrand.errors import ConfigError

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class EntraAddress:
    """An address without a password, and where the tokens come from."""

    url: str
    tokens: Tokens


Address = str | EntraAddress


def configured(settings: Settings) -> Address | None:
    """The database that the settings name; None if they name none. Build it once: it keeps the token."""
    if settings.database_url is None:
        return None
    url, identity = settings.database_url.get_secret_value(), settings.database_identity
    return url if identity is None else EntraAddress(url, Tokens(identity))


def url_of(address: Address) -> str:
    """The address as libpq takes it."""
    return address if isinstance(address, str) else address.url


def arguments(address: Address) -> dict[str, Any]:
    """What a connection needs beside the address: the authorities that may vouch for the server.

    Raises:
        ConfigError: it is not a PostgreSQL address.
    """
    try:
        there = postgres_address.parameters(url_of(address))
    except ValueError:
        raise ConfigError("ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)") from None
    roots = postgres_address.roots_to_name(there)
    return {} if roots is None else {"sslrootcert": roots}


def connect(address: Address, *, patience_seconds: float = 0.0, **options: Any) -> psycopg.Connection[TupleRow]:
    """One connection, for work that does not share it. `options` are psycopg's.

    `patience_seconds`: for how long an identity's endpoint that doesn't answer is asked again. It starts together with
    the container.

    Raises:
        ConfigError: it is not a PostgreSQL address.
        TokenUnavailable: the identity gave no token.
        psycopg.Error: there is no connection.
    """
    options |= arguments(address)
    if isinstance(address, str):
        return psycopg.connect(address, **options)
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            token = address.tokens.get()
            break
        except TokenUnavailable as failure:
            if not failure.may_pass or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
    try:
        return psycopg.connect(address.url, **options, password=token)
    except psycopg.OperationalError as error:
        if not _asked_for_password(error):
            raise
        address.tokens.forget(token)
        another = address.tokens.get()
        if another == token:
            raise
        return psycopg.connect(address.url, **options, password=another)


class TokenConnection(psycopg.AsyncConnection[DictRow]):
    """A connection that signs in with a token, if it is given the argument `tokens`.

    The pool makes its connections with `connect`, and so does Procrastinate for the one that listens.
    """

    @classmethod
    async def connect(  # type: ignore[override]  # psycopg's own takes texts and numbers only
        cls, conninfo: str = "", *, tokens: Tokens | None = None, **options: Any
    ) -> Self:
        if tokens is None:
            return await super().connect(conninfo, **options)
        token = await in_thread(tokens.get)
        try:
            return await super().connect(conninfo, **options, password=token)
        except psycopg.OperationalError as error:
            if not _asked_for_password(error):
                raise
            # The token may have been taken back before its time. The next one is fetched at once.
            tokens.forget(token)
            another = await in_thread(tokens.get)
            if another == token:
                raise
            return await super().connect(conninfo, **options, password=another)


def _asked_for_password(error: psycopg.OperationalError) -> bool:
    """Whether the server answered, asked for a password and then refused. What it says is in its own language."""
    return error.pgconn is not None and error.pgconn.used_password
