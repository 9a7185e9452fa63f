"""A pytest plugin for runs on a copy: which tests failed, when and with what; and whether the copy was what ran.

python -m pytest -p tests.guards.witness --witness=FILE …
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_failures: list[dict[str, str]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--witness", type=Path, required=True, help="where to write down what was seen")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and call.excinfo is not None:
        message = (call.excinfo.exconly().splitlines() or [""])[0]
        seen = {"test": item.nodeid, "during": call.when, "kind": call.excinfo.typename, "message": message}
        _failures.append(seen)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    root = session.config.rootpath
    origins = {
        name: origin
        for name, module in sys.modules.items()
        if name.split(".")[0] in ("onbrand", "tests") and (origin := getattr(module, "__file__", None))
    }
    strangers = sorted(name for name, origin in origins.items() if root not in Path(origin).parents)
    seen = {"passed": session.testscollected - session.testsfailed, "failures": _failures, "strangers": strangers}
    session.config.getoption("--witness").write_text(json.dumps(seen))
