"""What every request passes, whatever its route: an id, what is refused before routing, security headers, no bare 500.

Plain ASGI middleware, so that streams are not buffered. `Edge` is the outermost; `Unforeseen` is the innermost, so that
its answer passes the others, too.
"""

from __future__ import annotations

import logging
import re
import time
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onbrand import logs
from onbrand.api.body import MAX_BYTES
from onbrand.api.metrics import Metrics
from onbrand.api.problems import CODE, answer_unforeseen, problem_response
from onbrand.errors import BodyTooSlow, HeadersTooLarge, HostNotAllowed, HttpInvalid, NotFound, ProblemError

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384
REFUSAL = "refusal"  # where `protocol` leaves the error that a request is to be answered with
# What RFC 3986 §3.2.2 lets a host be, with a port. What it says is trusted for nothing.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# A page elsewhere can have its own name resolve to 127.0.0.1 (DNS rebinding), but cannot have a browser send these.
_HOST_OF_THIS_MACHINE = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"


class Edge:
    """Wraps the whole application.

    `https` adds HSTS: set it where TLS ends in front of this process. `for_this_machine` refuses to be called by any
    name but this machine's own. `metrics` counts what passes; None counts nothing.
    """

    def __init__(self, app: ASGIApp, *, https: bool, for_this_machine: bool, metrics: Metrics | None) -> None:
        self._app = app
        self._https = https
        self._for_this_machine = for_this_machine
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid4().hex
        token = logs.request_id.set(request_id)
        began = time.monotonic()
        status, seconds, problem_code = 0, None, None
        inner, refusal = _without_range(scope), self._refusal(scope)
        body_is_read, may_be_long = False, _may_be_long(scope)
        if self._metrics is not None:
            self._metrics.begin()

        async def receive_noticing_the_end() -> Message:
            nonlocal body_is_read
            message = await receive()
            body_is_read = body_is_read or not message.get("more_body", False)
            return message

        async def send_secured(message: Message) -> None:
            nonlocal status, seconds, problem_code
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.monotonic() - began
                problem_code = message.pop(CODE, None)
                headers = MutableHeaders(scope=message)
                self._secure(headers, request_id)
                if not body_is_read and (may_be_long or status == BodyTooSlow.status):
                    headers["Connection"] = "close"  # or it would take what is left of the body, for ever if need be
                elif isinstance(refusal, HttpInvalid):
                    headers["Connection"] = "close"  # what follows may not be what its sender means
            await send(message)

        try:
            if refusal is not None:
                await problem_response(refusal)(scope, receive, send_secured)
            else:
                await self._app(inner, receive_noticing_the_end, send_secured)
        finally:
            seconds = time.monotonic() - began if seconds is None else seconds
            if self._metrics is not None:
                self._metrics.end(_route(inner), scope["method"], status, seconds, problem_code)
            logger.debug(
                "%s answered",
                scope["method"],
                extra={"action": "answer_request", "status": status, "seconds": round(seconds, 4)},
            )
            logs.request_id.reset(token)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        """Why a request is not even routed."""
        refusal = scope.get("state", {}).get(REFUSAL)
        if isinstance(refusal, ProblemError):
            return refusal
        if _head_bytes(scope) > MAX_HEAD_BYTES:
            return HeadersTooLarge()
        if not _is_unambiguous(scope):
            return HttpInvalid()
        host = _header(scope, b"host")
        if self._for_this_machine and not (host and _HOST_OF_THIS_MACHINE.fullmatch(host)):
            return HostNotAllowed()
        if b"%2f" in scope.get("raw_path", b"").lower():
            return NotFound()  # routing would take an escaped slash for a real one, so that one thing had two addresses
        return None

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


def _is_unambiguous(scope: Scope) -> bool:
    """Whether every reader would take this head for the same request: a proxy before us is one (request smuggling)."""
    is_chunked, host = _header(scope, b"transfer-encoding") is not None, _header(scope, b"host")
    if is_chunked and (scope["http_version"] == "1.0" or _header(scope, b"content-length") is not None):
        return False
    return scope["http_version"] in ("1.0", "1.1") and (host is None or _HOST.fullmatch(host) is not None)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for other, value in scope["headers"] if other == name), None)


def _route(scope: Scope) -> str:
    """The template of the route that was taken, or the folder of a file; never what a caller wrote."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else scope.get("root_path") or "none"


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
