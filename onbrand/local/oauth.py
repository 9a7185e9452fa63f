"""OAuth 2.0 in Entra's form: which requests are accepted, and how answers and errors are written.

Nothing here knows an account, a key or a token; `issuer` does.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_SPA_CLIENT_ID
from onbrand.identity.tokens import SCOPE
from onbrand.local import sign_in_page

API_SCOPE = f"api://{LOCAL_API_CLIENT_ID}/{SCOPE}"
OPENID_SCOPES = frozenset({"openid", "profile", "email", "offline_access"})
PATIENCE_SECONDS = 10.0  # from the first byte of a body to the last
_MAX_FORM_BYTES = 8192
# Each pattern matches the whole address. No URL parser is used, because parsers read `user@host` in different ways.
_LOOPBACK = r"http://(?:localhost|127\.0\.0\.1)(?::[0-9]{1,5})?"
_ORIGIN = re.compile(_LOOPBACK)
_REDIRECT_URI = re.compile(_LOOPBACK + r"/auth\.html")
_SIGNED_OUT_URI = re.compile(_LOOPBACK + r"/[A-Za-z0-9._/-]*")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
# Chromium applies `form-action` to a form's redirects too. Silent sign-in runs in a frame of the page.
_LOOPBACK_SOURCES = "'self' http://localhost:* http://127.0.0.1:*"
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src {sign_in_page.STYLE_SOURCE}; base-uri 'none';"
        f" form-action {_LOOPBACK_SOURCES}; frame-ancestors {_LOOPBACK_SOURCES}"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def is_loopback_origin(text: str) -> bool:
    """Whether this is `http://localhost` or `http://127.0.0.1`, with or without a port."""
    return _ORIGIN.fullmatch(text) is not None


def is_signed_out_uri(text: str) -> bool:
    """Whether a browser may be sent to this address after sign-out: any plain path on a loopback origin."""
    return _SIGNED_OUT_URI.fullmatch(text) is not None


def page_elsewhere(request: Request) -> HTMLResponse | None:
    """A page of refusal if a page of another origin made the browser submit the form; None otherwise.

    Browsers name the origin's relation in `Sec-Fetch-Site`. `Origin` alone is not enough: our own form's is "null",
    because our page tells browsers to send no referrer.
    """
    origin = request.headers.get("origin", "null")
    is_own = request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")
    if is_own and (origin == "null" or is_loopback_origin(origin)):
        return None
    return page(403, "Sign-in request not accepted", "Another page asked for this. Open Onbrand and sign in there.")


def untrusted_client(request: Request) -> HTMLResponse | None:
    """A page of refusal if the request does not name Onbrand's page on this machine; None otherwise."""
    query = request.query_params
    if query.get("client_id") != str(LOCAL_SPA_CLIENT_ID):
        return page(400, "Sign-in request not accepted", "AADSTS700016: the application is not Onbrand's page.")
    if not _REDIRECT_URI.fullmatch(query.get("redirect_uri", "")):
        return page(
            400,
            "Sign-in request not accepted",
            "AADSTS50011: the redirect address must be /auth.html on http://localhost or http://127.0.0.1.",
        )
    return None


def authorize_problem(request: Request) -> dict[str, Any] | None:
    """The error of a sign-in request, for the page that made the request; None if it is correct."""
    query = request.query_params
    if query.get("response_type") != "code":
        return error("unsupported_response_type", 700054, "Only the authorization code flow is supported here.")
    if query.get("response_mode", "query") not in ("query", "fragment"):
        return error("invalid_request", 900144, "The response mode must be query or fragment.")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        return error("invalid_request", 9002325, "Proof Key for Code Exchange with S256 is required.")
    return scope_problem(query.get("scope", ""))


def scope_problem(scope: str) -> dict[str, Any] | None:
    """An error if a space-separated list contains any other scope than OpenID's and the API's own."""
    if set(scope.split()) <= OPENID_SCOPES | {API_SCOPE}:
        return None
    return error("invalid_scope", 70011, "The scope is not one of this directory's.")


def error(name: str, number: int, text: str) -> dict[str, Any]:
    """An OAuth error with the number that Entra gives it."""
    return {"error": name, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}


def send_back(request: Request, answer: dict[str, Any]) -> RedirectResponse:
    """A redirect to the page, with the texts of `answer` in the query or the fragment, as the page asked."""
    query = request.query_params
    fields = {name: value for name, value in answer.items() if isinstance(value, str)}
    if "state" in query:
        fields["state"] = query["state"]
    mark = "#" if query.get("response_mode") == "fragment" else "?"
    # 303, so that the browser follows a form's POST with a GET.
    return RedirectResponse(f"{query['redirect_uri']}{mark}{urlencode(fields)}", 303, headers=HEADERS)


def page(status: int, title: str, text: str) -> HTMLResponse:
    """A page with a title and one sentence."""
    return HTMLResponse(sign_in_page.message(title, text), status, headers=HEADERS)


async def form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body; no fields if it is over 8 kB, takes over 10 s or is not in UTF-8."""
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _MAX_FORM_BYTES:
                    return {}
    except TimeoutError:
        return {}
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=40))
    except ValueError:
        return {}


def cors(request: Request) -> dict[str, str]:
    """The headers that allow a page on a loopback origin to read the answer, and no other page."""
    origin = request.headers.get("origin", "")
    allowed = {"Access-Control-Allow-Origin": origin} if is_loopback_origin(origin) else {}
    return allowed | {"Vary": "Origin"}


def s256(verifier: str) -> str:
    """The code challenge for a verifier (RFC 7636)."""
    return unpadded_base64(hashlib.sha256(verifier.encode()).digest())


def unpadded_base64(value: bytes) -> str:
    """base64url without padding, as in every part of OAuth and JWT."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
