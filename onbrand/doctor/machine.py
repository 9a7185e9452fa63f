"""Checks of this machine: settings, folders, disk, page, port and GPU. They need no database and no network."""

from __future__ import annotations

import asyncio
import errno
import http.client
import importlib.util
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onbrand import __version__
from onbrand.config import Environment, Settings, SignIn
from onbrand.doctor.report import Verdict, ok, problem, skipped, warning

GPU_SECONDS = 12.0
_LITTLE_BYTES = 2 * 2**30  # free on the disk: a warning
_TOO_FEW_BYTES = 100 * 2**20  # a problem
_HTTP_SECONDS = 4.0  # the API itself waits up to three seconds for its database


def settings_known(settings: Settings, unknown: Sequence[str]) -> Verdict:
    """Which settings are set. Only their names are shown."""
    if unknown:
        return warning(
            f"There is no such setting: {', '.join(unknown)}.",
            "Correct the name: a name that is no setting has no effect.",
        )
    chosen = sorted(f"ONBRAND_{name.upper()}" for name in settings.model_fields_set)
    if not chosen:
        return ok("No setting is set. The defaults work on one machine.")
    return ok(f"Accepted: {', '.join(chosen)}.")


def python() -> Verdict:
    """Which Python this is. Onbrand does not start with one that is too old."""
    return ok(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}.")


def data_dir(settings: Settings) -> Verdict:
    """Whether files can be created in the data directory, or the directory itself if it does not exist."""
    if not keeps_data(settings):
        return skipped("With this configuration no data is on this machine.")
    advice = "Make it writable for this user, or set ONBRAND_DATA_DIR to another folder."
    folder = _existing(settings.data_dir)
    if not folder.is_dir():
        return problem(f"{folder} is not a folder.", "Set ONBRAND_DATA_DIR to a folder.")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return problem(f"The data directory can't be written ({error.strerror}).", advice)
    made = "" if folder == settings.data_dir.resolve() else "; the first start creates it"
    return ok(f"{settings.data_dir.resolve()} can be written{made}.")


def disk(settings: Settings) -> Verdict:
    """Whether there is free space on every disk on which this configuration stores files."""
    places = [settings.data_dir] if keeps_data(settings) else []
    if isinstance(settings.storage, Path):
        places.append(settings.storage)
    if not places:
        return skipped("With this configuration no data is on this machine.")
    if not all(os.access(_existing(place), os.W_OK) for place in places):
        return skipped("The folder can't be written: see data_dir and images.")
    free = min(shutil.disk_usage(_existing(place)).free for place in places)
    says = f"{free / 2**30:.1f} GiB are free."
    advice = "Free some space, or set ONBRAND_DATA_DIR to a larger disk."
    if free < _TOO_FEW_BYTES:
        return problem(says, advice)
    return warning(says, advice) if free < _LITTLE_BYTES else ok(says)


def page(settings: Settings) -> Verdict:
    """Whether the web page is built."""
    if (settings.web_dir / "index.html").is_file():
        return ok(f"Built, in {settings.web_dir}.")
    if settings.env is Environment.PRODUCTION:
        return skipped("Not on this machine: in production a static host can serve the page.")
    if "web_dir" in settings.model_fields_set:
        return problem(
            f"There is no page in {settings.web_dir}: index.html is missing.",
            "Correct ONBRAND_WEB_DIR, or unset it to serve the page that is built in this repository.",
        )
    return problem("The web page isn't built.", "Run `make run`, or `npm ci && npm run build` in web/.")


def port(settings: Settings) -> Verdict:
    """Whether the API answers on its port and is ready, or could use the port."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    try:
        answer = _get(host, settings.port, "/config.json")
        readiness = _get(host, settings.port, "/readyz")
    except ConnectionRefusedError:
        return _could_listen(settings)
    except (OSError, http.client.HTTPException, ValueError):
        answer = readiness = {}
    if not isinstance(answer.get("sign_in"), dict):
        return problem(
            f"The program on port {settings.port} isn't Onbrand, or does not answer.",
            "Stop it, or set another ONBRAND_PORT.",
        )
    if answer.get("version") != __version__:
        return warning(
            f"Another version of Onbrand answers on port {settings.port}.", f"This is {__version__}: restart the other."
        )
    if not readiness.get("ready"):
        lacking = [part for part in ("database", "keys") if not readiness.get(part)]
        return problem(
            f"Onbrand answers on port {settings.port}, but isn't ready. It has no {' and '.join(lacking)}.",
            "See the checks database and sign_in, and the API's log.",
        )
    return ok(f"Onbrand answers on port {settings.port} and is ready.")


async def gpu() -> Verdict:
    """Which GPU torch sees. A child process asks torch, so that it can be killed if it takes too long."""
    if importlib.util.find_spec("torch") is None:
        return skipped("torch isn't installed: this machine draws nothing.")
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "onbrand.hidream.gpu",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(GPU_SECONDS):
            printed, _ = await child.communicate()
    except TimeoutError:
        return warning(
            f"torch did not say within {GPU_SECONDS:g} seconds whether there is a GPU.",
            "On a busy machine, try again. Otherwise check the GPU's driver, for example with `nvidia-smi`.",
        )
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        return problem("torch can't be loaded.", "Install it again: pip install -c constraints.txt -e '.[worker]'")
    seen = json.loads(printed)
    if seen is None:
        return ok("torch sees no GPU; the miniature model draws on the CPU.")
    return ok(f"{seen['name']} with {seen['bytes'] / 2**30:.0f} GiB.")


def keeps_data(settings: Settings) -> bool:
    """Whether this configuration stores anything in the data directory."""
    return settings.database_url is None or settings.auth is SignIn.LOCAL or settings.storage_url is None


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    path = path.resolve()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _could_listen(settings: Settings) -> Verdict:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return problem(f"Another program uses port {settings.port}.", "Set another ONBRAND_PORT.")
            return problem(
                f"Port {settings.port} can't be used ({error.strerror}).",
                "Set another ONBRAND_PORT or ONBRAND_HOST.",
            )
    return ok(f"Port {settings.port} is free; no API runs here.")


def _get(host: str, number: int, path: str) -> dict[str, Any]:
    """GET one JSON object. The status of the answer does not matter."""
    connection = http.client.HTTPConnection(host, number, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", path)
        document = json.loads(connection.getresponse().read(1_000_000))
    finally:
        connection.close()
    return document if isinstance(document, dict) else {}
