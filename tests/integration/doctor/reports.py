"""Reports of `onbrand doctor`, made in this process or by the command, for the tests of this folder."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import psycopg

from onbrand.config import Settings
from onbrand.doctor.examine import examine
from onbrand.doctor.report import CHECKS
from tests.system import onbrand

CANARY = "canary-" + "5e9a0d"
TENANT = "aaaaaaaa-0000-4000-8000-00000000000a"
PRODUCTION: dict[str, Any] = {
    "ENV": "production",
    "AUTH": "entra",
    "ENTRA_TENANT_ID": TENANT,
    "ENTRA_API_CLIENT_ID": TENANT,
    "ENTRA_SPA_CLIENT_ID": TENANT,
    "ENTRA_GROUP_ID": TENANT,
    "MODEL": "mini",
    "ENTRA_METADATA_URL": "https://127.0.0.1:1/",  # nothing answers there, and nothing leaves this machine
}


def production(chosen: dict[str, str]) -> dict[str, Any]:
    """Settings of a production that keeps its images in a folder of this machine."""
    return PRODUCTION | {"STORAGE_URL": Path(chosen["DATA_DIR"], "images").as_uri()}


class Told:
    """What one report says, and how long it took."""

    def __init__(self, document: str, seconds: float) -> None:
        assert CANARY not in document
        self.seconds = seconds
        self.healthy: bool = json.loads(document)["healthy"]
        self.checks: dict[str, dict[str, Any]] = {check["check"]: check for check in json.loads(document)["checks"]}
        assert list(self.checks) == list(CHECKS)

    def state(self, check: str) -> str:
        return str(self.checks[check]["state"])

    def problems(self) -> list[str]:
        return [check for check in self.checks if self.state(check) == "problem"]

    def says(self, check: str) -> str:
        return f"{self.checks[check]['says']} {self.checks[check]['advice']}"


def examined(chosen: dict[str, str], *, weights: bool = False, **changes: Any) -> Told:
    """The report on these settings, which are named like environment variables without `ONBRAND_`."""
    values: dict[str, Any] = {name.lower(): value for name, value in (chosen | changes).items()}
    settings = Settings(**values)
    started = time.monotonic()
    report = asyncio.run(examine(settings, [], skip_weights=not weights, skip_gpu=True, tell=lambda _: None))
    return Told(report.as_json(), time.monotonic() - started)


def command(*options: str, **chosen: str) -> tuple[int, Told]:
    """Run the command itself: its exit code, and what it says."""
    started = time.monotonic()
    done = onbrand("doctor", "--json", *options, **chosen)
    assert done.stderr == ""
    return done.returncode, Told(done.stdout, time.monotonic() - started)


def execute(url: str, statement: str, *arguments: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), arguments)
