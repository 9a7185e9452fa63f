"""The API's process in production, which opens PostgreSQL over TLS with tokens of a managed identity."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.certificate import Authority
from tests.identity_endpoint import CLIENT_ID, SECRET, identity_endpoint
from tests.integration.doctor.reports import PRODUCTION
from tests.system import environment, free_port, wait_until
from tests.tls_front import tls_front


def test_it_outlasts_a_rotation_and_an_endpoint_that_is_away(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, port, log_path = Authority.new(), free_port(), tmp_path / "api.log"
    (tmp_path / "roots.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    seen: set[str] = set()

    def database_answers() -> bool:
        seen.add(identity.token)
        try:
            return bool(httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).json()["database"])
        except httpx.TransportError:
            return False

    def hang_up() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [identity.role]
            )

    with (
        tls_front(database_url, authority.certificate_for("localhost"), tmp_path) as front,
        identity_endpoint(database_url, monkeypatch) as identity,
        log_path.open("wb") as log,
    ):
        settings = PRODUCTION | {
            "DATABASE_URL": make_conninfo(front, user=identity.role, password="", sslmode="verify-full"),
            "DATABASE_AUTH": "entra",
            "DATABASE_CLIENT_ID": str(CLIENT_ID),
            "STORAGE_URL": (tmp_path / "images").as_uri(),
            "DATA_DIR": str(tmp_path),
            "PORT": str(port),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "onbrand", "api"], env=environment(**settings), stdout=log, stderr=log
        )
        try:
            wait_until(database_answers, 30)
            identity.rotate()
            hang_up()
            wait_until(database_answers, 30)
            identity.stop()
            assert database_answers()  # the connection that is open goes on
            identity.end()
            hang_up()
            wait_until(lambda: not database_answers(), 30)
            identity.rotate()
            identity.start()
            wait_until(database_answers, 30)
            assert process.poll() is None
        finally:
            process.kill()
            process.wait()
    lines = [json.loads(line) for line in log_path.read_text().splitlines()]
    told = [line["message"] for line in lines if "managed identity" in line["message"]]
    assert told, "the log does not say why the database is away"
    assert not any(secret and secret in log_path.read_text() for secret in (*seen, SECRET))
