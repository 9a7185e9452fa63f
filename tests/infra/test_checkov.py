"""How a report of checkov is read. `make checkov` runs the real one, which is not among the development packages."""

from __future__ import annotations

from typing import Any

from infra.check.with_checkov import ANSWERED, problems
from onbrand.config import REPOSITORY


def report(**results: Any) -> dict[str, Any]:
    return {"summary": {"resource_count": 85, "parsing_errors": 0}, "results": results}


def failed(check_id: str) -> dict[str, Any]:
    return {
        "check_id": check_id,
        "check_name": "Ensure it",
        "file_path": "/modules/storage.bicep",
        "file_line_range": [13, 30],
    }


def test_a_file_that_it_cannot_parse_is_a_failure_though_checkov_exits_with_0() -> None:
    assert list(problems(report(parsing_errors=["modules/api.bicep"]))) == [
        "modules/api.bicep:1: checkov can't parse it"
    ]


def test_a_run_that_saw_nothing_is_a_failure() -> None:
    nothing = {"passed": 0, "failed": 0, "skipped": 0, "parsing_errors": 0, "resource_count": 0}
    assert list(problems(nothing)) == ["checkov saw no resource"]


def test_what_is_not_answered_is_named_with_its_place() -> None:
    found = list(problems(report(failed_checks=[failed("CKV_AZURE_44"), failed("CKV_AZURE_35")])))
    assert found == ["modules/storage.bicep:13: CKV_AZURE_44 Ensure it"]


def test_the_decision_answers_the_same_findings() -> None:
    page = (REPOSITORY / "docs" / "adr" / "0026-azure-by-bicep-and-hooks.md").read_text(encoding="utf-8")
    assert all(name.removeprefix("CKV_AZURE_") in page for name in ANSWERED)
