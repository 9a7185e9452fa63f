"""azd finds what it needs: hooks, parameters, the page's folder; and the page's hook works with the real node."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.check.template import Template, read
from infra.check.tree import literal, text
from onbrand.config import REPOSITORY
from tests.infra.tenant import DEPLOYED, Tenant

AZD: dict[str, Any] = yaml.safe_load((REPOSITORY / "azure.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def main() -> Template:
    return read(REPOSITORY / "infra" / "main.bicep", "main.bicep")


def given() -> dict[str, str]:
    document = json.loads((REPOSITORY / "infra" / "main.parameters.json").read_text(encoding="utf-8"))
    return {name: value["value"] for name, value in document["parameters"].items()}


def test_every_hook_is_a_module_for_both_kinds_of_shell() -> None:
    assert set(AZD["hooks"]) == {"preprovision", "postprovision", "predeploy"}
    for name, hook in AZD["hooks"].items():
        assert hook["posix"] == {"shell": "sh", "run": f"python3 -m infra.hooks.{name}", "interactive": True}
        assert hook["windows"] == {"shell": "pwsh", "run": f"python -m infra.hooks.{name}", "interactive": True}
        assert find_spec(f"infra.hooks.{name}") is not None


def test_azd_uploads_what_the_hook_prepares() -> None:
    assert AZD["services"]["page"]["project"] == "web"
    assert AZD["services"]["page"]["dist"] == "site"
    assert (REPOSITORY / AZD["infra"]["path"] / f"{AZD['infra']['module']}.bicep").is_file()


def test_azd_gives_what_the_template_needs_and_nothing_else(main: Template) -> None:
    needed = {name for name, parameter in main.parameters.items() if parameter.default is None}
    assert needed <= given().keys() <= main.parameters.keys()


def test_a_default_is_the_same_in_both_files(main: Template) -> None:
    for name, value in given().items():
        default = main.parameters[name].default
        written = re.fullmatch(r"\$\{\w+(?:=([^}]*))?\}", value)
        assert written is not None
        if default is not None and written[1] is not None:
            assert written[1] == literal(default), name


def test_numbers_come_as_text_because_azd_knows_no_other_kind(main: Template) -> None:
    assert {name: main.parameters[name].type for name in given()} == dict.fromkeys(given(), "string")


def test_the_template_tells_the_hooks_what_they_ask_for(main: Template) -> None:
    outputs = set(main.outputs)
    assert set(DEPLOYED) <= outputs
    read_by_hooks = set()
    for file in (REPOSITORY / "infra" / "hooks").glob("*.py"):
        read_by_hooks |= set(re.findall(r'environ\.get\("(ONBRAND_\w+)"', file.read_text(encoding="utf-8")))
    remembered = {"ONBRAND_SCALER_PASSWORD", "ONBRAND_BUDGET_START"}
    assert read_by_hooks <= outputs | remembered
    assert all(text(node) for node in main.outputs.values())


@pytest.mark.skipif(not (REPOSITORY / "web" / "dist" / "index.html").is_file(), reason="the page isn't built")
def test_the_page_for_its_own_host_knows_the_api(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    done = Tenant(tmp_path).run("predeploy", path=str(Path(node).parent), **DEPLOYED)
    assert done.returncode == 0, done.stderr
    site = REPOSITORY / "web" / "site"
    assert json.loads((site / "config.json").read_text(encoding="utf-8")) == {"api": "https://api.studio.example"}
    assert "https://api.studio.example" in (site / "staticwebapp.config.json").read_text(encoding="utf-8")
    shutil.rmtree(site)
