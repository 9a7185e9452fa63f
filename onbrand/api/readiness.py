"""What `/readyz` says of the database. Requests that come during one look share the next, so a flood costs no more."""

from __future__ import annotations

import asyncio
import math

from onbrand.database import migrations
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable
from onbrand.jobs import workers


class ReadinessLook:
    """Looks at the database, one after another. Nobody is told what was true before they asked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._began_at = -math.inf
        self._found = False, 0

    async def look(self) -> tuple[bool, int]:
        """Whether the database has the schema of this version, and how many workers are ready."""
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with self._lock:
            if self._began_at < asked_at:
                self._began_at = loop.time()
                self._found = await self._look()
            return self._found

    async def _look(self) -> tuple[bool, int]:
        try:
            async with self._database.transaction() as connection:
                is_current = await migrations.is_current(connection)
                return is_current, await workers.ready_workers(connection) if is_current else 0
        except DatabaseUnavailable:
            return False, 0
