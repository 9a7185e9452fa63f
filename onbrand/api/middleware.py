"""What happens to every request on any route: a request id, refusals before routing, security headers, a clean 500.

It is plain ASGI middleware, so streams are not buffered. `OuterMiddleware` is the outermost layer. `UnexpectedErrors`
is the innermost, so its answer passes through the other layers too. docs/adr/0019 says why these checks are here.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Collection
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onbrand import logs
from onbrand.api.body import MAX_BYTES
from onbrand.api.cors import Cors
from onbrand.api.metrics import Metrics
from onbrand.api.problems import CODE, answer_unexpected, problem_response
from onbrand.api.rates import VISITORS, Rates, visitor
from onbrand.errors import (
    BodyTooSlow,
    HeadersTooLarge,
    HostNotAllowed,
    HttpInvalid,
    NotFound,
    Overloaded,
    ProblemError,
    TooManyRequests,
)

logger = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16_384
_HEALTH = ("/healthz", "/readyz")
REFUSAL = "refusal"  # key in the scope's state: the error with which `protocol` wants a request to be answered
IS_DELAYED = "is_delayed"  # key in the scope's state: a flood's request waits, and `protocol` may close its connection
FLOOD_SECONDS = 2.0  # by which a request is answered later whose sender makes too many, so that others get a turn
# A host as RFC 3986 §3.2.2 allows it, and a port. Nothing trusts what it says.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# A foreign page can let its own name resolve to 127.0.0.1 (DNS rebinding). A browser then sends that name, not these.
_HOST_OF_THIS_MACHINE = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"


class OuterMiddleware:
    """The layer around the whole application.

    `https` adds HSTS: set it where a proxy ends TLS in front of this process. `for_this_machine` refuses requests whose
    host is not this machine's own name. `metrics` counts the requests; None counts nothing. `visitors` limits the
    requests without a token; None limits nothing. A request to one of `members_paths` (first parts) with a token is not
    counted here but in `dependencies`, which reads the token. Pages of `origins` may read refusals.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        https: bool,
        for_this_machine: bool,
        metrics: Metrics | None,
        visitors: Rates | None = None,
        members_paths: frozenset[str] = frozenset(),
        origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._https = https
        self._for_this_machine = for_this_machine
        self._metrics = metrics
        self._visitors = visitors
        self._members_paths = members_paths
        self._origins = origins

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
        seconds_to_wait = self._count(scope)
        if _is_always_answered(scope):
            refusal = None if isinstance(refusal, Overloaded) else refusal
        elif refusal is None and seconds_to_wait:
            refusal = TooManyRequests(retry_after_seconds=math.ceil(seconds_to_wait))
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
                if seconds_to_wait or problem_code == TooManyRequests.code:
                    scope["state"][IS_DELAYED] = True
                    await asyncio.sleep(FLOOD_SECONDS)
                headers = MutableHeaders(scope=message)
                self._secure(headers, request_id)
                if not body_is_read and (may_be_long or status == BodyTooSlow.status):
                    headers["Connection"] = "close"  # otherwise uvicorn reads the rest of the body, however long it is
                elif isinstance(refusal, HttpInvalid):
                    headers["Connection"] = (
                        "close"  # the following bytes may not be the request that their sender meant
                    )
            await send(message)

        try:
            if refusal is not None:
                await self._answer(refusal, scope)(scope, receive, send_secured)
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

    def _count(self, scope: Scope) -> float:
        """Count a visitor's request: after how many seconds they may make the next one. 0 for a request of a member."""
        if self._visitors is None:
            return 0.0
        is_for_members = scope["path"].lstrip("/").partition("/")[0] in self._members_paths
        if is_for_members and _header(scope, b"authorization") is not None:
            return 0.0
        is_preflight, is_health = scope["method"] == "OPTIONS", scope["path"] in _HEALTH
        weight = VISITORS if (is_for_members or is_health) and not is_preflight else 1
        # Each kind has a count of its own, so that a flood of one does not take another's place.
        return self._visitors.count((visitor(scope), is_for_members, is_health, is_preflight), weight)

    def _refusal(self, scope: Scope) -> ProblemError | None:
        """The error for a request that is refused before routing; None if it is routed."""
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
            return NotFound()  # routing would read an escaped slash as a slash, and a job would have two addresses
        return None

    def _answer(self, refusal: ProblemError, scope: Scope) -> ASGIApp:
        response = problem_response(refusal)
        if not self._origins or scope["method"] == "OPTIONS":
            return response
        # It doesn't pass through the application's own `Cors`, and a page elsewhere could not read why it was refused.
        return Cors(response, origins=self._origins)

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


class UnexpectedErrors:
    """Answers 500 if a route raises anything but an `OnbrandError`, unless its answer has begun."""

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
            return  # the client has left, and nothing of ours failed
        except Exception as error:
            if scope["type"] != "http":
                raise
            response = answer_unexpected(error)
            if not has_begun:
                await response(scope, receive, send)


def _is_always_answered(scope: Scope) -> bool:
    """Whether a request is answered however many there are: health, which a platform asks for, and preflights."""
    return scope["path"] in _HEALTH or scope["method"] == "OPTIONS"


def _is_unambiguous(scope: Scope) -> bool:
    """Whether every reader of this head, such as a proxy in front of us, sees the same request (request smuggling)."""
    is_chunked, host = _header(scope, b"transfer-encoding") is not None, _header(scope, b"host")
    if is_chunked and (scope["http_version"] == "1.0" or _header(scope, b"content-length") is not None):
        return False
    return scope["http_version"] in ("1.0", "1.1") and (host is None or _HOST.fullmatch(host) is not None)


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for other, value in scope["headers"] if other == name), None)


def _route(scope: Scope) -> str:
    """The template of the matched route, or the folder of a file. It never contains what the caller wrote."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else scope.get("root_path") or "none"


def _head_bytes(scope: Scope) -> int:
    headers = sum(len(name) + len(value) + len(": \r\n") for name, value in scope["headers"])
    return headers + len(scope.get("raw_path", b"")) + len(scope["query_string"])


def _may_be_long(scope: Scope) -> bool:
    """Whether the body is longer than any valid body, or its length is unknown."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    is_chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
    return is_chunked or any(int(length) > MAX_BYTES for length in lengths)  # h11 has checked that they are numbers


def _without_range(scope: Scope) -> Scope:
    # A server may ignore Range (RFC 9110 §14.2), and our files are small. Starlette would answer a malformed Range in
    # plain text, which is no problem document.
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"range"]}
