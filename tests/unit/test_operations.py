"""docs/operations.md names what there is: every log action, failure, metric and check, and none besides."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from onbrand.api.metrics import Metrics
from onbrand.budget.governor import Standing
from onbrand.budget.plan import Plan
from onbrand.config import REPOSITORY
from onbrand.doctor.report import CHECKS
from onbrand.errors import JobFailure
from onbrand.jobs.metrics import Figures
from onbrand.logs import ACTIONS

_TEXT = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
_PLAN = Plan(gpu_usd=28.7, fixed_usd=21.3, usd_per_second=0.001764, start_seconds=120, warm_seconds=120, attempts=3)
_BUDGET = Standing(_PLAN, 1.0, 0.0, 0.5, datetime.now(UTC), 1.0, None)
_FIGURES = Figures(1, 1, 1, 1, {"loading": 1, "ready": 1}, 1, 1, 1.0, {"sweep": 1.0}, 1.0, 1.0, 1)


def rows(title: str, columns: int) -> dict[str, list[str]]:
    """The rows of the table below a heading whose first cell is a name: the name to the other cells."""
    section = _TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == columns:
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_every_action_of_the_logs_is_explained_and_no_other() -> None:
    explained = rows("The logs", 4)
    assert list(explained) == sorted(ACTIONS)
    for action, (meaning, act, what) in explained.items():
        assert meaning, action
        assert act in ("no", "**yes**") or act.startswith(("if it ", "ERROR: yes")), action
        assert what or act == "no", action


def test_every_failure_of_a_job_has_something_to_look_at_and_no_other() -> None:
    assert set(rows("Symptoms", 3)) == {failure.code for failure in JobFailure.__subclasses__()}


def test_every_metric_of_ours_is_explained_and_alerts_use_no_other() -> None:
    text = Metrics().text(_FIGURES, 5, _BUDGET).decode()
    ours = set(re.findall(r"^# HELP (onbrand_\w+)", text, re.M))
    assert set(rows("Metrics", 2)) == ours
    assert set(re.findall(r"\bonbrand_\w+", _TEXT)) <= ours


def test_every_check_of_the_doctor_is_listed_in_its_order() -> None:
    assert list(rows("What `onbrand doctor` looks at", 2)) == list(CHECKS)
    assert set(re.findall(r"`onbrand doctor`, `(\w+)`", _TEXT)) <= set(CHECKS)
