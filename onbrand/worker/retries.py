"""Transactions that are tried again while the database does not answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from onbrand.database.pool import Connection, Database
from onbrand.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_RETRY_SECONDS = 0.5
_PATIENCE_SECONDS = 300.0  # four finished images are worth a long wait for the database
_STOPPING_PATIENCE_SECONDS = 5.0  # for a worker that must stop now


async def commit_with_retries(
    database: Database, change: Callable[[Connection], Awaitable[Result]], *, must_stop: asyncio.Event
) -> Result:
    """Run a change in a transaction of its own, again and again until it is committed.

    The change may have been committed although its answer was lost, so it must be safe to repeat.

    Raises:
        DatabaseUnavailable: the database did not answer for five minutes, or for five seconds once `must_stop` is set.
            The sweep will find the job.
    """
    started, is_reported = time.monotonic(), False
    while True:
        try:
            async with database.transaction() as connection:
                return await change(connection)
        except DatabaseUnavailable:
            patience = _STOPPING_PATIENCE_SECONDS if must_stop.is_set() else _PATIENCE_SECONDS
            if time.monotonic() - started > patience:
                raise
            if not is_reported:
                logger.warning("The database does not answer; trying again", extra={"action": "database_lost"})
            is_reported = True
            await asyncio.sleep(_RETRY_SECONDS)
