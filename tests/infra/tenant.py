"""A subscription and a directory behind recording tools, and an administrator who runs the hooks there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from onbrand.config import REPOSITORY

GROUP, REVIEWERS = "cccccccc-0000-4000-8000-000000000003", "dddddddd-0000-4000-8000-000000000004"
CHOICES = {
    "AZURE_ENV_NAME": "studio",
    "AZURE_LOCATION": "swedencentral",
    "AZURE_RESOURCE_GROUP": "rg-onbrand",
    "ONBRAND_GROUP_ID": GROUP,
    "ONBRAND_REVIEWER_GROUP_ID": REVIEWERS,
    "ONBRAND_GPU_USD_PER_SECOND": "0.001764",
    "ONBRAND_BUDGET_EMAIL": "it@studio.example",
}
DEPLOYED = {
    "ONBRAND_API_ADDRESS": "https://api.studio.example",
    "ONBRAND_PAGE_ADDRESS": "https://page.studio.example",
    "ONBRAND_MIGRATE_JOB": "onbrand-studio-migrate",
}
EMPTY: dict[str, Any] = {
    "env": {},
    "regions": ["swedencentral", "westeurope"],
    "profiles": ["Consumption", "D4", "Consumption-GPU-NC24-A100", "Consumption-GPU-NC8as-T4"],
    "providers": {
        **{
            f"Microsoft.{name}": "Registered"
            for name in ("ContainerRegistry", "DBforPostgreSQL", "Insights", "Storage")
        },
        **{f"Microsoft.{name}": "Registered" for name in ("ManagedIdentity", "OperationalInsights")},
        "Microsoft.Web": "NotRegistered",
    },
    "groups": [GROUP, REVIEWERS],
    "usages": [{"name": {"value": "SubscriptionConsumptionNCA100Gpus"}, "limit": 1, "currentValue": 0}],
    "apps": {},
    "principals": {},
    "resource_groups": {},
    "registries": {},
    "job_ends_as": "Succeeded",
}


class Tenant:
    """State, log of calls, and the hooks as azd would run them."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        tools = folder / "tools"
        tools.mkdir(parents=True)
        program = (Path(__file__).with_name("recording_az.py")).read_text(encoding="utf-8")
        for name in ("az", "azd", "node", "make"):
            # -S and -E: it starts in a third of the time.
            (tools / name).write_text(f"#!{sys.executable} -SE\n{program}", encoding="utf-8")
            (tools / name).chmod(0o755)
        self.path = str(tools)
        self._write(json.loads(json.dumps(EMPTY | changes)))

    def _write(self, state: dict[str, Any]) -> None:
        (self.folder / "state.json").write_text(json.dumps(state), encoding="utf-8")

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "state.json").read_text(encoding="utf-8")))

    @property
    def calls(self) -> list[str]:
        log = self.folder / "calls"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []

    def change(self, **changes: Any) -> None:
        self._write(self.state | changes)

    def fail_at(self, number: int | None) -> None:
        """Let the call with this number fail, counted from the next one; None: no call fails."""
        (self.folder / "calls").unlink(missing_ok=True)
        if number is None:
            (self.folder / "fail_at").unlink(missing_ok=True)
        else:
            (self.folder / "fail_at").write_text(str(number))

    def fail_each_once(self) -> None:
        """Let every call fail the first time."""
        (self.folder / "fail_once").touch()

    @property
    def failed(self) -> list[str]:
        """The calls that have failed once."""
        return (self.folder / "fail_once").read_text(encoding="utf-8").splitlines()

    def run(self, hook: str, path: str | None = None, **choices: str) -> subprocess.CompletedProcess[str]:
        """Run a hook with azd's environment: the choices, and what hooks have remembered."""
        inherited = {name: os.environ[name] for name in ("HOME", "LANG", "SYSTEMROOT") if name in os.environ}
        environment = {
            **inherited,
            "PATH": self.path if path is None else path,
            "RECORDING": str(self.folder),
            "HOOK_PAUSE_SECONDS": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            **CHOICES,
            **self.state["env"],
            **choices,
        }
        return subprocess.run(
            [sys.executable, "-m", f"infra.hooks.{hook}"],
            cwd=REPOSITORY,
            env={name: value for name, value in environment.items() if value != ""},
            capture_output=True,
            text=True,
            check=False,
        )
