"""The job `migrate`: it brings the schema up to date and sets the scaler's password. It is started and awaited here."""

from __future__ import annotations

import os
import time

from infra.hooks.tools import HookFailed, az, say
from infra.hooks.wanted import Wanted

_PAUSE_SECONDS = 5.0
_PATIENCE_SECONDS = 900.0
_RUNNING = ("Running", "Processing", "Unknown")


def migrate(wanted: Wanted, pause_seconds: float | None = None) -> None:
    """Run the job to its end.

    Raises:
        HookFailed: it failed, or took too long.
    """
    job = os.environ.get("ONBRAND_MIGRATE_JOB", f"onbrand-{wanted.environment}-migrate")
    place = ("--name", job, "--resource-group", wanted.resource_group)
    execution = str(az("containerapp", "job", "start", *place)["name"])
    pause = float(os.environ.get("HOOK_PAUSE_SECONDS", _PAUSE_SECONDS)) if pause_seconds is None else pause_seconds
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        shown = az("containerapp", "job", "execution", "show", *place, "--job-execution-name", execution)
        status = str(shown["properties"]["status"])
        if status == "Succeeded":
            say("The database is ready, and the scaler may read it.")
            return
        if status not in _RUNNING:
            raise HookFailed(
                f"the job {job} ended as {status}: `az containerapp job logs show --name {job} --resource-group"
                f" {wanted.resource_group} --container migrate` shows why; then run `azd hooks run postprovision`"
            )
        if time.monotonic() > deadline:
            raise HookFailed(f"the job {job} is still {status} after {_PATIENCE_SECONDS / 60:g} minutes")
        time.sleep(pause)
