"""Running tests on a copy of the repository: as it is, and with one guard taken away. Printing is `__main__`'s."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from onbrand.config import REPOSITORY
from tests.guards.guard import Guard, TextGone
from tests.system import environment

_COPIED = ("infra", "onbrand", "tests")  # the rest is only read, and linked
_NOT_COPIED = ("__pycache__", "node_modules")
_RUN_SECONDS = 300.0
_TEST_SECONDS = 60  # a test may hang for want of a guard
_PASSED, _FAILED = 0, 1  # pytest's exit codes; any other means that it did not get to the tests or through them
# What failing tests say when the code no longer works at all, which proves nothing about the guard.
_BROKEN = frozenset(
    {
        "SyntaxError",
        "IndentationError",
        "NameError",
        "UnboundLocalError",
        "ImportError",
        "ModuleNotFoundError",
        "AttributeError",
        "ProgrammingError",
        "UndefinedColumn",
        "UndefinedFunction",
        "UndefinedParameter",
    }
)


class Outcome(StrEnum):
    """What became of a guard's taking away."""

    NOTICED = "noticed"
    NOT_NOTICED = "NOT NOTICED"
    BROKEN = "broke otherwise"  # no test failed as a test does
    TEXT_GONE = "text is gone"
    FAILS_ANYWAY = "fails anyway"  # with the guard in its place


@dataclass(frozen=True)
class Finding:
    """The outcome for one guard; `caught_by` is the first test that failed, `message` what it said."""

    guard: Guard
    outcome: Outcome
    caught_by: str = ""
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Failure:
    """A test that failed, in which of pytest's phases and with which exception."""

    test: str
    during: str
    kind: str
    message: str


@dataclass(frozen=True)
class Run:
    """What one run of pytest came to. `trouble` says why it proves nothing; empty if it does."""

    failures: tuple[Failure, ...]
    trouble: str


def failing_anyway(guards: Iterable[Guard]) -> dict[str, Failure | str]:
    """The selections of tests that fail with every guard in its place, with the failure or the trouble."""
    selections = sorted({test for guard in guards for test in guard.tests})
    with _copy() as root:
        run = _pytest(root, selections, at_once=False)
    if run.trouble:
        return dict.fromkeys(selections, run.trouble)
    return {
        selection: failure
        for failure in run.failures
        for selection in selections
        if failure.test == selection or failure.test.startswith((f"{selection}::", f"{selection}[", f"{selection}/"))
    }


def without(guard: Guard) -> Finding:
    """Take one guard away from a copy and run its tests there."""
    started = time.monotonic()
    with _copy() as root:
        try:
            guard.take_away(root)
        except TextGone as gone:
            return Finding(guard, Outcome.TEXT_GONE, message=str(gone))
        run = _pytest(root, guard.tests, at_once=True)
    seconds = round(time.monotonic() - started, 1)
    if run.trouble:
        return Finding(guard, Outcome.BROKEN, message=run.trouble, seconds=seconds)
    if not run.failures:
        return Finding(guard, Outcome.NOT_NOTICED, seconds=seconds)
    first = run.failures[0]
    is_crash = first.during == "setup" or first.kind in _BROKEN
    outcome = Outcome.BROKEN if is_crash else Outcome.NOTICED
    return Finding(guard, outcome, first.test, first.message, seconds)


@contextmanager
def _copy() -> Iterator[Path]:
    """The repository's code in a folder of its own, where it can be changed; what is only read is linked."""
    with tempfile.TemporaryDirectory(prefix="onbrand-guards-") as folder:
        root = Path(folder).resolve()
        for entry in REPOSITORY.iterdir():
            if entry.name in _COPIED:
                shutil.copytree(entry, root / entry.name, ignore=shutil.ignore_patterns(*_NOT_COPIED))
            elif not entry.name.startswith("."):
                (root / entry.name).symlink_to(entry)
        for packages in (REPOSITORY / "tests").glob("*/node_modules"):
            (root / packages.relative_to(REPOSITORY)).symlink_to(packages)
        yield root


def _pytest(root: Path, tests: Sequence[str], *, at_once: bool) -> Run:
    """Run tests on a copy; `at_once` stops at the first failure."""
    seen, log = root / "witness.json", root / "pytest.log"
    command = [sys.executable, "-m", "pytest", *tests, "-q", "-p", "no:cacheprovider", f"--timeout={_TEST_SECONDS}"]
    command += ["-p", "tests.guards.witness", f"--witness={seen}", *(["-x"] if at_once else [])]
    # Before the installed package, which is this repository itself.
    settings = environment() | {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            # All the selections together take longer than one.
            code = process.wait(_RUN_SECONDS if at_once else 10 * _RUN_SECONDS)
        except subprocess.TimeoutExpired:
            return Run((), "pytest did not end")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not seen.exists():
        return Run((), f"pytest ended with {code}: {_end_of(log)}")
    told = json.loads(seen.read_text())
    failures = tuple(Failure(**failure) for failure in told["failures"])
    if told["strangers"]:
        return Run(failures, f"not the copy's: {', '.join(told['strangers'])}")
    if told["passed"] + len(failures) == 0 or (code, bool(failures)) not in ((_PASSED, False), (_FAILED, True)):
        return Run(failures, f"pytest ended with {code}: {_end_of(log)}")
    return Run(failures, "")


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
