"""What every request passes, whatever its route: an id, a limit on headers, security headers, and no bare 500.

A plain ASGI middleware, outermost, so that streams are not buffered and nothing escapes it.
"""

from __future__ import annotations

import logging
import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onbrand import logs
from onbrand.api.problems import answer_unforeseen, problem_response
from onbrand.errors import HeadersTooLarge

logger = logging.getLogger(__name__)

MAX_HEADER_BYTES = 16_384
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"


class Edge:
    """Wraps the whole application. `https` adds HSTS: set it where TLS ends in front of this process."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        token = logs.request_id.set(request_id)
        started = time.monotonic()
        status = 0

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._secure(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
                await problem_response(HeadersTooLarge())(scope, receive, send_secured)
                return
            try:
                await self._app(scope, receive, send_secured)
            except Exception as error:
                response = answer_unforeseen(error)
                if status == 0:
                    await response(scope, receive, send_secured)
        finally:
            logger.debug(
                "%s answered",
                scope["method"],
                extra={"action": "answer_request", "status": status, "seconds": round(time.monotonic() - started, 4)},
            )
            logs.request_id.reset(token)

    def _secure(self, headers: MutableHeaders, request_id: str) -> None:
        headers["X-Request-Id"] = request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        headers.setdefault("Content-Security-Policy", _API_POLICY)
        headers.setdefault("Cache-Control", "private, no-store")
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=()"
        if self._https:
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
