"""What must hold for the files of the repository themselves."""

from __future__ import annotations

import re
import subprocess

import pytest

from onbrand.config import REPOSITORY


@pytest.mark.parametrize(
    "name",
    [
        "constraints.txt",
        "web/package-lock.json",
        "tests/node/package-lock.json",
        "benchmarks/node/package-lock.json",
        "models/mini/recipe/package-lock.json",
    ],
)
def test_a_lock_file_names_no_address(name: str) -> None:
    found = re.findall(r"\S*(?:://|file:|\"resolved\")\S*", (REPOSITORY / name).read_text(encoding="utf-8"))
    assert found == []  # npm --prefix web run tidy:lock


def test_every_link_between_documents_leads_somewhere() -> None:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    dead = []
    for name in listed.stdout.splitlines():
        document = REPOSITORY / name
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            if "://" not in target and not (document.parent / target).exists():
                dead.append(f"{name}: {target}")
    assert dead == []


def test_weights_are_safetensors() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    pickles = [name for name in listed.splitlines() if name.endswith((".ckpt", ".pt", ".pth", ".bin", ".pkl"))]
    assert pickles == []


def test_nothing_loads_pickles_or_code_that_comes_with_weights() -> None:
    banned = re.compile(
        r"torch\.load\b|import pickle|trust_remote_code\s*=\s*True|custom_pipeline|use_safetensors\s*=\s*False"
    )
    sources = [*(REPOSITORY / "onbrand").rglob("*.py")]
    assert len(sources) > 50
    assert [path.name for path in sources if banned.search(path.read_text(encoding="utf-8"))] == []
