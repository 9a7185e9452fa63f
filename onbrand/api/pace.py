"""How fast the client of one connection takes what it was sent.

`Pace` only measures. `protocol` decides which connection is closed for it. A byte is *taken* when the client's machine
has confirmed it, and *owed* from its sending until then.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress

SAMPLE_SECONDS = 1.0
PATIENCE_SECONDS = 15.0  # how long a client may take nothing at all of its answer
_WEIGHT = 0.3  # of the newest sample in the average


class Pace:
    """The bytes that a client has taken, sampled once in `SAMPLE_SECONDS`.

    `rate` is an average in bytes per second; None while the client takes within a sample what was sent before it.
    `patience` is in seconds. Time uses it up while there is a rate, and each byte that is taken gives some of it back.
    """

    def __init__(self, transport: asyncio.Transport, patience_seconds: float) -> None:
        self._transport = transport
        self._longest = patience_seconds
        self._sent = 0
        self._sent_before = 0  # at the last sample, as the next one
        self._taken_before = 0
        self.patience = patience_seconds
        self.rate: float | None = None

    def add_sent(self, count: int) -> None:
        """So many bytes were given to the transport."""
        self._sent += count

    @property
    def owed(self) -> int:
        """How many sent bytes the client has not confirmed."""
        return self._transport.get_write_buffer_size() + self._in_kernel()

    def sample(self, seconds: float, least_rate: float) -> None:
        """Look again, `seconds` after the last time. A client that takes `least_rate` bytes a second keeps patience."""
        taken = self._sent - self.owed
        new, has_kept_up = taken - self._taken_before, taken >= self._sent_before
        self._sent_before, self._taken_before = self._sent, taken
        if has_kept_up:  # nothing that was sent before the last sample waits for the client
            self.patience, self.rate = self._longest, None
            return
        latest = new / seconds
        self.rate = latest if self.rate is None else self.rate + _WEIGHT * (latest - self.rate)
        self.patience = min(self._longest, self.patience - seconds + new / least_rate)

    def _in_kernel(self) -> int:
        connection = self._transport.get_extra_info("socket")
        with suppress(OSError, ValueError):  # it is closed, or this system doesn't tell
            count: int = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0]
            return count
        return 0
