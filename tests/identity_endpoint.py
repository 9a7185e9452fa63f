"""What Azure puts beside a container app, or at a fixed address of a virtual machine: it hands out tokens. Outer edge.

A token opens the real PostgreSQL as the password of one role, until it is rotated or ended.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, LiteralString
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

CLIENT_ID = UUID("dddddddd-0000-4000-8000-00000000000d")
RESOURCE = "https://ossrdbms-aad.database.windows.net"
SECRET = "of this container"


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True
    endpoint: IdentityEndpoint


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        status, answer = self.server.endpoint.answer(self.path, dict(self.headers.items()))
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@dataclass
class IdentityEndpoint:
    """The endpoint for one identity, whose role in PostgreSQL is `role`."""

    admin_url: str
    role: str
    life_seconds: float = 3600.0  # what the answer says
    asked: list[dict[str, str]] = field(default_factory=list)
    delay_seconds: float = 0.0
    status: int | None = None  # the answer to everything
    token: str = ""
    _server: _Server | None = None
    _port: int = 0

    @property
    def url(self) -> str:
        """The address without a password, in the same database as `admin_url`."""
        parts = conninfo_to_dict(self.admin_url) | {"user": self.role}
        return make_conninfo("", **{name: value for name, value in parts.items() if name != "password"})

    def rotate(self) -> None:
        """From now on only a new token opens the database."""
        self.token = f"ey.{secrets.token_hex(16)}.x"
        self._alter("password {} valid until 'infinity'", sql.Literal(self.token))

    def end(self) -> None:
        """The token has ended as PostgreSQL sees it, and the endpoint goes on giving it."""
        self._alter("valid until '2000-01-01'")

    def _alter(self, change: LiteralString, *values: sql.Composable) -> None:
        statement = sql.SQL("alter role {} ").format(sql.Identifier(self.role)) + sql.SQL(change).format(*values)
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Answer, on the same port as before."""
        self._server = _Server(("127.0.0.1", self._port), _Handler)
        self._server.endpoint = self
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Nothing listens any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def variables(self, form: str = "container app") -> dict[str, str]:
        """What Azure sets in the environment."""
        here = f"http://127.0.0.1:{self._port}"
        if form == "container app":
            return {"IDENTITY_ENDPOINT": f"{here}/msi/token", "IDENTITY_HEADER": SECRET}
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": here}

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, object]]:
        """The status and the document for one request."""
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(query)
        time.sleep(self.delay_seconds)
        if self.status is not None:
            return self.status, {"error": "unavailable"}
        if parts.path == "/msi/token":
            is_right = headers.get("X-IDENTITY-HEADER") == SECRET and query.get("api-version") == "2019-08-01"
        else:
            is_right = parts.path == "/metadata/identity/oauth2/token" and headers.get("Metadata") == "true"
            is_right = is_right and query.get("api-version") == "2018-02-01"
        if not is_right:
            return 401, {"message": "not for you"}
        if query.get("client_id") != str(CLIENT_ID):
            return 400, {"error": "invalid_request", "error_description": "Identity not found"}
        if query.get("resource") != RESOURCE:
            return 400, {"error": "invalid_resource"}
        if not self.token:
            self.rotate()
        ends = str(int(time.time() + self.life_seconds))
        return 200, {"access_token": self.token, "expires_on": ends, "resource": RESOURCE, "token_type": "Bearer"}


@contextmanager
def identity_endpoint(
    admin_url: str, patch: pytest.MonkeyPatch, form: str = "container app", group: str | None = "onbrand"
) -> Iterator[IdentityEndpoint]:
    """A running endpoint, named as in Azure, for a new role, which may do in this database what the group may."""
    endpoint = IdentityEndpoint(admin_url, f"identity_{secrets.token_hex(4)}")
    role = sql.Identifier(endpoint.role)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create role {} login").format(role))
        if group is not None:
            connection.execute(sql.SQL("grant {} to {}").format(sql.Identifier(group), role))
    endpoint.start()
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        patch.delenv(name, raising=False)
    for name, value in endpoint.variables(form).items():
        patch.setenv(name, value)
    try:
        yield endpoint
    finally:
        endpoint.stop()
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [endpoint.role]
            )
            connection.execute(sql.SQL("drop owned by {}").format(role))
            connection.execute(sql.SQL("drop role {}").format(role))
