"""A server process of PostgreSQL as another process sees it: is it running, is it ready, and how it is ended.

Nothing here starts a server; `postgres.py` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from onbrand.local.cluster import DATABASE, USER

HOST = "127.0.0.1"
_POLL_SECONDS = 0.05
_QUIT_SECONDS = 5.0  # for an immediate shutdown, and for a kill


def address(password: str, port: int) -> str:
    """The address for libpq of a server on this machine, password included."""
    # sslmode: PGSSLMODE may be set for another server. This server has no TLS.
    return f"postgresql://{USER}:{quote(password, safe='')}@{HOST}:{port}/{DATABASE}?sslmode=disable"


def end(send: Callable[[signal.Signals], None], has_ended: Callable[[], bool], fast_seconds: float) -> None:
    """Fast shutdown (SIGINT); after `fast_seconds` immediate shutdown (SIGQUIT); after that SIGKILL."""
    for sign, seconds in (
        (signal.SIGINT, fast_seconds),
        (signal.SIGQUIT, _QUIT_SECONDS),
        (signal.SIGKILL, _QUIT_SECONDS),
    ):
        if has_ended():
            return
        with contextlib.suppress(ProcessLookupError):
            send(sign)
        deadline = time.monotonic() + seconds
        while not has_ended() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)


def is_alive(pid: int) -> bool:
    """Whether a process has this number. A zombie counts, as it does for PostgreSQL."""
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def is_server_of(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a server of the data directory `cluster`, and not another process that got the number later."""
    if Path("/proc/self/cmdline").exists():
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            return False
    else:
        command = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True).stdout
    return b"/postgres -D %b -p " % os.fsencode(cluster) in command  # see `EmbeddedPostgres._launch`


def says_ready(cluster: Path, pid: int) -> bool:
    """Whether the server `pid` says in its pid file that it is ready.

    The first line of that file is the pid, and the eighth is the status (miscadmin.h, LOCK_FILE_LINE_*).
    """
    try:
        lines = cluster.joinpath("postmaster.pid").read_bytes().split(b"\n")
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid).encode() and lines[7].strip() == b"ready"
