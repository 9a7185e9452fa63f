"""`onbrand api` and a worker as processes: what they log while everything fails, and how the API stops."""

from __future__ import annotations

import base64
import json
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand import logs
from onbrand.api.app import listen
from onbrand.config import Settings
from onbrand.errors import PortBusy
from onbrand.local.issuer import Issuer
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.worker import stub_worker
from tests.system import environment, free_port, wait_until

CANARY = "canary7f3a91"
KEY = base64.b64encode(f"a storage key with a {CANARY} in it".encode()).decode()


@dataclass
class Process:
    """A running `onbrand api` or `onbrand worker` that logs all it can."""

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

    def has_logged(self, action: str) -> bool:
        return any(line.get("action") == action for line in self.lines())

    def failures(self) -> set[str]:
        """Why attempts brought no images."""
        text = "".join(str(line["message"]) for line in self.lines() if line.get("action") == "fail_attempt")
        return set(re.findall(r"failed \((\w+)\)", text))

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log_path.read_text()
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def secret_url(postgres: EmbeddedPostgres, database_url: str) -> Iterator[str]:
    """The address of a migrated database with a canary for its password."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(SQL("create role keeper superuser login password {}").format(CANARY))
        yield make_conninfo(database_url, user="keeper", password=CANARY)
        connection.execute("drop role keeper")


@pytest.fixture
def variables(secret_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of both processes: a canary in every secret, and an image store that cannot be reached."""
    page = tmp_path / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    return environment(
        DATABASE_URL=secret_url,
        DATA_DIR=str(tmp_path),
        PORT=str(free_port()),
        WEB_DIR=str(page),
        STORAGE_URL="az://onbrand",
        STORAGE_AZURE_ACCOUNT="onbrand",
        STORAGE_AZURE_ENDPOINT=f"http://127.0.0.1:{free_port()}/onbrand",
        STORAGE_AZURE_KEY=KEY,
        LOG_LEVEL="debug",
        LOG_FORMAT="json",
    )


@contextmanager
def started(command: list[str], variables: dict[str, str], log_path: Path) -> Iterator[Process]:
    with log_path.open("wb") as log:
        running = subprocess.Popen([sys.executable, *command], env=variables, stdout=log, stderr=log)
    try:
        yield Process(running, int(variables["ONBRAND_PORT"]), Path(variables["ONBRAND_DATA_DIR"]), log_path)
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def process(variables: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """`onbrand api`, ready."""
    with started(["-m", "onbrand", "api"], variables, tmp_path / "api.log") as process:
        wait_until(process.is_ready, 30)
        yield process


@pytest.fixture
def worker(variables: dict[str, str], tmp_path: Path) -> Iterator[Process]:
    """`onbrand worker` with the model's double, ready."""
    with started([stub_worker.__file__, str(tmp_path), ""], variables, tmp_path / "worker.log") as worker:
        wait_until(lambda: worker.has_logged("model_ready"), 30)
        yield worker


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
    worker: Process, process: Process, postgres: EmbeddedPostgres, database_url: str
) -> None:
    token = process.token()
    with httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {token}"}) as client:
        # Its first drawing takes the model with it, and its second cannot be stored.
        answers = [client.post("/generate", json={"prompt": f"{CANARY} once kill@2"})]
        answers += misuse(client)
        refuse_rows(database_url)
        answers.append(client.post("/generate", json={"prompt": f"picky {CANARY}"}))
        assert answers[-1].status_code == 500
        assert "picky" not in answers[-1].text  # neither the prompt nor the database's words
        wait_until(lambda: {"worker_lost", "storage_unavailable"} <= worker.failures(), 60)
        public = [client.get(path) for path in ("/metrics", "/readyz", "/config.json", "/openapi.json", "/healthz")]
        lock_out(postgres, database_url)
        answers.append(client.post("/generate", json={"prompt": CANARY}))
        assert answers[-1].status_code == 503
        public += [client.get(path) for path in ("/metrics", "/readyz")]
    for answer in answers + public:
        assert CANARY not in answer.text + str(answer.headers)
        assert KEY not in answer.text
    # The line about an answer is written after the answer.
    ids = {answer.headers["x-request-id"] for answer in answers}
    wait_until(lambda: ids <= {line["request_id"] for line in process.lines() if is_about("answer_request", line)}, 5)
    text = process.log_path.read_text() + worker.log_path.read_text()
    for secret in (CANARY, KEY, token, token.split(".")[2]):
        assert secret not in text
    # It was worth looking at: the failures are there, each with the id that its answer named.
    failures = {line["request_id"]: line for line in process.lines() if is_about("answer_error", line)}
    assert set(failures) == {answer.json()["request_id"] for answer in answers if answer.status_code >= 500}
    assert "CheckViolation" in next(line["traceback"] for line in failures.values() if "traceback" in line)
    away = next(line for line in failures.values() if line.get("code") == "database_unavailable")
    assert (away["route"], away["message"].startswith("POST /generate could not be served")) == ("/generate", True)
    submitted = next(line for line in process.lines() if is_about("submit_job", line))
    assert UUID(submitted["user_id"]) != UUID(submitted["job_id"])
    actions = {line["action"] for line in process.lines() + worker.lines() if "action" in line}
    assert {"submit_job", "claim_job", "model_lost"} <= actions <= set(logs.ACTIONS)


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


def test_with_few_files_to_open_a_crowd_of_connections_keeps_nobody_out(process: Process) -> None:
    # Each connection is a file: with none left, not even a refusal could be sent.
    resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=5))
        for _ in range(5):
            assert httpx.get(f"{process.url}/healthz", timeout=10).status_code == 200
    assert httpx.get(f"{process.url}/readyz").json()["database"] is True
    assert len(process.lines()) < 1000  # asyncio says when it must wait, and left to itself thousands of times


def test_answers_are_not_held_back_by_nagles_algorithm(settings: Settings) -> None:
    with listen(settings.host, free_port(), "ONBRAND_PORT") as socket_:
        assert socket_.proto == socket.IPPROTO_TCP  # what asyncio asks before it sets TCP_NODELAY


def test_a_port_that_is_taken_is_one_plain_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for setting in ("ONBRAND_PORT", "ONBRAND_METRICS_PORT"):
            with pytest.raises(
                PortBusy,
                match=rf"^Port {port} can't be listened on \(Address already in use\)\..*set another {setting}\.$",
            ):
                listen("127.0.0.1", port, setting)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a..b", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_one_plain_sentence(host: str) -> None:
    with pytest.raises(PortBusy, match=r"^ONBRAND_HOST is no address of this machine\."):
        listen(host, free_port(), "ONBRAND_PORT")
