"""Which pages on other origins may call this service: exactly the configured origins, and by default none."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from onbrand.api.problems import problem_response
from onbrand.errors import PreflightRefused

_PREFLIGHT_SECONDS = 86_400  # Chromium keeps an answer for two hours at most, Firefox for a day


class Cors(CORSMiddleware):
    """Starlette's CORS, which allows the methods and headers that our page uses.

    The page sends a bearer token and no cookie, so `allow_credentials` stays off. A refused preflight gets a problem
    document (`api/problems.py`) as its answer.
    """

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_credentials=False,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Content-Disposition", "ETag", "Location", "Retry-After", "X-Request-Id"],
            max_age=_PREFLIGHT_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        refusal = problem_response(PreflightRefused())
        refusal.headers["Vary"] = response.headers["Vary"]
        return refusal
