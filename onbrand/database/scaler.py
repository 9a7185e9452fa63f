"""The role of whatever starts and stops workers (KEDA): it signs in with a password and reads one view.

A migration makes the role and the view. The password is set here, because it comes from the settings.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from onbrand.database import migrations
from onbrand.errors import ConfigError

ROLE = "onbrand_scaler"


def set_password(url: str, password: str) -> None:
    """Let the scaler sign in with this password, and with no other.

    The server gets only what it stores (SCRAM), so the password is in none of its logs.

    Raises:
        ConfigError: the database has no such role.
        DatabaseNotReady: the server cannot be reached.
    """
    with migrations.connect(url) as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
        try:
            connection.execute(
                sql.SQL("alter role {} with login password {}").format(sql.Identifier(ROLE), sql.Literal(verifier))
            )
        except psycopg.errors.UndefinedObject:
            raise ConfigError(f"The database has no role {ROLE}, so ONBRAND_SCALER_PASSWORD has no use") from None
