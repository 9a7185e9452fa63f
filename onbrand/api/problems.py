"""The only place where errors become responses (RFC 9457). No response repeats what the client sent."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import Message, Receive, Scope, Send

from onbrand import logs
from onbrand.errors import (
    InternalError,
    MethodNotAllowed,
    NotFound,
    OnbrandError,
    ProblemError,
    RequestInvalid,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_ANYWHERE = (400, 408, 421, 429, 431, 500, 503)
CODE = "problem_code"  # key in the message that starts a problem's answer; `middleware` counts by it


class ProblemResponse(JSONResponse):
    """The response for one problem."""

    media_type = MEDIA_TYPE

    def __init__(self, content: dict[str, object], error: ProblemError, headers: dict[str, str]) -> None:
        super().__init__(content, error.status, headers)
        self._code = error.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_code(message: Message) -> None:
            await send({**message, CODE: self._code} if message["type"] == "http.response.start" else message)

        await super().__call__(scope, receive, send_with_code)


def problem_response(error: ProblemError) -> ProblemResponse:
    """The response for an error, with `Retry-After` if the error has one, and `WWW-Authenticate` for a 401."""
    request_id = logs.request_id.get() or ""
    headers = {}
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = {
        "type": f"urn:onbrand:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.message,
        "instance": f"urn:onbrand:request:{request_id}",
        "code": error.code,
        "request_id": request_id,
    }
    return ProblemResponse(content, error, headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route for the API's description: these statuses, and those that any request can get."""
    media = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    return {status: {"description": "Problem", **media} for status in sorted({*_ANYWHERE, *statuses})}


def install(app: FastAPI) -> None:
    """Answer every error of the routes as a problem."""
    app.add_exception_handler(OnbrandError, _answer_ours)
    app.add_exception_handler(HTTPException, _answer_starlette)
    app.add_exception_handler(RequestValidationError, _answer_validation)


def answer_unexpected(error: Exception) -> JSONResponse:
    """Log an unexpected error with its traceback, and answer 500 without the traceback."""
    logger.error("A request failed: %s", type(error).__name__, exc_info=error, extra={"action": "answer_error"})
    return problem_response(InternalError())


async def _answer_ours(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, ProblemError):
        return answer_unexpected(error)
    if error.status >= 500:
        reason = type(error.__cause__).__name__ if error.__cause__ else None  # not its text, which may quote rows
        logger.warning(
            "%s %s could not be served: %s%s",
            request.method,
            route := _template(request),
            error.title,
            f" ({reason})" if reason else "",
            extra={"action": "answer_error", "code": error.code, "reason": reason, "route": route},
        )
    return problem_response(error)


def _template(request: Request) -> str:
    """The route's template, such as `/jobs/{job_id}`: no log line has what a caller chose."""
    return str(getattr(request.scope.get("route"), "path", "another address"))


async def _answer_starlette(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    match status:
        case 404:
            return problem_response(NotFound())
        case 405:
            response = problem_response(MethodNotAllowed())
            response.headers["Allow"] = ", ".join(_allowed_methods(request))
            return response
        case _ if status < 500:
            return problem_response(RequestInvalid())
        case _:
            return answer_unexpected(error)


def _allowed_methods(request: Request) -> list[str]:
    """The methods of all routes at this address. Starlette would name those of one route."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    allowed = [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return allowed or ["GET", "HEAD"]  # only files are mounted


async def _answer_validation(_request: Request, _error: Exception) -> JSONResponse:
    return problem_response(RequestInvalid())
