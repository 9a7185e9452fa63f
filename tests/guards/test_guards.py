"""The list of guards fits the code, and the runner tells a guard that is noticed from one that is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from onbrand.config import REPOSITORY
from tests.guards.__main__ import as_json, as_table, examine, main
from tests.guards.guard import Guard, TextGone
from tests.guards.guards import GUARDS
from tests.guards.places import PlaceUnknown, find
from tests.guards.taking_away import Outcome, failing_anyway

PROMPTS = "tests/unit/test_prompt.py"
PROMPT = "onbrand/jobs/prompt.py"
LENGTH = Guard(
    "a prompt has an end",
    "normalise",
    "if len(text) > MAX_CODE_POINTS: raise PromptTooLong",
    "",
    (PROMPTS,),
)
HARMLESS = Guard("a comment", "prompt", "Nothing here knows a model.", "Nothing here knows a worker.", (PROMPTS,))
CRASH = Guard("a name", "prompt", "_MARKS = (", "_MARKED = (", (PROMPTS,))
GONE = Guard("a text of yesterday", "prompt", "if len(text) > 400:", "if False:", (PROMPTS,))


def by_name(guard: Guard) -> str:
    return guard.name


@pytest.mark.parametrize("guard", GUARDS, ids=by_name)
def test_a_guard_is_in_the_code_and_its_tests_are_there_and_without_it_the_code_can_still_be_read(guard: Guard) -> None:
    for cut in guard.cuts:
        file, without = cut.of(REPOSITORY)  # raises when the text is gone
        assert without != (REPOSITORY / file).read_text()
        if file.suffix == ".py":
            compile(without, file, "exec")
    assert guard.tests
    for test in guard.tests:
        path, _, name = test.partition("::")
        assert (REPOSITORY / path).exists()
        assert not name or f"def {name}(" in (REPOSITORY / path).read_text()


def test_guards_have_names_of_their_own() -> None:
    assert len({guard.name for guard in GUARDS}) == len(GUARDS)


def test_a_text_that_is_gone_or_there_twice_is_refused() -> None:
    for text in ("if len(text) > 400:", "    return"):
        with pytest.raises(TextGone):
            Guard("x", "prompt", text, "", (PROMPTS,)).cuts[0].of(REPOSITORY)


@pytest.mark.parametrize("ending", ["normalise", "prompt.normalise", "onbrand.jobs.prompt.normalise", "prompt"])
def test_a_place_is_found_by_the_end_of_its_name(ending: str) -> None:
    assert find(REPOSITORY, ending).file == Path(PROMPT)


@pytest.mark.parametrize("ending", ["no_such_function", "rompt.normalise", "__init__"])
def test_a_place_that_is_not_there_or_there_twice_is_refused(ending: str) -> None:
    with pytest.raises(PlaceUnknown, match=r"no place|several places"):
        find(REPOSITORY, ending)


def test_a_fragment_is_found_whatever_the_white_space_between_its_words() -> None:
    _, without = LENGTH.cuts[0].of(REPOSITORY)
    assert "raise PromptTooLong" not in without


def test_what_is_noticed_is_told_from_what_is_not_and_from_what_proves_nothing() -> None:
    untouched = (REPOSITORY / PROMPT).read_text()
    noticed, not_noticed, broken, gone = findings = examine([LENGTH, HARMLESS, CRASH, GONE])
    assert [finding.outcome for finding in findings] == [
        Outcome.NOTICED,
        Outcome.NOT_NOTICED,
        Outcome.BROKEN,
        Outcome.TEXT_GONE,
    ]
    assert noticed.caught_by.startswith(f"{PROMPTS}::test_")
    assert "MARKS" in broken.message
    assert "has 0 times" in gone.message
    assert not_noticed.caught_by == ""
    assert (REPOSITORY / PROMPT).read_text() == untouched
    assert "1 of 4 guards were noticed" in as_table(findings)
    assert [row["outcome"] for row in json.loads(as_json(findings))] == [finding.outcome for finding in findings]


def test_tests_that_fail_with_every_guard_in_place_prove_nothing(tmp_path: Path) -> None:
    missing = str(tmp_path / "test_nothing.py")
    assert missing in failing_anyway([Guard("x", "prompt", "", "", (missing,))])


def test_a_word_that_no_guard_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["no such guard"]) == 2
    assert "No guard" in capsys.readouterr().err
