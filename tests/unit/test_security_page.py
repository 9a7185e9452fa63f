"""docs/security.md names the tests that show what it says; they must be there."""

from __future__ import annotations

import re

import pytest

from onbrand.config import REPOSITORY

NAMED = sorted(
    set(re.findall(r"`((?:unit|integration|e2e)/[^`]+)`", (REPOSITORY / "docs" / "security.md").read_text()))
)


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_the_page_names_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    source = (REPOSITORY / "tests" / file).read_text()
    assert f"def {name or 'test_'}" in source


def test_every_row_names_one() -> None:
    page = (REPOSITORY / "docs" / "security.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|") and not line.startswith(("| What", "|---"))]
    assert len(rows) > 60
    assert [row for row in rows if not re.search(r"`(unit|integration|e2e)/", row) and "a benchmark" not in row] == []
