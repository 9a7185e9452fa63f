"""Checks of the database server: whether we can connect, and whether Onbrand can work with it.

Each verdict is a function of what `database.diagnostics` read. `work.py` judges what is in the tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from onbrand import postgres_address
from onbrand.api.app import MAX_CONNECTIONS as CONNECTIONS_OF_AN_API
from onbrand.config import Environment
from onbrand.database.address import Address, connect
from onbrand.database.diagnostics import Server
from onbrand.database.entra_token import TokenUnavailable
from onbrand.doctor.report import Findings, Verdict, ok, problem, warning
from onbrand.errors import ConfigError
from onbrand.worker import MAX_CONNECTIONS as CONNECTIONS_OF_A_WORKER

REACH_SECONDS = 3
_OLDEST = 14  # version of PostgreSQL
_CLOCK = timedelta(seconds=60)  # a larger difference is a warning
_WRONG_CLOCK = timedelta(hours=1)  # a larger difference is a problem

# libpq says what happened in words only. These are its own and the server's, in English; other words are quoted.
_REASONS = (
    ("password authentication failed", "The server refuses this user or this password.", "Correct {url}."),
    ("no password supplied", "The server needs a password.", "Put it into {url}."),
    ("pg_hba.conf", "The server does not allow this user from this machine.", "Allow it in pg_hba.conf."),
    ("role ", "The server has no such user.", "Create it, or correct {url}."),
    ("database ", "The server has no such database.", "Create it with `createdb`, or correct {url}."),
    ("certificate", "The server's certificate isn't accepted.", "Correct sslrootcert in {url}, or the certificate."),
    ("SSL", "The server and {url} don't agree about TLS.", "Correct sslmode in {url}, or switch TLS on at the server."),
    ("Connection refused", "No program listens at the database's address.", "Start PostgreSQL, or correct {url}."),
    ("failed to resolve host", "The database's host name is unknown.", "Correct {url}, or DNS."),
    ("too many clients", "All connections of the server are in use.", "End some, or raise max_connections."),
    ("connection slots", "All connections of the server are in use.", "End some, or raise max_connections."),
    ("starting up", "The server is starting.", "Wait a moment."),
    ("shutting down", "The server is shutting down.", "Start it again."),
)
_URL = "ONBRAND_DATABASE_URL"


def reach(address: Address) -> Verdict:
    """Connect once and disconnect. Blocking, for at most `REACH_SECONDS` per address of the host name."""
    try:
        connect(address, connect_timeout=REACH_SECONDS).close()
    except ConfigError:
        return problem(f"{_URL} is not a PostgreSQL address.", "It looks like postgresql://USER:PASSWORD@HOST/DATABASE")
    except TokenUnavailable as error:
        return problem(f"The managed identity gives no token: {error.reason}.", error.advice)
    except psycopg.errors.ConnectionTimeout:
        return problem(
            f"The database does not answer within {REACH_SECONDS} seconds.",
            f"Check the server and the firewalls between, or correct {_URL}.",
        )
    except psycopg.Error as error:
        return _why(str(error))
    return ok("PostgreSQL accepts our connection.")


def _why(message: str) -> Verdict:
    said = message.partition("FATAL:")[2] or message
    for sign, says, advice in _REASONS:
        if sign in said:
            return problem(says.format(url=_URL), advice.format(url=_URL))
    first = next(iter(said.strip().splitlines()), "without a reason")
    return problem(f"The database can't be reached ({first}).", f"Check the server, or correct {_URL}.")


def judge(server: Server, url: str, env: Environment, here: datetime) -> Findings:
    """All checks of what was read from the server in one transaction. `here` is this machine's time of that moment."""
    return {
        "postgresql": postgresql(server),
        "role": role(server, env),
        "transport": transport(server, postgres_address.parameters(url), env),
        "session": session(server),
        "clock": clock(server, here),
        "connections": connections(server),
    }


def postgresql(server: Server) -> Verdict:
    """The version of the server, and whether it accepts changes."""
    says = f"PostgreSQL {server.version // 10_000}.{server.version % 10_000}"
    if server.version < _OLDEST * 10_000:
        return problem(f"{says} is too old.", f"Use {_OLDEST} or newer.")
    if server.is_read_only:
        return problem(f"{says} accepts no changes.", f"If it is a standby, let {_URL} name the primary server.")
    return ok(f"{says}.")


def role(server: Server, env: Environment) -> Verdict:
    """In production the role should have no rights besides those on our tables."""
    if env is not Environment.PRODUCTION:
        return ok("This is checked in production only.")
    advice = "Give Onbrand a role of its own that owns only its schema. docs/operations.md has the commands."
    if server.is_superuser:
        return problem("The role is a superuser.", advice)
    if server.may_make_roles_or_databases:
        return warning("The role may create roles or databases.", advice)
    return ok("The role has no special rights.")


def transport(server: Server, parts: dict[str, str], env: Environment) -> Verdict:
    """Whether the connection is encrypted, and the server's certificate checked."""
    if postgres_address.is_on_this_machine(parts):
        return ok("The database is on this machine.")
    mode, advice = parts.get("sslmode"), f"Put sslmode=verify-full into {_URL}."
    judged = problem if env is Environment.PRODUCTION else warning
    if not server.is_encrypted:
        return judged("The connection is not encrypted.", advice)
    if mode in ("verify-full", "verify-ca"):
        return ok(f"The connection is encrypted, with sslmode={mode}.")
    if mode == "require":
        return warning("The connection is encrypted, but every certificate is accepted.", advice)
    return judged("The connection is encrypted, but without sslmode it could also be unencrypted.", advice)


def session(server: Server) -> Verdict:
    """Whether our sessions have the options that `database.pool` asks for when it connects."""
    if (server.time_zone, server.statement_timeout) == ("UTC", "5s"):
        return ok("Sessions run in UTC, with five seconds for a statement.")
    return warning(
        f"Sessions run in {server.time_zone} with a time limit of {server.statement_timeout}, not in UTC with 5s.",
        "A connection pooler seems to drop `options`. Let it pass them on, or connect directly to the server.",
    )


def clock(server: Server, here: datetime) -> Verdict:
    """The database's clock decides when images are deleted. This machine's decides whether a sign-in is still valid."""
    ahead = server.now - here
    if abs(ahead) <= _CLOCK:
        return ok(f"The database's clock and this machine's differ by {abs(ahead.total_seconds()):.1f} seconds.")
    direction = "ahead of" if ahead > timedelta(0) else "behind"
    judged = problem if abs(ahead) > _WRONG_CLOCK else warning
    return judged(
        f"The database's clock is {timedelta(seconds=round(abs(ahead.total_seconds())))} {direction} this machine's.",
        "Set both by NTP. Deletion uses the database's clock, sign-in uses this machine's.",
    )


def connections(server: Server) -> Verdict:
    """Whether one more API and one more worker could connect, as they do in a rolling restart."""
    needed = CONNECTIONS_OF_AN_API + CONNECTIONS_OF_A_WORKER
    says = f"{server.connections} of {server.max_connections} connections are in use, {server.free_connections} free"
    if server.free_connections >= needed:
        return ok(f"{says}; one more API and one more worker need {needed}.")
    return warning(
        f"{says}, but one more API and one more worker need {needed}.",
        "Raise max_connections (or the role's or the database's limit) before a rolling restart.",
    )
