"""Onbrand's parts on several hosts: a database, an API and workers, each with a network cable that a test can pull.

The test itself stands outside and asks the database through its socket file, which no cut reaches. Whatever was made is
gone at the end, however the test ends.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from onbrand.config import REPOSITORY
from onbrand.database.migrations import migrate
from onbrand.local.cluster import DATABASE, USER, open_cluster
from onbrand.local.issuer import Issuer
from tests.integration.worker.stub_worker import STUB_MODEL
from tests.jobs import FILES
from tests.network import SUBNET, Network, tool
from tests.system import environment, wait_until

_DATABASE_PORT = 5432
_WEB_PORT = 8000


@dataclass
class HostedWorker:
    """`onbrand worker` with the model's double, on a host and in process numbers of its own, as in a container."""

    process: subprocess.Popen[bytes]
    notes_path: Path
    log_path: Path

    @property
    def notes(self) -> list[str]:
        """What the model's double wrote down."""
        return self.notes_path.read_text().splitlines() if self.notes_path.exists() else []

    @property
    def actions(self) -> list[str]:
        """The `action` of each line it has logged."""
        lines = [json.loads(line) for line in self.log_path.read_text().splitlines()]
        return [line["action"] for line in lines if "action" in line]

    def has_drawn(self, job_id: UUID) -> bool:
        return f"draw {job_id}" in self.notes

    def has_stayed(self) -> bool:
        """Whether it still runs, with the model it loaded first."""
        return self.process.poll() is None and self.notes.count("load") == 1


@dataclass
class Studio:
    """The database on `db`, the API on `web`, and a folder that stands in for the store they all share."""

    network: Network
    folder: Path
    database_url: str = ""  # as the hosts reach it
    database: psycopg.Connection[dict[str, Any]] = field(init=False)
    _token: str = ""

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of a member's request to the API."""
        self._token = self._token or Issuer(f"http://localhost:{_WEB_PORT}", self.folder / "sign-in").token_for(
            "member"
        )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{_WEB_PORT}{path}"
        request = urllib.request.Request(url, body and json.dumps(body).encode(), headers, method=method)

        def ask() -> tuple[int, bytes]:
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return response.status, response.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()
            except OSError:
                return 0, b""

        return self.network.on("web", ask)

    def submit(self, prompt: str) -> UUID:
        status, body = self.request("POST", "/generate", {"prompt": prompt})
        assert status == 202, body
        return UUID(json.loads(body)["job_id"])

    def job(self, job_id: UUID) -> dict[str, Any]:
        """The job's row."""
        row = self.database.execute("select * from job where id = %s", [job_id]).fetchone()
        assert row is not None
        return row

    def until_drawing(self, job_id: UUID) -> None:
        """Return when the first attempt is past its first step."""
        wait_until(lambda: self.job(job_id)["step"] > 0, 30)
        job = self.job(job_id)
        assert (job["status"], job["attempt"]) == ("processing", 1), "too late to see it being drawn"

    def until_ended(self, job_id: UUID) -> dict[str, Any]:
        """The row of the complete or failed job."""
        wait_until(lambda: self.job(job_id)["status"] in ("complete", "failed"), 40)
        return self.job(job_id)

    def stored(self, job_id: UUID) -> list[str]:
        """The image files of a job, below its folder."""
        folder = self.folder / "images" / "jobs" / str(job_id)
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

    def check_result(self, job_id: UUID, attempt: int) -> None:
        """The attempt is the result, its four images can be fetched, and no other file is stored."""
        job = self.until_ended(job_id)
        assert (job["status"], job["result_attempt"]) == ("complete", attempt)
        for n in (1, 2, 3, 4):
            status, png = self.request("GET", f"/jobs/{job_id}/images/{n}")
            assert (status, png) == (200, self.folder.joinpath(f"images/jobs/{job_id}/{attempt}/{n}.png").read_bytes())
        wait_until(lambda: self.stored(job_id) == [f"{attempt}/{name}" for name in FILES], 30)
        rows = self.database.execute("select from image where job_id = %s", [job_id])
        assert rows.rowcount == 4

    @contextmanager
    def worker(self, host: str, *, lease_seconds: float = 45.0) -> Iterator[HostedWorker]:
        """A worker on the host, with its model loaded."""
        notes_dir = self.folder / f"notes-{uuid4()}"
        notes_dir.mkdir()
        log_path = notes_dir / "log"
        settings = environment(
            DATABASE_URL=self.database_url,
            DATA_DIR=str(self.folder),
            LEASE_SECONDS=str(lease_seconds),
            LOG_FORMAT="json",
        )
        program = [
            sys.executable,
            str(STUB_MODEL.with_name("stub_worker.py")),
            str(notes_dir),
            "",
            "--stop-with-parent",
        ]
        # The worker is number 1 of its own process numbers; with it all others of them end.
        container = [tool("unshare"), "--pid", "--fork", "--kill-child", *program]
        with log_path.open("wb") as log, _running(self.network.command(host, container), settings, log) as process:
            worker = HostedWorker(process, notes_dir / "notes", log_path)
            wait_until(lambda: any(note.startswith("ready") for note in worker.notes), 30)
            yield worker


