"""`onbrand stats`, the command itself: what it says of a month, always of how many, and what it says when it can't."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from onbrand.database.migrations import migrate
from onbrand.local.postgres import EmbeddedPostgres
from tests.system import onbrand

_PERSON = "'11111111-1111-4111-8111-111111111111'"
_TODAY = "(now() at time zone 'UTC')::date"


def stats(data_dir: Path, url: str, *options: str) -> CompletedProcess[str]:
    done = onbrand("stats", *options, DATA_DIR=str(data_dir), DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    return done


def rows(data_dir: Path, url: str) -> dict[str, str]:
    """What the table says, by its labels; two spaces at least are between the two."""
    lines = stats(data_dir, url).stdout.splitlines()[1:]
    return {label.strip(): value.strip() for label, _, value in (line.strip().partition("  ") for line in lines)}


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def ran(url: str, runs: int, *, error: str = "", seconds: str = "0", more: int = 0, saved: int = 0) -> None:
    """So many runs of one person, so many of them more of the same, or saved. `seconds` is SQL; `n` is the run."""
    execute(
        url,
        "insert into past_run"
        " (id, tenant_id, user_id, status, error_code, created_at, completed_at, is_more, is_saved)"
        f" select gen_random_uuid(), {_PERSON}, {_PERSON}, '{'failed' if error else 'complete'}',"
        f" nullif('{error}', ''), now(), now() + {seconds} * interval '1 second',"
        f" n <= {more}, n <= {saved} from generate_series(1, {runs}) as n",
    )


def answered(url: str, useful: int, not_yet: int) -> None:
    """Answers of as many people."""
    execute(
        url,
        "insert into question (job_id, tenant_id, user_id, answered_at, useful)"
        f" select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), n <= {useful}"
        f" from generate_series(1, {useful + not_yet}) as n",
    )


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_month_without_users_has_zeros_and_no_percentage(database_url: str, data_dir: Path) -> None:
    said = stats(data_dir, database_url).stdout
    assert "%" not in said
    assert said.splitlines()[0].endswith(", so far")
    found = rows(data_dir, database_url)
    assert (found["People who signed in"], found["Runs submitted"], found["useful"]) == ("0", "0", "0 of 0")
    assert found["Median time to pictures"] == "none yet, waiting included (n = 0)"


@pytest.mark.parametrize(
    ("useful", "not_yet", "said", "doubted"),
    [(7, 2, "7 of 9", "2 of 9"), (7, 3, "7 of 10 (70 %)", "3 of 10 (30 %)")],
)
def test_ten_or_more_answers_have_a_percentage(
    database_url: str, data_dir: Path, useful: int, not_yet: int, said: str, doubted: str
) -> None:
    answered(database_url, useful, not_yet)
    found = rows(data_dir, database_url)
    assert (found["useful"], found["not yet"]) == (said, doubted)
    percent = json.loads(stats(data_dir, database_url, "--json").stdout)["question"]["useful"]["percent"]
    assert percent == (70 if useful + not_yet == 10 else None)


def test_a_script_gets_everything(database_url: str, data_dir: Path) -> None:
    ran(database_url, 11, seconds="n * 10", more=3, saved=6)
    ran(database_url, 2, error="model_failed", seconds="1000")
    ran(database_url, 1, error="cancelled", seconds="1000")
    answered(database_url, 0, 1)
    execute(
        database_url,
        f"insert into sign_in_day values ({_TODAY}, {_PERSON}, {_PERSON}), ({_TODAY} - 40, {_PERSON}, {_PERSON})",
        f"insert into sign_in_day values ({_TODAY}, {_PERSON}, gen_random_uuid())",
        "update question set comment = '[red]too \"blue\"'",
        f"insert into question (job_id, tenant_id, user_id) values (gen_random_uuid(), {_PERSON}, {_PERSON})",
    )
    found = json.loads(stats(data_dir, database_url, "--json").stdout)
    assert len(found.pop("month")) == len("2026-11")
    assert found == {
        "is_over": False,
        "is_kept": True,
        "people": {"signed_in": 2, "with_pictures": 1},
        "runs": {
            "submitted": 14,
            "complete": 11,
            "failed": 2,
            "cancelled": 1,
            "unfinished": 0,
            "saved": {"count": 6, "of": 11, "percent": 55},
            "more": {"count": 3, "of": 14, "percent": 21},
            "median_seconds": 60.0,
        },
        "question": {
            "asked": 2,
            "useful": {"count": 0, "of": 1, "percent": None},
            "not_yet": 1,
            "remarks": [{"useful": False, "comment": '[red]too "blue"'}],
        },
    }
    said = stats(data_dir, database_url).stdout
    assert said.splitlines()[-2:] == ["Comments", '  not yet: [red]too "blue"']
    assert _PERSON.strip("'") not in said


def test_a_comment_that_the_terminal_cannot_show_is_no_failure(
    database_url: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(database_url, 1, 0)
    execute(database_url, "update question set comment = 'tea ' || chr(129750)")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert stats(data_dir, database_url).stdout.splitlines()[-1] == "  useful: tea ?"


def test_another_month_is_another_month(database_url: str, data_dir: Path) -> None:
    answered(database_url, 3, 0)
    said = stats(data_dir, database_url, "--month", "2024-02").stdout
    assert said.splitlines()[0] == "Onbrand in 2024-02"
    assert said.splitlines()[-1] == "Some of this month is deleted already: usage is kept for 400 days."
    assert json.loads(stats(data_dir, database_url, "--json", "--month", "2024-02").stdout)["question"]["asked"] == 0


@pytest.mark.parametrize("month", ["2026-13", "november", "2026-1", ""])
def test_a_text_that_is_not_a_month_is_wrong_usage(data_dir: Path, month: str) -> None:
    refused = onbrand("stats", "--month", month, DATA_DIR=str(data_dir))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "YYYY-MM" in refused.stderr


def test_it_uses_the_embedded_database_and_says_if_that_does_not_run(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # as root the server runs as another user
    data_dir = tmp_path / "data"
    with EmbeddedPostgres(data_dir) as server:
        refused = onbrand("stats", DATA_DIR=str(data_dir))
        assert (refused.returncode, "Run `onbrand migrate`" in refused.stderr) == (1, True)
        migrate(server.url)
        assert onbrand("stats", DATA_DIR=str(data_dir)).returncode == 0
    refused = onbrand("stats", DATA_DIR=str(data_dir))
    assert (refused.returncode, "isn't running" in refused.stderr) == (1, True)


def test_a_database_that_does_not_answer_is_one_plain_sentence(data_dir: Path) -> None:
    refused = onbrand("stats", DATA_DIR=str(data_dir), DATABASE_URL="postgresql://onbrand:canary@127.0.0.1:1/onbrand")
    assert (refused.returncode, refused.stderr.count("\n"), "canary" in refused.stderr) == (1, 1, False)
