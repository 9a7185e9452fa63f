"""Azurite, Microsoft's emulator of Azure Blob Storage, as a child process that a test can stop and start again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onbrand.config import REPOSITORY, Settings
from tests.system import free_port, wait_until

ACCOUNT = "devstoreaccount1"
# Not a secret: the one key that Azurite has, printed in its documentation.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_MAIN = REPOSITORY / "tests" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_START_SECONDS = 60.0


class Azurite:
    """A blob service on a port of its own, whose blobs are kept in `folder` while it is stopped."""

    def __init__(self, folder: Path, *options: str) -> None:
        assert _MAIN.is_file(), "install it: make tests/node/node_modules/installed"
        self.port = free_port()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The address of the account, as in `ONBRAND_STORAGE_AZURE_ENDPOINT`."""
        where = f"https://localhost:{self.port}" if "--cert" in self._options else f"http://127.0.0.1:{self.port}"
        return f"{where}/{ACCOUNT}"

    def settings(self, container: str) -> dict[str, str]:
        """What `Settings` needs to use a container here; the names are without `ONBRAND_`."""
        return {
            "STORAGE_URL": f"az://{container}",
            "STORAGE_AZURE_ENDPOINT": self.endpoint,
            "STORAGE_AZURE_ACCOUNT": ACCOUNT,
            "STORAGE_AZURE_KEY": KEY,
        }

    def start(self) -> None:
        """Start it, on the same port each time, and return when it answers."""
        command = ["node", str(_MAIN), "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--silent"]
        command += ["--disableTelemetry", "--skipApiVersionCheck", "--location", str(self._folder), *self._options]
        with (self._folder / "azurite.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, _START_SECONDS)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "azurite.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """End it; its port then refuses connections."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGCONT)
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """A black hole: it takes connections and never answers."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """An outage: its port refuses connections until the block ends."""
        self.stop()
        try:
            yield
        finally:
            self.start()


def settings_with(settings: Settings, **changes: str) -> Settings:
    """These settings with others, named and read as environment variables are, without `ONBRAND_`."""
    chosen = settings.model_dump(exclude_unset=True)
    return Settings(**chosen | {name.lower(): value for name, value in changes.items()})
