"""One HTTP/1.1 connection as uvicorn and h11 read it, made stricter, limited in time, and answered with problems.

A request that is refused here is passed to the application with its refusal, and `middleware` answers it. So nothing
here knows a route. `body` limits the time for a body, because only a route knows whether it reads one.

It uses private parts of uvicorn 0.54 and h11 0.16. docs/adr/0019 says why; pyproject.toml caps both versions.
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
KEEP_ALIVE_SECONDS = 65  # between two requests; longer than the 60 after which proxies close the connection
HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of its head
STALL_SECONDS = 15.0  # how long a client may take to read the next part of an answer
STALL_BYTES = 16_384  # how large that part is
_FEWEST_CONNECTIONS = 16
_OTHER_FILES = 128  # for the rest of the process: database, object store, page
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s, so that closing the socket resets the connection


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
        """Whether a request has arrived and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def on_response_complete(self) -> None:
        self._quiet_since = self.loop.time()
        super().on_response_complete()
        if self.conn._receive_buffer:  # the next request has already begun to arrive
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
        # No answer if the client sent nothing at all, or if it has its answer and does not send the rest of the body.
        if self.conn.states == {h11.CLIENT: h11.IDLE, h11.SERVER: h11.IDLE} and self.conn._receive_buffer:
            self._refuse(HeadTooSlow())
        else:
            self.transport.close()

    def _has_room(self) -> bool:
        """Whether there is room for this connection. If there is none, an idle connection is closed.

        It closes the connection that has waited longest for a request. So idle connections keep nobody out.
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
        """Reset the connection of a client that reads its answer too slowly. The answer is in memory until then."""
        left = self.transport.get_write_buffer_size()
        if left and left_before and left > left_before - STALL_BYTES and self._resumed == resumed_before:
            # After a plain close the kernel would keep its part of the answer until the client reads it.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
            return
        self._stall_check = self.loop.call_later(STALL_SECONDS, self._check_for_stall, left, self._resumed)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (a problem replaces this text)
        """Answer a request that h11 could not read. uvicorn calls this while it handles h11's error."""
        error = sys.exc_info()[1]
        too_large = isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431
        running = self.cycle
        if running is not None and not running.response_complete:
            # The head was valid and the body is not. The route that reads the body sees a client that has disconnected.
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
            "method": "GET",  # unknown, like all the rest: only the refusal is read
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
