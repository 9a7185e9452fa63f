"""A supervisor of the embedded PostgreSQL in a process of its own, and what its tests look at."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from onbrand.local.postgres import EmbeddedPostgres
from onbrand.local.privileges import Identity

IS_ROOT = os.geteuid() == 0
NAMESPACES = Identity("namespace", 0, 0).run(["/bin/true"], Path("/"))[0] == 0
SUPERVISOR = """
import sys
sys.path[:0] = {path!r}
{first}
from pathlib import Path
from onbrand.errors import SetupError
from onbrand.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path({data_dir!r}))
try:
    server.start()
except SetupError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
print(server.pid, server.url, flush=True)
{then}
server.stop()
"""

# Its root knows no other user, and gets no further namespace.
DEEPEST_NAMESPACE = """
from onbrand.local.launcher import enter_namespace
try:
    while True:
        enter_namespace("0", "0")
except OSError:
    pass
"""


def supervisor_program(data_dir: Path, *, first: str = "", then: str = "") -> list[str]:
    """A supervisor as a process of its own; prints the server's pid and URL."""
    path = [folder for folder in sys.path if folder]
    return [sys.executable, "-c", SUPERVISOR.format(path=path, data_dir=str(data_dir), first=first, then=then)]


def run_supervisor(data_dir: Path, *, first: str = "", identity: Identity | None = None) -> tuple[int, str]:
    """Start and stop a server once; the exit code and what was printed."""
    return (identity or Identity("self")).run(supervisor_program(data_dir, first=first), Path("/"))


def assert_refused_as_root(code: int, output: str) -> None:
    assert code == 1
    assert output.startswith("DatabaseServerFailed: PostgreSQL refuses to run as root")
    assert "Start Onbrand as a normal user" in output
    assert "ONBRAND_DATABASE_URL" in output


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """False for a zombie too: who reaps an orphan, and when, is up to the machine."""
    if not Path("/proc/self").exists():
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout
        return bool(state.strip()) and not state.startswith("Z")
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def server_pids(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        return [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]


def write_row(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS kept")
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('here')")


def has_row(server: EmbeddedPostgres) -> bool:
    with psycopg.connect(server.url) as connection:
        return connection.execute("SELECT word FROM kept").fetchall() == [("here",)]


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own: so a root without user namespaces can run the tests."""
    with TemporaryDirectory(prefix="onbrand-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder).resolve()


@contextlib.contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)
