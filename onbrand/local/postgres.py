"""The embedded PostgreSQL: one server process, a child of this process, for as long as Onbrand runs on this machine.

This module starts the server, notices its end, starts it again and stops it. `cluster.py` makes the files,
`privileges.py` chooses the user, and `server_process.py` looks at a running server. Tables and statements are in other
rooms. It works on Linux and macOS. A production installation has a PostgreSQL server of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from onbrand.errors import AlreadyRunning, DatabaseServerFailed
from onbrand.local.cluster import Cluster, open_cluster, server_failed, writing
from onbrand.local.server_process import HOST, address, end, is_alive, is_server_of, says_ready

_POLL_SECONDS = 0.05
_LOG_BYTES = 1_000_000  # kept from one start to the next, twice
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # the path of a socket may have 107 bytes, and a data directory's path may be longer
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",  # DETAIL would write the prompt of a refused row into the log
}
# After kill -9 of the postmaster, its processes keep the shared memory for a moment.
_LEFTOVERS = ("pre-existing shared memory block", 'lock file "postmaster.pid" already exists')
_PORT_TAKEN = "Address already in use"


class EmbeddedPostgres:
    """The PostgreSQL server of one data directory, which the first start makes.

    With `port` 0 it chooses a free port, and keeps that port when this object restarts it, so `url` stays valid.
    Use it as a context manager, or call `start` and `stop`. Call `start` from a thread that lives as long as the
    program (the main one): on Linux the server shuts down when the thread that started it ends, even by `kill -9`.
    """

    def __init__(
        self, data_dir: Path, port: int = 0, *, start_seconds: float = 60.0, stop_seconds: float = 30.0
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port
        self.start_seconds = start_seconds  # includes recovery after a crash, but not making the directory
        self.stop_seconds = (
            stop_seconds  # after this it is stopped without a checkpoint, and recovers at the next start
        )
        self._may_choose_port = port == 0
        self._has_served = False
        self._cluster: Cluster | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def log_path(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def url(self) -> str:
        """The address for libpq, password included. It is known after the first `start`."""
        if self._cluster is None or self.port == 0:
            raise RuntimeError("start the server first")
        return address(self._cluster.password, self.port)

    @property
    def pid(self) -> int | None:
        """The server's process id; None before `start` and after `stop`."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """The exit code of a server that ended by itself (negative: a signal); None while it runs and after `stop`."""
        return self._process.poll() if self._process else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, and return when it answers. After a crash, call this again: no committed row is lost.

        Raises:
            AlreadyRunning: another supervisor uses this data directory.
            DataDirUnwritable: the folder cannot be written.
            DatabaseServerFailed: PostgreSQL is not installed, or did not start. The message has the end of its log.
        """
        if self._process and self._process.poll() is None:
            return
        try:
            with writing(self.data_dir):
                self._take_lock()
                self._rotate_log()
            self._cluster = self._cluster or open_cluster(self.data_dir)
            with writing(self.data_dir):
                self._end_leftover_server(self._cluster)
            self._start_until(time.monotonic() + self.start_seconds, self._cluster)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down and release the data directory. Open connections end. A second call does nothing."""
        if process := self._process:
            end(process.send_signal, lambda: process.poll() is not None, self.stop_seconds)
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take_lock(self) -> None:
        """Allow one supervisor for a directory. The kernel releases the lock when we end; no child inherits it."""
        if self._lock is not None:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.data_dir / "postgres.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"Another Onbrand is running on {self.data_dir}. Stop that one first, or give this one a folder of"
                " its own with ONBRAND_DATA_DIR."
            ) from None

    def _rotate_log(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.log_path.stat().st_size > _LOG_BYTES:
                self.log_path.replace(self.log_path.with_name("postgres.log.1"))

    def _end_leftover_server(self, cluster: Cluster) -> None:
        """Stop a server that outlived its supervisor, and remove a pid file that names an unrelated process.

        PostgreSQL refuses to start while *any* process has the pid in that file. A file whose process has ended is
        kept, because PostgreSQL uses it to find the shared memory of remaining processes.
        """
        pid_file = cluster.path / "postmaster.pid"
        try:
            pid = int(pid_file.read_bytes().split(b"\n")[0])
        except FileNotFoundError:
            return
        except ValueError:  # the file was not completely written
            pid_file.unlink()
            return
        if is_server_of(pid, cluster.path):
            end(lambda sign: os.kill(pid, sign), lambda: not is_server_of(pid, cluster.path), self.stop_seconds)
        if is_alive(pid):
            pid_file.unlink(missing_ok=True)

    def _start_until(self, deadline: float, cluster: Cluster) -> None:
        while True:
            if self._may_choose_port and not self._has_served:
                self.port = _free_port()
            log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
            self._launch(cluster)
            if self._comes_up(deadline, cluster):
                self._has_served = True
                return
            output = _read_from(self.log_path, log_start)
            if time.monotonic() > deadline:
                raise server_failed(self.data_dir, f"PostgreSQL didn't start in {self.start_seconds:g} s", output)
            is_port_taken = _PORT_TAKEN in output
            if is_port_taken and not (self._may_choose_port or self._has_served):
                raise server_failed(self.data_dir, f"Another program listens on port {self.port}; free it", output)
            if not is_port_taken and not any(sign in output for sign in _LEFTOVERS):
                raise server_failed(self.data_dir, "PostgreSQL didn't start", output)
            time.sleep(_POLL_SECONDS)

    def _launch(self, cluster: Cluster) -> None:
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        program = [str(cluster.server), "-D", str(cluster.path), "-p", str(self.port), *settings]
        with writing(self.data_dir):
            log = os.open(self.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._process = subprocess.Popen(
                cluster.identity.command(program, cluster.path, on_parent_death=signal.SIGINT),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so Ctrl-C reaches the supervisor alone, which stops the server last
            )
        finally:
            os.close(log)

    def _comes_up(self, deadline: float, cluster: Cluster) -> bool:
        """Whether a connection succeeded before the server ended and before the deadline."""
        process = self._process
        assert process is not None
        while process.poll() is None and time.monotonic() < deadline:
            # Only then we know that our server listens on the port, and no other program.
            if says_ready(cluster.path, process.pid):
                try:
                    psycopg.connect(self.url, connect_timeout=5).close()
                except psycopg.OperationalError as error:
                    if "password authentication failed" in str(error):
                        raise DatabaseServerFailed(
                            f"The password in {cluster.path}.password isn't the database's. Put the right one back"
                            f" from a backup, or move {cluster.path} away to begin with an empty database."
                        ) from None
                else:
                    return True
            time.sleep(_POLL_SECONDS)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _read_from(path: Path, offset: int) -> str:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")
