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
from collections import Counter

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from onbrand.api.dependencies import OWNER
from onbrand.api.middleware import IS_DELAYED, REFUSAL
from onbrand.api.pace import PATIENCE_SECONDS, SAMPLE_SECONDS, Pace
from onbrand.api.strict_h11 import StrictLines
from onbrand.errors import HeadersTooLarge, HeadTooSlow, HttpInvalid, Overloaded, ProblemError
from onbrand.jobs.models import Owner

MAX_CONNECTIONS = 500  # or fewer, where this process may open only few files
KEEP_ALIVE_SECONDS = 65  # between two requests; longer than the 60 after which proxies close the connection
HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request, to the end of its head
# What a client must take of its answer, in bytes per second, so that the answer is not given up. Who has shown no token
# gets the page's files and little else. A member may be on a bad line, and gets all of a picture while there is room.
LEAST_RATE = 30_000.0
LEAST_RATE_OF_A_PERSON = 1_000.0
_NEW_SECONDS = 1.0  # a connection that has been quiet for a shorter time has probably a request on its way
_FEWEST_CONNECTIONS = 16
_OTHER_FILES = 128  # for the rest of the process: database, object store, page
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s, so that closing the socket resets the connection


class Protocol(H11Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn._receive_buffer = StrictLines()
        self.pace = Pace(transport, PATIENCE_SECONDS)
        self.conn.send = self._send_counted  # type: ignore[assignment]
        self.quiet_since = self._asked_at = self.loop.time()
        self._is_held = False
        self._head_deadline: asyncio.TimerHandle | None = None
        self._next_sample = self.loop.call_later(SAMPLE_SECONDS, self._sample_pace, self.loop.time())
        self._await_head()
        if not self._has_room():
            self.app_state = self.app_state | {REFUSAL: Overloaded(retry_after_seconds=5)}

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting_head()
        self._next_sample.cancel()
        self._is_held = False
        super().connection_lost(exc)

    def _send_counted(self, event: h11.Event) -> bytes | None:
        data = h11.Connection.send(self.conn, event)
        self.pace.add_sent(len(data or b""))
        return data

    @property
    def is_answering(self) -> bool:
        """Whether a request has arrived and its answer is not complete, or waits for the client to take it."""
        return self.cycle is not None and (self._is_held or not self.cycle.response_complete)

    def data_received(self, data: bytes) -> None:
        was_answering = self.is_answering
        super().data_received(data)
        if not was_answering:
            self._asked_at = self.loop.time()
        self._watch_head()

    def on_response_complete(self) -> None:
        self.quiet_since = self.loop.time()
        # The next request of this connection is answered only when the client has taken most of this answer. Otherwise
        # each pipelined request would have its answer in memory beside the one that the client doesn't read.
        self._is_held = self.flow.write_paused and not self.transport.is_closing()
        if self._is_held:
            return
        super().on_response_complete()
        if self.conn._receive_buffer:  # the next request has already begun to arrive
            self._watch_head()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._is_held:
            self.on_response_complete()

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
        """Whether there is room for this connection. If there is none, the one that can best be spared is closed."""
        others = [other for other in self.connections if isinstance(other, Protocol) and other is not self]
        others = [other for other in others if other._holds_a_place]
        most = _most_connections()
        if len(others) < most:
            return True
        spared = _to_spare(others, most, self.loop.time())
        if spared is not None:
            spared._make_room()
        return spared is not None

    @property
    def _holds_a_place(self) -> bool:
        # A connection that closes is open until the client has taken its answer.
        return not self.transport.is_closing() or self.transport.get_write_buffer_size() > 0

    @property
    def is_quiet(self) -> bool:
        """Whether the client has been sent all that it asked for. The kernel may hold the end of it."""
        return not self.is_answering and not self.transport.get_write_buffer_size()

    @property
    def owner(self) -> Owner | None:
        """The person whose token the latest request has shown."""
        owner = self._said_of_the_latest_request(OWNER)
        return owner if isinstance(owner, Owner) else None

    def _said_of_the_latest_request(self, key: str) -> object:
        return None if self.cycle is None else self.cycle.scope.get("state", {}).get(key)

    def rank(self, now: float) -> tuple[int, float] | None:
        """Sorts connections by what their loss costs, the lowest first; None for a member's request that waits for us.

        First come a flood's requests and whoever reads slowly, then who has been quiet for long, then other readers.
        Visitors come before members. Last is who has just become quiet, because a request is probably on its way.
        """
        rate = self.pace.rate
        if self.is_answering and self._said_of_the_latest_request(IS_DELAYED):
            return 0, 0.0
        if rate is not None:
            return (0 if rate < LEAST_RATE else 2), rate
        if self.is_quiet:
            return (1 if now - self.quiet_since > _NEW_SECONDS else 6), self.quiet_since
        has_begun = self.pace.owed > 0
        if self.owner is None:
            return (3 if has_begun else 4), self._asked_at
        return (5, self._asked_at) if has_begun else None

    def _make_room(self) -> None:
        if self.is_quiet and self.pace.rate is None:
            self.transport.close()
        else:
            self._reset()

    def _sample_pace(self, sampled_at: float) -> None:
        """Reset the connection if its client takes its answer too slowly. The answer is in memory until then."""
        now = self.loop.time()
        self.pace.sample(now - sampled_at, LEAST_RATE if self.owner is None else LEAST_RATE_OF_A_PERSON)
        if self.pace.patience <= 0:
            self._reset()
        else:
            self._next_sample = self.loop.call_later(SAMPLE_SECONDS, self._sample_pace, now)

    def _reset(self) -> None:
        # After a plain close the kernel would keep its part of the answer until the client reads it.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

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


def _to_spare(connections: list[Protocol], most: int, now: float) -> Protocol | None:
    """The connection to close for a new one; None if all of them wait for this process, and nobody has too many."""
    ranked = [(rank, number) for number, other in enumerate(connections) if (rank := other.rank(now)) is not None]
    if ranked:
        return connections[min(ranked)[1]]
    owners = Counter(other.owner for other in connections if other.owner is not None)
    for owner, count in owners.most_common(1):
        if count > most // 2:
            theirs = [other for other in connections if other.owner == owner]
            return min(theirs, key=lambda other: other.quiet_since)
    return None


def _most_connections() -> int:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(_FEWEST_CONNECTIONS, files - _OTHER_FILES))
