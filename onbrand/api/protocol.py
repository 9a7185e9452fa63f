"""HTTP/1.1 as uvicorn and h11 read it, with problems instead of plain text for what never becomes a request.

Nothing here knows a route: what is refused is passed to the application as a request with its refusal, and `edge`
answers it like any other.
"""

from __future__ import annotations

import asyncio
import sys

import h11
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from onbrand.api.edge import REFUSAL
from onbrand.errors import HeadersTooLarge, HttpInvalid, Overloaded, ProblemError

MAX_CONNECTIONS = 500


class Protocol(H11Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self.app_state = self.app_state | {REFUSAL: Overloaded(retry_after_seconds=5)}

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
