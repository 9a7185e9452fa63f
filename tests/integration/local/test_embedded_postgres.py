"""The embedded PostgreSQL runs: it keeps its rows, ends with its supervisor, and comes back after every crash."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from onbrand.errors import AlreadyRunning
from onbrand.local.cluster import open_cluster
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.local.supervisor import (
    has_row,
    is_running,
    server_pids,
    supervisor_program,
    until,
    write_row,
)


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


def test_a_refused_row_stays_out_of_the_log(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TEMPORARY TABLE t (prompt text, n int NOT NULL)")
            with pytest.raises(psycopg.errors.NotNullViolation):
                connection.execute("INSERT INTO t VALUES (%s, NULL)", ["a secret prompt"])
        assert "violates not-null constraint" in server.log_path.read_text()
        assert "secret prompt" not in server.log_path.read_text()
