"""Calls of `az` and `azd`, and how a hook ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
GRAPH = "https://graph.microsoft.com/v1.0"


class HookFailed(Exception):
    """Ends a hook with one line."""


def run(program: str, *arguments: str) -> str:
    """Run a program and return what it prints.

    Raises:
        HookFailed: it is not installed, or it failed; with the first line that it says about it.
    """
    path = shutil.which(program)
    if path is None:
        raise HookFailed(f"`{program}` is not installed or not on the PATH")
    done = subprocess.run([path, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        shown = " ".join([program, *_shown(arguments)])
        raise HookFailed(f"`{shown}` failed: {_reason(done.stderr)}")
    return done.stdout


def az(*arguments: str) -> Any:
    """Run `az`, and return its answer: a JSON document, or None if it says nothing."""
    answer = run("az", *arguments, "--output", "json").strip()
    return json.loads(answer) if answer else None


def graph(method: str, path: str, body: object | None = None) -> Any:
    """A request to Microsoft Graph. The body goes through a file: shells differ in how they quote it."""
    command = ["rest", "--method", method, "--url", f"{GRAPH}{path}"]
    if body is None:
        return az(*command)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "body.json"
        file.write_text(json.dumps(body), encoding="utf-8")
        return az(*command, "--headers", "Content-Type=application/json", "--body", f"@{file}")


def remember(name: str, value: str) -> None:
    """Keep a value in azd's environment, for the templates and for the next run."""
    if os.environ.get(name) != value:
        run("azd", "env", "set", name, value)
        os.environ[name] = value


def say(sentence: str) -> None:
    """Tell what was found or done."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def run_hook(steps: Sequence[Callable[[], None]]) -> None:
    """Run a hook's steps. A failure is one line on stderr and exit code 1."""
    try:
        for step in steps:
            step()
    except HookFailed as failed:
        sys.stderr.write(f"onbrand: {failed}\n")
        sys.exit(1)


def _shown(arguments: Sequence[str]) -> list[str]:
    """The words of the command, without its options: they may be long or secret."""
    words: list[str] = []
    for argument in arguments:
        if argument.startswith("--") or len(words) == 4:
            break
        words.append(argument)
    return words[:3] if words[:2] == ["env", "set"] else words


def _reason(errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line for line in lines if not line.upper().startswith("WARNING")]
    reason = said[0] if said else "it doesn't say why"
    return reason.removeprefix("ERROR: ")[:300]
