"""Which parts of `onbrand up --reload` start again after a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onbrand.local.reload import SourceWatch


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name in (
        "api/app.py",
        "worker/run.py",
        "hidream/text/encode.py",
        "jobs/attempts.py",
        "cli/main.py",
        "errors.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def change(path: Path) -> None:
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("api/app.py", {"api"}),
        ("worker/run.py", {"worker"}),
        ("hidream/text/encode.py", {"worker"}),
        ("jobs/attempts.py", {"api", "worker"}),
        ("errors.py", {"api", "worker"}),
        ("cli/main.py", set()),
    ],
)
def test_a_change_starts_those_again_that_import_it(package: Path, name: str, parts: set[str]) -> None:
    watch = SourceWatch(package)
    assert watch.changed_parts() == set()
    change(package / name)
    assert watch.changed_parts() == parts
    assert watch.changed_parts() == set()


def test_a_new_file_and_a_deleted_one_are_changes(package: Path) -> None:
    watch = SourceWatch(package)
    (package / "database").mkdir()
    (package / "database" / "0009_new.sql").write_text("select 1")
    assert watch.changed_parts() == {"api", "worker"}
    (package / "api" / "app.py").unlink()
    assert watch.changed_parts() == {"api"}
