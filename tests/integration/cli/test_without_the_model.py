"""The commands that operators run where the model's packages are not installed, as in the API's image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system import environment

MISSING = ("torch", "numpy", "PIL", "psutil", "safetensors", "diffusers", "transformers", "peft")
# Python's import machinery refuses a module that is None.
RUN = (
    f"import sys; sys.modules.update(dict.fromkeys({MISSING!r}));"
    " from onbrand.__main__ import run; sys.argv = ['onbrand', *sys.argv[1:]]; run()"
)


@pytest.mark.parametrize(
    "command",
    ["migrate", "doctor", "clean", "stats", "pack list", "pack rollback", "backup --help", "restore --help"],
)
def test_a_command_needs_no_package_of_the_model(command: str, database_url: str, tmp_path: Path) -> None:
    settings = environment(DATABASE_URL=database_url, DATA_DIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", RUN, *command.split()], env=settings, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in ({78} if command == "pack rollback" else {0, 1}), done.stderr  # nothing to go back to


def test_a_worker_says_in_one_line_what_is_missing(database_url: str, tmp_path: Path) -> None:
    settings = environment(DATABASE_URL=database_url, DATA_DIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", RUN, "worker"], env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert done.stderr.startswith("onbrand: A worker needs ")
    assert done.stderr.count("\n") == 1
