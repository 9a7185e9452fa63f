"""`onbrand up`: the whole system on one machine, supervised, with one log and one Ctrl-C.

Each part is a process of its own, exactly as in production. This process starts them in order, restarts a part that
ends by itself, and stops them in reverse order. It keeps a lock on the data directory while it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from onbrand.config import Settings
from onbrand.database import migrations
from onbrand.database.address import Address, configured, url_of
from onbrand.database.pool import Database
from onbrand.errors import AlreadyRunning, DatabaseUnavailable, DataDirUnwritable, PageNotBuilt, PortBusy
from onbrand.jobs import workers
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.local.reload import SourceWatch
from onbrand.packs.base import configured_base, require_files

logger = logging.getLogger(__name__)

_CONFIGURATION_EXIT_CODE = 78
_POLL_SECONDS = 0.25
_READY_SECONDS = 300.0
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 60.0  # a process that ran this long is restarted at once
_RELOAD_SECONDS = 2.0  # for a part whose code has changed
_GRACE_SECONDS = 10.0  # for a running job; a person who pressed Ctrl-C waits for it


async def run(settings: Settings, *, reload: bool = False) -> int:
    """Run everything until SIGTERM or Ctrl-C. Returns the exit code for the shell.

    `reload` starts a part again when its code has changed.

    Raises:
        DataDirUnwritable, AlreadyRunning, PortBusy, PageNotBuilt, WeightsMissing: before anything is started.
        DatabaseServerFailed, DatabaseNotReady: the database does not start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _locked(settings.data_dir):
        _check_port(settings)
        if not (settings.web_dir / "index.html").is_file():
            if "web_dir" in settings.model_fields_set:
                raise PageNotBuilt(f"There is no page in {settings.web_dir}: correct ONBRAND_WEB_DIR, or unset it.")
            raise PageNotBuilt("The web page isn't built. Run `make run`, or `npm ci && npm run build` in web/.")
        # Only the worker needs it. It is read here, so that a wrong path is reported before anything is started.
        require_files(configured_base(settings))
        if (address := configured(settings)) is not None:
            return await _run_parts(settings, address, None, stop, reload)
        logger.info("Starting PostgreSQL", extra={"action": "start"})
        with EmbeddedPostgres(settings.data_dir) as server:
            return await _run_parts(settings, server.url, server, stop, reload)


@dataclass
class _Part:
    """One of our processes: its command, when it started, and when it may be restarted."""

    name: str
    options: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    started: float = 0.0
    pause_seconds: float = 0.0
    due: float = field(default=0.0)

    async def start(self, environment: dict[str, str]) -> None:
        # In a session of its own, so that Ctrl-C reaches this process alone and we decide the order of stopping. Its
        # standard input is our pipe: if we are killed, the pipe closes and the process stops by itself.
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "onbrand",
            self.name,
            "--stop-with-parent",
            *self.options,
            stdin=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self.started = time.monotonic()

    async def stop(self, patience_seconds: float) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(patience_seconds):
                await self.process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


async def _run_parts(
    settings: Settings, address: Address, server: EmbeddedPostgres | None, stop: asyncio.Event, reload: bool
) -> int:
    if applied := migrations.migrate(address):
        logger.info("Prepared the database: %s", ", ".join(applied), extra={"action": "migrate"})
    if server is not None:
        await _expire_dead_workers(address, "")  # the database was down until now, so no worker can be alive
    is_set = "shutdown_grace_seconds" in settings.model_fields_set
    grace = settings.shutdown_grace_seconds if is_set else _GRACE_SECONDS
    environment = os.environ | {
        "ONBRAND_DATABASE_URL": url_of(address),
        "ONBRAND_DATA_DIR": str(settings.data_dir.resolve()),
        "ONBRAND_SHUTDOWN_GRACE_SECONDS": str(grace),
    }
    parts = [_Part("api"), _Part("worker", ("--wait-for-pack",))]
    announcing = asyncio.create_task(_announce_when_ready(settings))
    try:
        return await _supervise(parts, address, environment, server, stop, SourceWatch() if reload else None)
    finally:
        announcing.cancel()
        logger.info("Stopping", extra={"action": "stop"})
        # The worker first: it may still finish its job, and does not need the API for that.
        await parts[1].stop(grace + 10)
        await parts[0].stop(10)
        logger.info("Stopped; everything is kept in %s", settings.data_dir, extra={"action": "stop"})


