"""What commands share that read or change which pack is live: a transaction, and the name of the user."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.database.pool import Connection


@asynccontextmanager
async def pack_transaction(address: Address) -> AsyncIterator[Connection]:
    """One transaction in a database whose schema is this version's.

    Raises:
        DatabaseNotReady: the schema is older than this version.
        DatabaseUnavailable: the database does not answer.
    """
    from onbrand.database import migrations
    from onbrand.database.pool import Database

    database = Database(address, application_name="onbrand pack", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
            yield connection
    finally:
        await database.close()


def user() -> str:
    """The user of this machine, whose name is stored with every change."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container whose user has no name
        return f"uid {os.getuid()}"
