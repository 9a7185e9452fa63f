"""docs/deploy.md, followed from top to bottom with recording tools, and compared with the files that it speaks of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from onbrand.config import REPOSITORY
from tests.infra.tenant import CHOICES, DEPLOYED, Tenant

PAGE = (REPOSITORY / "docs" / "deploy.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^## Step (\d): [^\n]+\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> str:
    return "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))


def test_there_are_nine_steps_and_each_says_who_time_cost_check_and_undo() -> None:
    assert [number for number, _ in STEPS] == [str(number) for number in range(1, 10)]
    for _, text in STEPS:
        assert re.findall(r"^\| (\w+) \| .{4,} \|$", text, re.MULTILINE) == ["Who", "Time", "Cost", "Check", "Undo"]


def test_the_top_says_that_nobody_has_run_it() -> None:
    assert PAGE.split("\n", 3)[2].startswith("> **Nobody has run this on Azure yet.**")


@pytest.mark.skipif(
    not (REPOSITORY / "web" / "dist" / "index.html").is_file(), reason="the page isn't built: `make test` builds it"
)
def test_an_it_department_comes_to_the_end(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    outputs = DEPLOYED | {"ONBRAND_STORAGE_ACCOUNT": "onbrandstudio"}
    environment = {
        "PATH": f"{tenant.path}{os.pathsep}/usr/bin{os.pathsep}/bin",
        "HOME": str(tmp_path),
        "RECORDING": str(tenant.folder),
        "HOOK_PAUSE_SECONDS": "0",
        "PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
        "DEPLOYED": json.dumps(outputs),
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", commands()], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    state = tenant.state
    assert {name: state["env"][name] for name in CHOICES} == CHOICES
    assert state["page"].endswith("web/site")
    role, upload = state["uploads"]
    assert role[role.index("--assignee") + 1].startswith("ffffffff")
    assert role[-1] == "/subscriptions/x/onbrandstudio"
    assert upload[upload.index("--account-name") + 1] == "onbrandstudio"
    assert "The database is ready" in done.stdout


def test_each_choice_is_one_that_azd_passes_on_or_a_hook_reads() -> None:
    known = set(re.findall(r"\$\{(\w+)", (REPOSITORY / "infra" / "main.parameters.json").read_text(encoding="utf-8")))
    for file in (REPOSITORY / "infra" / "hooks").glob("*.py"):
        known |= set(re.findall(r'"((?:ONBRAND|AZURE)_\w+)"', file.read_text(encoding="utf-8")))
    named = set(re.findall(r"azd env set (\w+)", PAGE))
    table = PAGE.partition("| more choices |")[2].partition("\n\n")[0]
    assert named | set(re.findall(r"`(ONBRAND_\w+)`", table)) <= known


def test_every_choice_is_on_the_page() -> None:
    document = (REPOSITORY / "infra" / "main.parameters.json").read_text(encoding="utf-8")
    made_by_hooks = {"ONBRAND_REGISTRY", "ONBRAND_API_IMAGE", "ONBRAND_WORKER_IMAGE", "ONBRAND_ENTRA_TENANT_ID"}
    chosen = set(re.findall(r"\$\{(\w+)", document)) - made_by_hooks - {"AZURE_ENV_NAME", "ONBRAND_BUDGET_START"}
    assert {name for name in chosen if name not in PAGE} == set()
