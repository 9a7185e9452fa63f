"""Log lines: one per record whatever is in it, the job's and request's ids with it, and a closed list of actions."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onbrand import logs
from onbrand.config import REPOSITORY, Environment, LogFormat, Settings
from onbrand.logs import ACTIONS, JsonFormatter, TextFormatter

FORGED = "before\n12:00:00  api       forged\r\x1b[2K\x1b[31mred\x9b31m\x85\u2028\u2029\u202e\x00\x7f after"


def record(message: str, *arguments: object, error: Exception | None = None, **fields: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("onbrand", logging.WARNING, __file__, 1, message, arguments, info)
    made.__dict__.update(fields)
    return made


def raised(message: str) -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


# --- JSON ------------------------------------------------------------------------------------------------------------


@given(st.text(), st.text())
def test_a_json_line_is_one_line_that_holds_the_message_whole(message: str, field: str) -> None:
    line = JsonFormatter("api").format(record("%s", message, reason=field))
    assert line.splitlines() == [line]
    assert line.isascii()
    parsed = json.loads(line)
    assert (parsed["message"], parsed["reason"], parsed["level"], parsed["process"]) == (
        message,
        field,
        "WARNING",
        "api",
    )


def test_a_traceback_stays_in_its_json_line() -> None:
    line = JsonFormatter("api").format(record("It failed", error=raised(FORGED)))
    assert line.splitlines() == [line]
    assert "ValueError: before" in json.loads(line)["traceback"]


def test_ids_come_from_the_context_and_fields_from_the_call() -> None:
    token = logs.request_id.set("r1")
    try:
        parsed = json.loads(JsonFormatter("api").format(record("x", action="submit_job", job_id="j1")))
    finally:
        logs.request_id.reset(token)
    assert (parsed["request_id"], parsed["job_id"], parsed["action"]) == ("r1", "j1", "submit_job")
    assert "worker_id" not in parsed
    assert "args" not in parsed  # nothing of logging's own


# --- text ------------------------------------------------------------------------------------------------------------


def test_a_text_line_is_for_people() -> None:
    line = TextFormatter("worker").format(record("Drawing", job_id="7f3a91c2-0000"))
    assert line[2] == line[5] == ":"
    assert line[8:] == "  worker    warning: Drawing  [job 7f3a91c2]"


@given(st.text(), st.text())
def test_a_text_line_is_one_line_of_what_can_be_printed(message: str, job_id: str) -> None:
    line = TextFormatter("api").format(record("%s", message, job_id=job_id))
    assert line.splitlines() == [line]
    assert line.isprintable()


@pytest.mark.parametrize("error", [None, raised(FORGED)], ids=["message", "traceback"])
def test_no_text_can_pass_for_another_line_or_move_the_terminal(error: Exception | None) -> None:
    text = TextFormatter("api").format(record(FORGED, error=error))
    first, *rest = text.splitlines()
    assert first.isprintable()
    assert "\\x1b[31mred" in first
    assert bool(rest) == (error is not None)
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


def test_umlauts_and_emoji_stay_readable() -> None:
    assert TextFormatter("api").format(record("für Zoë 🫖")).endswith("für Zoë 🫖")


# --- configuration ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    names = ["", "procrastinate", "psycopg.pool", "uvicorn"]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield loggers[0]
    logging.captureWarnings(False)
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.parametrize(
    ("env", "chosen", "expected"),
    [
        (Environment.LOCAL, None, TextFormatter),
        (Environment.PRODUCTION, None, JsonFormatter),
        (Environment.LOCAL, LogFormat.JSON, JsonFormatter),
        (Environment.PRODUCTION, LogFormat.TEXT, TextFormatter),
    ],
)
def test_production_logs_json_unless_told_otherwise(
    root: logging.Logger, env: Environment, chosen: LogFormat | None, expected: type[logging.Formatter]
) -> None:
    logs.configure(Settings.model_construct(env=env, log_format=chosen, log_level="WARNING"), "api")
    assert [type(handler.formatter) for handler in root.handlers] == [expected]
    assert root.level == logging.WARNING


def test_lines_go_to_standard_error(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings.model_construct(env=Environment.LOCAL, log_format=LogFormat.JSON, log_level="INFO"), "api")
    logging.getLogger("onbrand.x").info("Hello", extra={"action": "start"})
    logging.getLogger("procrastinate.jobs").error("with arguments")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [json.loads(line)["message"] for line in printed.err.splitlines()] == ["Hello"]
    assert root.handlers


# --- actions ---------------------------------------------------------------------------------------------------------


def actions_in_the_code() -> set[str]:
    found: set[str] = set()
    for path in (REPOSITORY / "onbrand").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "action":
                        assert isinstance(value, ast.Constant), f"{path}:{node.lineno}: spell the action out"
                        found.add(str(value.value))
    return found


def test_every_action_is_listed_and_every_listed_one_is_used() -> None:
    assert actions_in_the_code() == set(ACTIONS)


def test_every_line_we_log_has_an_action() -> None:
    without = []
    for path in (REPOSITORY / "onbrand").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                extra = next((keyword.value for keyword in node.keywords if keyword.arg == "extra"), None)
                if not (isinstance(extra, ast.Dict) and '"action"' in ast.unparse(extra).replace("'", '"')):
                    without.append(f"{path.relative_to(REPOSITORY)}:{node.lineno}")
    assert without == []


def test_actions_are_verbs_in_snake_case_with_a_meaning() -> None:
    assert all(name.replace("_", "").isalpha() and name.islower() and meaning for name, meaning in ACTIONS.items())


@pytest.mark.usefixtures("root")
def test_what_psycopg_says_in_several_lines_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings.model_construct(env=Environment.LOCAL, log_format=None, log_level="INFO"), "api")
    logging.getLogger("psycopg.pool").warning("error connecting: %s", "refused\n\tIs the server running?")
    assert "error connecting: refused Is the server running?" in capsys.readouterr().err
