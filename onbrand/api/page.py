"""Serving the built page from this process, as on one machine by default.

Where a static host (Azure Static Web Apps) serves these files, this process serves none.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from onbrand.errors import PageNotBuilt

_DOCUMENTS = {"/": "index.html"} | {f"/{name}": name for name in ("auth.html", "favicon.svg", "favicon.ico")}

_COPIES = {"br": ".br", "gzip": ".gz"}  # the smallest first


class _HashedAssets(StaticFiles):
    """Files whose names contain a hash of their content, so a file of one name never changes.

    The build writes compressed copies beside each file (`web/scripts/compress.mjs`). Compressing here would cost this
    process 30 ms for each request, and anybody may request these files.
    """

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        coding = next((name for name in _COPIES if _takes(name, scope) and _copy(full_path, name).is_file()), None)
        if coding is not None:
            full_path = _copy(full_path, coding)
            stat_result = os.stat(full_path)
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers["Vary"] = "Accept-Encoding"
        if coding is not None:
            response.headers["Content-Encoding"] = coding
        return response


def _copy(path: str | os.PathLike[str], coding: str) -> Path:
    return Path(f"{os.fspath(path)}{_COPIES[coding]}")


def _takes(wanted: str, scope: Scope) -> bool:
    for coding in ",".join(Headers(scope=scope).getlist("accept-encoding")).split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() == wanted:
            return re.fullmatch(r"\s*q=0(\.0*)?\s*", weight, re.IGNORECASE) is None
    return False


def policy(issuer_origin: str, *, framed_by_itself: bool) -> str:
    """The Content-Security-Policy of a page that talks to this service and to the identity provider.

    MSAL renews tokens in a hidden frame whose last page is auth.html. So our own page may frame auth.html.
    """
    ancestors = "'self'" if framed_by_itself else "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self';"
        f" connect-src 'self' {issuer_origin}; frame-src 'self' {issuer_origin}; frame-ancestors {ancestors};"
        " base-uri 'none'; form-action 'none'"
    )


def install(app: FastAPI, directory: Path, issuer_origin: str) -> None:
    """Serve the build in `directory`.

    Raises:
        PageNotBuilt: the folder holds no built page.
    """
    if not (directory / "index.html").is_file():
        raise PageNotBuilt("The web page isn't built. Run `make run`, or `npm ci && npm run build` in web/.")

    def document(request: Request) -> Response:
        path = request.url.path
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": policy(issuer_origin, framed_by_itself=path == "/auth.html"),
        }
        return FileResponse(directory / _DOCUMENTS[path], headers=headers)

    for path, name in _DOCUMENTS.items():
        if (directory / name).is_file():
            app.add_api_route(path, document, methods=["GET", "HEAD"], include_in_schema=False)
    if (directory / "assets").is_dir():
        app.mount("/assets", _HashedAssets(directory=directory / "assets"))
