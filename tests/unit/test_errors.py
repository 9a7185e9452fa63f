"""Every error is named once, worded for people, drawn in the tree and explained in docs/errors.md."""

from __future__ import annotations

import re
from typing import TypeVar

import pytest

from onbrand import errors
from onbrand.api import body, middleware
from onbrand.config import REPOSITORY
from onbrand.errors import JobFailure, OnbrandError, ProblemError, SetupError
from onbrand.jobs.prompt import MAX_CODE_POINTS

Error = TypeVar("Error", bound=OnbrandError)


def below(base: type[Error]) -> list[type[Error]]:
    """The classes of errors.py below one; private ones of other files are no part of the product's vocabulary."""
    found = [inner for child in base.__subclasses__() for inner in (child, *below(child))]
    return [error for error in found if error.__module__ == errors.__name__]


PROBLEMS, FAILURES, SETUP = below(ProblemError), below(JobFailure), below(SetupError)
DOCUMENTED = (REPOSITORY / "docs" / "errors.md").read_text(encoding="utf-8")


def rows(columns: int) -> dict[str, list[str]]:
    """The tables with this many columns whose first cell is a code: code to the other cells."""
    found: dict[str, list[str]] = {}
    for line in DOCUMENTED.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == columns:
            code = cells[0].strip("`")
            assert code not in found
            assert re.search(r"^\| `[a-z_0-9]+` \|", line)
            found[code] = cells[1:]
    return found


def test_every_code_is_used_once() -> None:
    codes = [*(error.code for error in PROBLEMS), *(error.code for error in FAILURES)]
    assert sorted(codes) == sorted(set(codes))
    assert all(re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", code) for code in codes)


@pytest.mark.parametrize("error", [*PROBLEMS, *FAILURES], ids=lambda error: error.__name__)
def test_each_error_says_what_happened_and_what_to_do(error: type[ProblemError | JobFailure]) -> None:
    needed = {"code", "title", "detail", "status" if issubclass(error, ProblemError) else "retryable"}
    assert needed <= set(vars(error))  # set by itself: a code that is inherited would be two errors' code
    assert error.__doc__
    assert error.detail.endswith(".")
    assert not error.title.endswith(".")
    assert str(error()) == error.detail
    if issubclass(error, ProblemError):
        assert 400 <= error.status < 600


@pytest.mark.parametrize("error", SETUP, ids=lambda error: error.__name__)
def test_the_exit_code_of_each_command_error_is_documented(error: type[SetupError]) -> None:
    assert error.__doc__
    assert f"\n| {error.exit_code} |" in DOCUMENTED


def test_the_tree_on_top_of_the_file_names_every_class_at_its_status() -> None:
    tree = (errors.__doc__ or "").split("\n\n")[1]
    drawn: dict[str, int | None] = {}
    status: int | None = None
    for line in tree.splitlines():
        if "── " in line:
            status = None
        for word in re.findall(r"\b[45]\d\d\b|\b[A-Z][A-Za-z]+\b", line):
            if word.isdigit():
                status = int(word)
            elif hasattr(errors, word):
                assert word not in drawn
                drawn[word] = status
    assert set(drawn) == {OnbrandError.__name__, *(error.__name__ for error in below(OnbrandError))}
    assert {name: status for name, status in drawn.items() if status} == {
        error.__name__: error.status for error in PROBLEMS
    }


def test_the_documentation_has_each_problem_with_its_status_and_title_and_nothing_else() -> None:
    documented = {code: (int(cells[0]), cells[1]) for code, cells in rows(5).items() if cells[0].isdigit()}
    assert documented == {error.code: (error.status, error.title) for error in PROBLEMS}


def test_the_documentation_has_each_failure_with_its_title_and_nothing_else() -> None:
    documented = {code: tuple(cells[:2]) for code, cells in rows(5).items() if not cells[0].isdigit()}
    assert documented == {error.code: (error.title, "yes" if error.retryable else "no") for error in FAILURES}


def test_the_documentation_has_each_error_of_a_command_with_its_exit_code_and_nothing_else() -> None:
    documented = re.findall(r"^\| `([A-Z]\w+)` \| (\d+) \| [^|]+\. \| [^|]+\. \|$", DOCUMENTED, re.MULTILINE)
    raised = [error for error in SETUP if not error.__subclasses__()]
    assert sorted(documented) == sorted((error.__name__, str(error.exit_code)) for error in raised)


def test_every_row_of_the_documentation_says_when_and_what_to_do() -> None:
    for code, cells in rows(5).items():
        assert all(cell.endswith(".") for cell in cells[2:]), code


def test_a_stored_code_gives_its_failure_and_an_unknown_code_gives_model_failed() -> None:
    assert [errors.job_failure(error.code) for error in FAILURES] == FAILURES
    assert errors.job_failure("of_a_newer_version") is errors.ModelFailed


def test_the_limits_in_the_texts_are_the_real_limits() -> None:
    assert f"{body.MAX_BYTES:,} bytes" in errors.BodyTooLarge.detail
    assert f"{middleware.MAX_HEAD_BYTES:,} bytes" in errors.HeadersTooLarge.detail
    assert f"{MAX_CODE_POINTS} characters" in errors.PromptTooLong.detail
