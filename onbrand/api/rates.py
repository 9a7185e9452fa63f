"""How many requests one person, or one visitor without a valid token, may make in a second.

It is counted in memory, so a refusal costs no look at the database. Each process of the API counts for itself. What a
person may submit is another limit, and exact: `jobs.limits`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable

from starlette.types import Scope

from onbrand.errors import TooManyRequests

BURST_SECONDS = 4.0  # whoever was quiet may make the requests of so many seconds at once
# Without a token, so many times as many may come from one address, because a whole office may share it. What needs a
# token, and health, counts so many times there.
VISITORS = 4
_MOST_CALLERS = 10_000
_ROUNDING = 1e-6  # seconds that many additions may be wrong by
_ALL_OTHERS = "all others"  # the name under which further callers are counted together


class Rates:
    """Counts requests by caller; safe to share between threads. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        burst_seconds: float = BURST_SECONDS,
    ) -> None:
        self._seconds_each = 1 / per_second
        self._burst_seconds = burst_seconds
        self._clock = clock
        self._paid_until: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def count(self, caller: Hashable, weight: int = 1) -> float:
        """Count a request, as many as `weight`. 0 if it may be answered, or the seconds until the next may be."""
        with self._lock:
            now = self._clock()
            if caller not in self._paid_until and len(self._paid_until) >= _MOST_CALLERS:
                self._forget(now)
                caller = caller if len(self._paid_until) < _MOST_CALLERS else _ALL_OTHERS
            paid_until = max(now, self._paid_until.get(caller, now)) + weight * self._seconds_each
            if (seconds := paid_until - now - self._burst_seconds) > _ROUNDING:
                return seconds
            self._paid_until[caller] = paid_until
            return 0.0

    def admit(self, caller: Hashable, weight: int = 1) -> None:
        """Count a request, as many as `weight`.

        Raises:
            TooManyRequests: this caller has made too many.
        """
        if seconds := self.count(caller, weight):
            raise TooManyRequests(retry_after_seconds=math.ceil(seconds))

    def _forget(self, now: float) -> None:
        """Forget callers for whom this makes no difference."""
        self._paid_until = {caller: until for caller, until in self._paid_until.items() if until > now}


def visitor(scope: Scope) -> str:
    """Who sends a request without a valid token, as far as we know: an address, often that of a proxy."""
    client = scope.get("client")
    return client[0] if client else ""
