"""What every request passes, whatever its route: an id, what is refused before routing, security headers, no bare 500.

Plain ASGI middleware, so that streams are not buffered. `Edge` is the outermost; `Unforeseen` is the innermost, so that
its answer passes the others, too.
"""

from __future__ import annotations

import logging
import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onbrand import logs
from onbrand.api.body import MAX_BYTES
from onbrand.api.problems import answer_unforeseen, problem_response
from onbrand.errors import BodyTooSlow, HeadersTooLarge, HttpInvalid, NotFound, ProblemError

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384
REFUSAL = "refusal"  # where `protocol` leaves the error that a request is to be answered with
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
        body_is_read, may_be_long = False, _may_be_long(scope)

        async def receive_noticing_the_end() -> Message:
            nonlocal body_is_read
            message = await receive()
            body_is_read = body_is_read or not message.get("more_body", False)
            return message

        async def send_secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                self._secure(headers, request_id)
                if not body_is_read and (may_be_long or status == BodyTooSlow.status):
                    headers["Connection"] = "close"  # or it would take what is left of the body, for ever if need be
            await send(message)

        try:
            if (refusal := _refusal(scope)) is not None:
                await problem_response(refusal)(scope, receive, send_secured)
            else:
                await self._app(_without_range(scope), receive_noticing_the_end, send_secured)
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


class Unforeseen:
    """Answers 500 to whatever the routes raise that is no `OnbrandError`, unless an answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_noticing_the_start(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noticing_the_start)
        except ClientDisconnect:
            return  # nobody is left to be answered, and nothing of ours failed
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = answer_unforeseen(error)
            if not has_begun:
                await response(scope, receive, send)


def _refusal(scope: Scope) -> ProblemError | None:
    """Why a request is not even routed."""
    refusal = scope.get("state", {}).get(REFUSAL)
    if isinstance(refusal, ProblemError):
        return refusal
    if _head_bytes(scope) > MAX_HEAD_BYTES:
        return HeadersTooLarge()
    names = {name for name, _ in scope["headers"]}
    if b"content-length" in names and b"transfer-encoding" in names:
        return HttpInvalid()  # a proxy before us may have ended the body elsewhere than we would (request smuggling)
    if b"%2f" in scope.get("raw_path", b"").lower():
        return NotFound()  # routing would take an escaped slash for a real one, so that one thing had two addresses
    return None


def _head_bytes(scope: Scope) -> int:
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return headers + len(scope.get("raw_path", b"")) + len(scope["query_string"])


def _may_be_long(scope: Scope) -> bool:
    """Whether the body is longer than any valid one, or of unknown length."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    is_chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    return is_chunked or any(int(length) > MAX_BYTES for length in lengths)  # h11 has checked that they are numbers


def _without_range(scope: Scope) -> Scope:
    # Nothing here is worth sending in parts, and a server may ignore Range (RFC 9110 §14.2). Starlette's files answer
    # a malformed one in plain text.
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
