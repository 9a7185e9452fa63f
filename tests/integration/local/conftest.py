"""Folders for the embedded PostgreSQL, which every user may enter, and a server that nobody supervises."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.local.cluster import open_cluster
from tests.integration.local.supervisor import open_folder, until


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
