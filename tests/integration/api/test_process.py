"""`onbrand api` as a process: what it logs while everything goes wrong, and how it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from onbrand import logs
from onbrand.api.app import listen
from onbrand.config import Settings
from onbrand.errors import PortBusy
from onbrand.local.issuer import Issuer
from onbrand.local.postgres import EmbeddedPostgres
from tests.system import environment, free_port, wait_until

CANARY = "canary7f3a91"


@dataclass
class Process:
    """A running `onbrand api` that logs all it can."""

    process: subprocess.Popen[bytes]
    port: int
    data_dir: Path
    log_path: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self) -> str:
        """A member's, with a canary wherever the local sign-in lets one put something."""
        issuer = Issuer(f"http://localhost:{self.port}", self.data_dir / "sign-in")
        return issuer.sign(issuer.access_claims("member") | {"name": CANARY, "preferred_username": CANARY})

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; every line must be one JSON object."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def process(database_url: str, tmp_path: Path) -> Iterator[Process]:
    port, log_path, page = free_port(), tmp_path / "log", tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    settings = environment(
        DATABASE_URL=database_url,
        DATA_DIR=str(tmp_path),
        PORT=str(port),
        WEB_DIR=str(page),
        LOG_LEVEL="debug",
        LOG_FORMAT="json",
    )
    with log_path.open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "onbrand", "api"], env=settings, stdout=log, stderr=log)
    process = Process(running, port, tmp_path, log_path)
    try:
        wait_until(process.is_ready, 30)
        yield process
    finally:
        running.kill()
        running.wait()


def misuse(client: httpx.Client) -> list[httpx.Response]:
    """Everything a caller can put in wrongly, with the canary in it."""
    bodies: list[dict[str, Any]] = [
        {"json": {"prompt": CANARY}},
        {"json": {"prompt": f"{CANARY}\x1b[31m\nERROR forged"}},
        {"json": {"prompt": CANARY}, "headers": {"Idempotency-Key": CANARY}},
        {"json": {"prompt": f"{CANARY}!"}, "headers": {"Idempotency-Key": CANARY}},
        {"json": {"prompt": CANARY * 100}},
        {"json": {"prompt": "a", CANARY: CANARY}},
        {"content": f"{{{CANARY}", "headers": {"Content-Type": "application/json"}},
        {"content": CANARY, "headers": {"Content-Type": f"text/{CANARY}"}},
        {"json": {"prompt": "a"}, "headers": {"Authorization": f"Bearer {CANARY}.{CANARY}.{CANARY}"}},
        {"json": {"prompt": "a"}, "headers": {"Authorization": f"Basic {CANARY}", "X-Request-Id": CANARY}},
    ]
    paths = (f"/{CANARY}", f"/jobs/{CANARY}", f"/jobs/{uuid4()}/images/{CANARY}", f"/nowhere?{CANARY}", f"/%0A{CANARY}")
    aside = {"Cookie": CANARY, "User-Agent": CANARY, "Referer": CANARY}
    return [client.post("/generate", **body) for body in bodies] + [client.get(path, headers=aside) for path in paths]


def refuse_rows(database_url: str) -> None:
    """Have the database refuse a row, which it does quoting it."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table job add constraint picky check (prompt not like 'picky%')")


def lock_out(server: EmbeddedPostgres, database_url: str) -> None:
    """Have the database refuse connections, and cut those there are."""
    name = str(conninfo_to_dict(database_url)["dbname"])
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SQL("alter database {} allow_connections false").format(Identifier(name)))
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])


def test_whatever_goes_wrong_the_log_is_one_json_object_a_line_and_holds_no_secret(
    process: Process, postgres: EmbeddedPostgres, database_url: str
) -> None:
    token = process.token()
    with httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {token}"}) as client:
        answers = misuse(client)
        refuse_rows(database_url)
        answers.append(client.post("/generate", json={"prompt": f"picky {CANARY}"}))
        assert answers[-1].status_code == 500
        lock_out(postgres, database_url)
        answers.append(client.post("/generate", json={"prompt": CANARY}))
        assert answers[-1].status_code == 503
    for answer in answers:
        assert CANARY not in answer.text + str(answer.headers)
    # The line about an answer is written after the answer.
    ids = {answer.headers["x-request-id"] for answer in answers}
    wait_until(lambda: ids <= {line["request_id"] for line in process.lines() if is_about("answer_request", line)}, 5)
    text = process.log_path.read_text()
    for secret in (CANARY, token, token.split(".")[2], str(conninfo_to_dict(database_url)["password"])):
        assert secret not in text
    # It was worth looking at: the failures are there, each with the id that its answer named.
    failures = {line["request_id"]: line for line in process.lines() if is_about("answer_error", line)}
    assert set(failures) == {answer.json()["request_id"] for answer in answers if answer.status_code >= 500}
    assert "CheckViolation" in next(line["traceback"] for line in failures.values() if "traceback" in line)
    assert {line["action"] for line in process.lines() if "action" in line} <= set(logs.ACTIONS)


def is_about(action: str, line: dict[str, Any]) -> bool:
    return line.get("action") == action and "request_id" in line


def test_it_stops_when_asked_though_a_stream_is_open(process: Process) -> None:
    with httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {process.token()}"}) as client:
        job_id = client.post("/generate", json={"prompt": "a"}).json()["job_id"]
        with client.stream("GET", f"/jobs/{job_id}/events") as stream:
            assert next(stream.iter_lines()) == "event: job"
            process.process.send_signal(signal.SIGTERM)
            assert process.process.wait(10) == 0
    assert [line for line in process.lines() if line["level"] in ("ERROR", "CRITICAL")] == []


def test_answers_are_not_held_back_by_nagles_algorithm(settings: Settings) -> None:
    with listen(settings.model_copy(update={"port": free_port()})) as socket_:
        assert socket_.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY


def test_a_port_that_is_taken_is_one_plain_sentence(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = settings.model_copy(update={"port": other.getsockname()[1]})
        with pytest.raises(PortBusy, match=r"set another ONBRAND_PORT\.$"):
            listen(taken)