@contextmanager
def studio() -> Iterator[Studio]:
    """The hosts with database and API running. Skips the test where a network cannot be made."""
    if missing := [name for name in ("ip", "nsenter", "unshare") if not tool(name)]:
        pytest.skip(f"several hosts need {', '.join(missing)} (Debian: iproute2, util-linux)")
    with ExitStack() as stack:
        # Open to others: as root the database server could not run as another user in pytest's own folders.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onbrand-")))
        folder.chmod(0o755)
        network = Network()
        stack.callback(network.tear_down)
        try:
            network.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"several hosts need root's right to make network namespaces ({error.stderr.strip()})")
        made = Studio(network, folder)
        stack.enter_context(_database(made))
        stack.enter_context(_api(made))
        yield made


@contextmanager
def _database(studio: Studio) -> Iterator[None]:
    """The embedded PostgreSQL's programs, but with a server that listens to the other hosts."""
    cluster = open_cluster(studio.folder)
    with (cluster.path / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all {USER} {SUBNET}.0/24 scram-sha-256\n")
    socket_dir = studio.folder / "socket"
    socket_dir.mkdir()
    cluster.identity.give(socket_dir)
    settings = {
        "listen_addresses": studio.network.address("db"),
        "unix_socket_directories": str(socket_dir),
        "fsync": "off",  # a test's database need not survive a power cut
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    program = [str(cluster.server), "-D", str(cluster.path), "-p", str(_DATABASE_PORT), *options]
    command = cluster.identity.command(program, cluster.path, on_parent_death=signal.SIGQUIT)
    url = f"postgresql://{USER}:{cluster.password}@%s:{_DATABASE_PORT}/{DATABASE}?sslmode=disable"
    studio.database_url = url % studio.network.address("db")
    from_here = f"{url % ''}&host={socket_dir}"
    log_path = studio.folder / "postgres.log"
    on_host = studio.network.command("db", command)
    with log_path.open("wb") as log, _running(on_host, None, log, signal.SIGQUIT) as server:

        def connect() -> psycopg.Connection[dict[str, Any]] | None:
            assert server.poll() is None, log_path.read_text()
            try:
                return psycopg.connect(from_here, autocommit=True, row_factory=dict_row)
            except psycopg.OperationalError:
                return None

        with _connected(connect) as studio.database:
            migrate(from_here)
            yield


def _connected(connect: Callable[[], psycopg.Connection[dict[str, Any]] | None]) -> psycopg.Connection[dict[str, Any]]:
    connection = wait_until(connect, 30)
    assert connection is not None
    return connection


@contextmanager
def _api(studio: Studio) -> Iterator[None]:
    page = studio.folder / "page"
    page.mkdir()
    (page / "index.html").write_text("<!doctype html>")
    settings = environment(
        DATABASE_URL=studio.database_url, DATA_DIR=str(studio.folder), PORT=str(_WEB_PORT), WEB_DIR=str(page)
    )
    command = studio.network.command("web", [sys.executable, "-m", "onbrand", "api", "--stop-with-parent"])
    log_path = studio.folder / "api.log"
    with log_path.open("wb") as log, _running(command, settings, log) as api:

        def is_ready() -> bool:
            assert api.poll() is None, log_path.read_text()
            return studio.request("GET", "/readyz")[0] == 200

        wait_until(is_ready, 30)
        yield


@contextmanager
def _running(
    command: Sequence[str], settings: dict[str, str] | None, log: Any, ending: signal.Signals = signal.SIGKILL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block; or with this process, should that be killed."""
    with subprocess.Popen(
        command, env=settings, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=REPOSITORY
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(ending)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
