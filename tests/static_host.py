"""A static host that treats a site as Azure Static Web Apps does: exactly as its `staticwebapp.config.json` says.

https://learn.microsoft.com/azure/static-web-apps/configuration. It knows the keys that our file uses, and refuses a
file with any other, so that nothing in it stays untried.
"""

from __future__ import annotations

import json
import mimetypes
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

RULES = "staticwebapp.config.json"


@dataclass(frozen=True)
class StaticHost:
    """A site that is served; `origin` is what a person opens."""

    origin: str
    site: Path


@contextmanager
def serving(site: Path) -> Iterator[StaticHost]:
    """Serve the site on a free port of 127.0.0.1, which to a browser is another site than localhost.

    The rules are read for each request, so a test may change them.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = answer(site, unquote(urlsplit(self.path).path))
            self.send_response_only(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: a test says what it wants to know."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="static host")
    thread.start()
    try:
        yield StaticHost(f"http://127.0.0.1:{server.server_address[1]}", site)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(site: Path, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body for a GET of this path."""
    rules = json.loads((site / RULES).read_text(encoding="utf-8"))
    _require(rules, {"routes", "navigationFallback", "globalHeaders"})
    headers = dict(rules["globalHeaders"])
    for route in rules["routes"]:  # the first that matches counts, and no other
        _require(route, {"route", "headers"})
        if _matches(route["route"], path):
            headers |= route["headers"]
            break
    fallback = rules["navigationFallback"]
    _require(fallback, {"rewrite", "exclude"})
    file = _file(site, path)
    if file is None and not any(_matches(pattern, path) for pattern in fallback["exclude"]):
        file = _file(site, fallback["rewrite"])
    if file is None:
        return 404, headers | {"Content-Type": "text/html"}, b"<!doctype html><title>404: Not found</title>"
    media_type, _ = mimetypes.guess_type(file.name)
    return 200, headers | {"Content-Type": media_type or "application/octet-stream"}, file.read_bytes()


def _require(found: dict[str, Any], known: set[str]) -> None:
    assert set(found) == known, f"teach the static host of the tests {set(found) ^ known}"


def _file(site: Path, path: str) -> Path | None:
    name = path.removeprefix("/") or "index.html"
    file = (site / name).resolve()
    is_ours = file.is_relative_to(site.resolve()) and file.name != RULES
    return file if is_ours and file.is_file() else None


def _matches(pattern: str, path: str) -> bool:
    """An exact path, `*` at the end, or `*.{one,other}` at the end."""
    start, star, ending = pattern.partition("*")
    if not star:
        return path == pattern
    endings = ending.removeprefix(".").strip("{}").split(",")
    after = r"\.(?:" + "|".join(map(re.escape, endings)) + ")" if ending else ""
    return re.fullmatch(re.escape(start) + ".*" + after, path) is not None