async def _supervise(
    parts: list[_Part],
    address: Address,
    environment: dict[str, str],
    server: EmbeddedPostgres | None,
    stop: asyncio.Event,
    sources: SourceWatch | None,
) -> int:
    """Start the parts, and restart a part that ends, until `stop`. If a part refuses its settings, return its code."""
    while not stop.is_set():
        if server is not None and server.poll() is not None:
            logger.warning("PostgreSQL ended by itself and is started again", extra={"action": "restart"})
            server.start()  # from this thread, because the server ends with the thread that started it
        if sources is not None:
            await _stop_changed(parts, sources.changed_parts(), address)
        for part in parts:
            if part.process is None:
                if time.monotonic() >= part.due:
                    await part.start(environment)
                continue
            code = part.process.returncode
            if code is None:
                continue
            if code == _CONFIGURATION_EXIT_CODE:
                return code  # the part has logged why
            if part.name == "worker":
                await _expire_dead_workers(address, workers.id_of(socket.gethostname(), part.process.pid))
            steady = time.monotonic() - part.started > _STEADY_SECONDS
            part.pause_seconds = 0 if steady else min(_LONGEST_PAUSE_SECONDS, max(1, part.pause_seconds * 2))
            part.due, part.process = time.monotonic() + part.pause_seconds, None
            logger.warning(
                "The %s ended (%d) and is started again in %.0f s",
                part.name,
                code,
                part.pause_seconds,
                extra={"action": "restart", "exit_code": code},
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await stop.wait()
    return 0


async def _stop_changed(parts: list[_Part], changed: Set[str], address: Address) -> None:
    """Stop the parts whose code has changed, so that they start again at once."""
    for part in parts:
        if part.name not in changed:
            continue
        logger.info("The code of the %s changed; it starts again", part.name, extra={"action": "restart"})
        await part.stop(_RELOAD_SECONDS)
        if part.name == "worker" and part.process is not None:
            await _expire_dead_workers(address, workers.id_of(socket.gethostname(), part.process.pid))
        part.process, part.due, part.pause_seconds = None, 0.0, 0.0
    if changed:
        migrations.migrate(address)  # a migration may be what is new


async def _expire_dead_workers(address: Address, id_prefix: str) -> None:
    """Requeue the jobs of workers that have ended, without waiting for their leases to end."""
    database = Database(address, application_name="onbrand up", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            await workers.expire_workers(connection, id_prefix)
    except DatabaseUnavailable:
        pass  # then the leases end by themselves
    finally:
        await database.close()


async def _announce_when_ready(settings: Settings) -> None:
    """Print the address as soon as a job can be drawn: the API answers, sign-in works, and a model is loaded."""
    started = time.monotonic()
    while time.monotonic() - started < _READY_SECONDS:
        if await asyncio.to_thread(_is_ready, settings.port):
            logger.info(
                "Onbrand is ready: http://localhost:%d  (Ctrl-C stops it)",
                settings.port,
                extra={"action": "system_ready", "seconds": round(time.monotonic() - started, 1)},
            )
            return
        await asyncio.sleep(_POLL_SECONDS)
    logger.error(
        "Onbrand is not ready after %.0f s; the lines above say why", _READY_SECONDS, extra={"action": "start"}
    )


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
            return bool(json.load(response)["workers"])
    except (OSError, ValueError, KeyError):
        return False


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / "up.lock").open("w")
    except OSError as error:
        raise DataDirUnwritable(
            f"The data directory {data_dir} can't be written ({error.strerror})."
            " Point ONBRAND_DATA_DIR to a folder that you may write."
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                "Onbrand is already running on this data directory. Stop it, or set another ONBRAND_DATA_DIR."
            ) from None
        yield


def _check_port(settings: Settings) -> None:
    taken = f"Port {settings.port} is taken by another program. Stop that, or set another ONBRAND_PORT."
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortBusy(taken) from None
            raise PortBusy(
                f"{settings.host}, port {settings.port}, can't be listened on ({error.strerror})."
                " Set another ONBRAND_PORT or ONBRAND_HOST."
            ) from None
    # A browser tries ::1 before 127.0.0.1 for "localhost", and would find a program that listens only there.
    with contextlib.suppress(OSError), socket.create_connection(("::1", settings.port), timeout=1):
        raise PortBusy(taken)
