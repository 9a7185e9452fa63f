"""HTTP/1.1 as uvicorn and h11 read it: strict in what is a request, bounded in time, and with problems for answers.

Nothing here knows a route: what is refused is passed to the application as a request with its refusal, and `edge`
answers it like any other. How long a body may take is `body`'s, since only a route knows whether it wants one.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
import sys

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from onbrand.api.middleware import REFUSAL
from onbrand.api.strict_h11 import StrictLines
from onbrand.errors import HeadersTooLarge, HeadTooSlow, HttpInvalid, Overloaded, ProblemError

MAX_CONNECTIONS = 500  # or fewer, where this process may open only few files
KEEP_ALIVE_SECONDS = 65  # between two requests; proxies give up after 60, and must not be given up on before
HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of its head
STALL_SECONDS = 15.0  # how long a client may take for the next part of an answer
STALL_BYTES = 16_384  # how large that part is
_FEWEST_CONNECTIONS = 16
_OTHER_FILES = 128  # what the rest of the process opens: the database, the store, the page
_RESET = struct.pack("ii", 1, 0)  # linger: on, for no time


class Protocol(H11Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn._receive_buffer = StrictLines()
        self._quiet_since = self.loop.time()
        self._resumed = 0
        self._head_deadline: asyncio.TimerHandle | None = None
        self._stall_check = self.loop.call_later(STALL_SECONDS, self._check_for_stall, 0, 0)
        self._await_head()
        if not self._has_room():
            self.app_state = self.app_state | {REFUSAL: Overloaded(retry_after_seconds=5)}

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting_head()
        self._stall_check.cancel()
        super().connection_lost(exc)

    @property
    def is_answering(self) -> bool:
        """Whether a request has arrived that is not fully answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        self._quiet_since = self.loop.time()
        super().on_response_complete()
        if self.conn._receive_buffer:  # more had been sent than the request that is answered now
            self._watch_head()

    def _watch_head(self) -> None:
        if self.is_answering:
            self._stop_awaiting_head()
        elif self._head_deadline is None:
            self._await_head()

    def _await_head(self) -> None:
        self._head_deadline = self.loop.call_later(HEAD_SECONDS, self._give_up_on_head)

    def _stop_awaiting_head(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def _give_up_on_head(self) -> None:
        # A connection that only was opened, or that keeps back the rest of a body whose answer it has, gets no answer.
        if self.conn.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE} and self.conn._receive_buffer:
            self._refuse(HeadTooSlow())
        else:
            self.transport.close()

    def _has_room(self) -> bool:
        """Whether one more may be open, if need be in place of the one that has waited longest for a request.

        So a crowd of connections that send nothing keeps nobody out.
        """
        others = [other for other in self.connections if isinstance(other, Protocol) and other is not self]
        others = [other for other in others if not other.transport.is_closing()]
        if len(others) < _most_connections():
            return True
        waiting = [other for other in others if not other.is_answering]
        if waiting:
            min(waiting, key=lambda other: other._quiet_since).transport.close()
        return bool(waiting)

    def resume_writing(self) -> None:
        self._resumed += 1
        super().resume_writing()

    def _check_for_stall(self, left_before: int, resumed_before: int) -> None:
        """Give up on a client that takes too little of its answer, which would be kept in memory for it."""
        left = self.transport.get_write_buffer_size()
        if left and left_before and left > left_before - STALL_BYTES and self._resumed == resumed_before:
            # Reset instead of closed, or the system would keep what it has taken over until the client reads it.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
            return
        self._stall_check = self.loop.call_later(STALL_SECONDS, self._check_for_stall, left, self._resumed)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (the text that a problem replaces)
        """Answer what h11 could not read; called while its error is being handled."""
        error = sys.exc_info()[1]
        too_large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        running = self.cycle
        if running is not None and not running.response_complete:
            # The request's head was fine and its body is not: whoever reads the body learns that the client is gone.
            running.disconnected = True
            running.message_event.set()
            if running.response_started:
                self.transport.close()
                return
        self._refuse(HeadersTooLarge() if too_large else HttpInvalid())

    def _refuse(self, error: ProblemError) -> None:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": "GET",  # unknown, as the rest; nothing but the refusal is looked at
            "root_path": self.root_path,
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": [(b"connection", b"close")],
            "state": self.app_state | {REFUSAL: error},
        }
        self.cycle = RequestResponseCycle(
            scope=scope,  # type: ignore[arg-type]
            conn=self.conn,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=self.on_response_complete,
        )
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(_FEWEST_CONNECTIONS, files - _OTHER_FILES))
