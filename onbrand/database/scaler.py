"""The role of whatever starts and stops workers (KEDA): it signs in with a password and reads one view.

A migration makes the view. The role is made here, because roles belong to the whole server, and its password comes
from the settings.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from onbrand.database import migrations
from onbrand.database.address import Address
from onbrand.database.pool import Connection
from onbrand.errors import ConfigError

ROLE = "onbrand_scaler"
VIEW = "keda_gpu_demand"


async def is_admitted(connection: Connection) -> bool:
    """Whether the view is there and the role may read it."""
    cursor = await connection.execute(
        "select coalesce((select has_table_privilege(oid, to_regclass(%s), 'select') from pg_roles"
        " where rolname = %s), false) as admitted",
        [VIEW, ROLE],
    )
    row = await cursor.fetchone()
    return bool(row and row["admitted"])


def set_password(address: Address, password: str) -> None:
    """Let the scaler sign in with this password and no other, and read the view. The role is made if it is missing.

    The server gets only what it stores (SCRAM), so the password is in none of its logs.

    Raises:
        ConfigError: our role may not make another one.
        DatabaseNotReady: the server cannot be reached.
    """
    role = sql.Identifier(ROLE)
    with migrations.connect(address) as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
        try:
            if connection.execute("select from pg_roles where rolname = %s", [ROLE]).rowcount == 0:
                connection.execute(sql.SQL("create role {}").format(role))
            connection.execute(sql.SQL("alter role {} with login password {}").format(role, sql.Literal(verifier)))
            connection.execute(sql.SQL("grant select on {} to {}").format(sql.Identifier(VIEW), role))
        except psycopg.errors.InsufficientPrivilege:
            raise ConfigError(
                f"ONBRAND_SCALER_PASSWORD needs the role {ROLE}, which our role may not make or change. Let an"
                f" administrator run: create role {ROLE}; grant {ROLE} to our role with admin option"
            ) from None
