"""What each check concludes from what it saw, and how the report shows it; nothing here asks a real part."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shutil
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from rich.console import Console

from onbrand.concurrency import in_thread
from onbrand.config import Environment, Settings
from onbrand.database.diagnostics import Endings, Missing, Server
from onbrand.doctor import machine, parts, server, work
from onbrand.doctor.examine import refused
from onbrand.doctor.guard import guarded, guarded_together
from onbrand.doctor.report import CHECKS, Report, State, Verdict, ok, problem, skipped, warning
from onbrand.errors import WeightsMissing
from onbrand.jobs.metrics import Figures
from onbrand.packs.promotion import SignOff, TakenBack
from onbrand.packs.promotion import Verdict as PackVerdict

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SERVER = Server(180004, NOW, "UTC", "5s", True, False, False, False, 10, 60, 47)
FIGURES = Figures(
    queued=0,
    processing=0,
    complete=0,
    failed=0,
    workers={"loading": 0, "ready": 1},
    images_missing=0,
    images_damaged=0,
    oldest_waiting=0.0,
    since_upkeep={"sweep": 3.0, "expiry": 30.0, "collection": 3600.0},
    retention_held=0.0,
    collection_held=0.0,
    workers_refusing=0,
)
PRODUCTION, LOCAL = Environment.PRODUCTION, Environment.LOCAL


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "read_only", "state"),
    [(180004, False, "ok"), (140000, False, "ok"), (130020, False, "problem"), (150018, True, "problem")],
)
def test_the_server_must_be_new_enough_and_take_writes(version: int, read_only: bool, state: str) -> None:
    assert server.postgresql(replace(SERVER, version=version, is_read_only=read_only)).state == state


@pytest.mark.parametrize(
    ("env", "is_superuser", "may_make", "state"),
    [
        (PRODUCTION, True, True, "problem"),
        (PRODUCTION, False, True, "warning"),
        (PRODUCTION, False, False, "ok"),
        (LOCAL, True, True, "ok"),
    ],
)
def test_in_production_the_role_may_have_no_special_rights(
    env: Environment, is_superuser: bool, may_make: bool, state: str
) -> None:
    asked = replace(SERVER, is_superuser=is_superuser, may_make_roles_or_databases=may_make)
    assert server.role(asked, env).state == state


@pytest.mark.parametrize(
    ("host", "mode", "encrypted", "env", "state"),
    [
        ("db.internal", "verify-full", True, PRODUCTION, "ok"),
        ("db.internal", "verify-ca", True, PRODUCTION, "ok"),
        ("db.internal", "require", True, PRODUCTION, "warning"),
        ("db.internal", None, True, PRODUCTION, "problem"),
        ("db.internal", "prefer", False, PRODUCTION, "problem"),
        ("db.internal", "disable", False, LOCAL, "warning"),
        ("127.0.0.1", "disable", False, PRODUCTION, "ok"),
        ("/run/postgresql", None, False, PRODUCTION, "ok"),
        ("", None, False, PRODUCTION, "ok"),  # libpq's own socket; PGHOST would be among the parameters
    ],
)
def test_across_a_network_the_connection_must_be_encrypted_and_the_server_known(
    host: str, mode: str | None, encrypted: bool, env: Environment, state: str
) -> None:
    parts = {"host": host} | ({} if mode is None else {"sslmode": mode})
    found = server.transport(replace(SERVER, is_encrypted=encrypted), parts, env)
    assert found.state == state


@pytest.mark.parametrize(("zone", "limit", "state"), [("UTC", "5s", "ok"), ("Europe/Paris", "0", "warning")])
def test_sessions_without_our_options_are_noticed(zone: str, limit: str, state: str) -> None:
    assert server.session(replace(SERVER, time_zone=zone, statement_timeout=limit)).state == state


@pytest.mark.parametrize(
    ("ahead", "state", "words"),
    [
        (timedelta(seconds=60), "ok", "60.0 seconds"),
        (timedelta(seconds=61), "warning", "0:01:01 ahead of"),
        (timedelta(seconds=-90), "warning", "0:01:30 behind"),
        (timedelta(days=365), "problem", "365 days, 0:00:00 ahead of"),
    ],
)
def test_clocks_that_disagree_are_noticed(ahead: timedelta, state: str, words: str) -> None:
    found = server.clock(replace(SERVER, now=NOW + ahead), NOW)
    assert (found.state, words in found.says) == (state, True)


@pytest.mark.parametrize(("free", "state"), [(9, "ok"), (8, "warning")])
def test_connections_for_one_more_api_and_one_more_worker_must_be_left(free: int, state: str) -> None:
    assert server.connections(replace(SERVER, free_connections=free)).state == state


# --- the work --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "state"), [(None, "problem"), (2, "problem"), (3, "ok"), (4, "warning")])
def test_an_older_schema_is_a_problem_and_a_newer_one_is_worth_knowing(found: int | None, state: str) -> None:
    assert work.schema(found, 3).state == state


@pytest.mark.parametrize(
    ("ready", "loading", "oldest", "state"),
    [(1, 0, 0, "ok"), (0, 1, 500, "warning"), (0, 0, 0, "warning"), (0, 0, 60, "warning"), (0, 0, 121, "problem")],
)
def test_no_worker_is_a_problem_once_somebody_waits_for_long(
    ready: int, loading: int, oldest: float, state: str
) -> None:
    seen = replace(FIGURES, workers={"ready": ready, "loading": loading}, oldest_waiting=oldest)
    assert work.workers(seen).state == state


@pytest.mark.parametrize(("queued", "oldest", "state"), [(0, 0, "ok"), (7, 30, "ok"), (7, 601, "warning")])
def test_a_long_wait_is_noticed(queued: int, oldest: float, state: str) -> None:
    found = work.waiting(replace(FIGURES, queued=queued, oldest_waiting=oldest))
    assert (found.state, str(queued or "No job") in found.says) == (state, True)


def test_a_lease_that_stays_lapsed_and_a_lost_delivery_are_noticed() -> None:
    assert (work.leases(0).state, work.leases(1).state) == ("ok", "problem")
    assert (work.deliveries(2, 2).state, work.deliveries(2, 1).state) == ("ok", "warning")


def test_failures_are_counted_by_reason() -> None:
    found = work.failures(Endings(40, {"worker_lost": 2, "timeout": 1}))
    assert (found.state, found.says) == ("warning", "40 are complete, 3 failed: worker_lost 2, timeout 1.")
    assert work.failures(Endings(40, {})).state == "ok"


@pytest.mark.parametrize(
    ("since", "queued", "check", "state"),
    [
        ({}, 0, "sweep", "warning"),
        ({}, 1, "sweep", "problem"),
        ({"sweep": 61}, 0, "sweep", "warning"),
        ({"sweep": 61}, 1, "sweep", "problem"),
        ({"sweep": 60}, 1, "sweep", "ok"),
        ({}, 0, "deletion", "ok"),
        ({"expiry": 901}, 0, "deletion", "warning"),
        ({"expiry": 900}, 0, "deletion", "ok"),
        ({}, 0, "comparison", "ok"),
        ({"collection": 86_401}, 0, "comparison", "warning"),
        ({"collection": 86_400}, 0, "comparison", "ok"),
    ],
)
def test_missing_maintenance_is_noticed(since: dict[str, float], queued: int, check: str, state: str) -> None:
    assert work.upkeep(replace(FIGURES, since_upkeep=since, queued=queued))[check].state == state


def test_a_held_back_deletion_is_a_problem_and_the_advice_releases_it() -> None:
    found = work.upkeep(replace(FIGURES, retention_held=7200.0))["deletion"]
    assert (found.state, "held back for 2 hours" in found.says) == ("problem", True)
    assert "onbrand clean --confirm" in (found.advice or "")


def test_held_back_images_are_a_problem_and_the_advice_releases_them() -> None:
    found = work.upkeep(replace(FIGURES, collection_held=7200.0))["comparison"]
    assert (found.state, found.says.startswith("For 2 hours more than a tenth")) == ("problem", True)
    assert "onbrand clean --confirm" in (found.advice or "")


def test_damaged_images_are_told_with_their_jobs_and_so_is_that_nobody_read_them() -> None:
    lost = UUID(int=1)
    assert str(lost) in work.damaged_images(Missing(1, (lost,)), 0).says
    states = [work.damaged_images(Missing(0, ()), days * 86400.0).state for days in (0, 7.5, 9)]
    assert states == [State.OK, State.OK, State.WARNING]


def test_missing_images_are_reported_with_their_jobs() -> None:
    lost = UUID(int=7)
    found = work.missing_images(Missing(4, (lost,)))
    assert (found.state, str(lost) in found.says) == ("problem", True)
    assert (work.missing_images(Missing(0, ())).state, work.overdue(0).state, work.overdue(1).state) == (
        "ok",
        "ok",
        "problem",
    )


# --- the machine and the parts ---------------------------------------------------------------------------------------


def test_settings_are_named_and_a_misspelt_one_is_noticed(settings: Settings) -> None:
    chosen = Settings(database_url=SecretStr("postgresql://onbrand:canary@db/onbrand"), port=8001)
    assert machine.settings_known(chosen, []).says == "Accepted: ONBRAND_DATABASE_URL, ONBRAND_PORT."
    found = machine.settings_known(settings, ["ONBRAND_RETENTION_HOUR"])
    assert (found.state, "ONBRAND_RETENTION_HOUR" in found.says) == ("warning", True)


def test_little_free_space_is_a_warning_and_almost_none_a_problem(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for free in (2**31, 2**31 - 1, 2**20):  # the disk is the outer edge
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: type("Usage", (), {"free": free}))
        states.append(machine.disk(settings).state)
    assert states == ["ok", "warning", "problem"]


def test_any_origin_is_a_warning() -> None:
    assert parts.origins(Settings(cors_origins=("*",))).state == "warning"
    assert parts.origins(Settings(cors_origins=("https://onbrand.example.com",))).state == "ok"


def test_for_azure_the_advice_says_how_to_find_out_about_soft_delete() -> None:
    azure = Settings(storage_url="az://images", storage_azure_account="studio")
    found = parts.soft_delete(azure)
    assert (found.state, "blob-service-properties show --account-name studio" in (found.advice or "")) == (
        "skipped",
        True,
    )


# --- patience --------------------------------------------------------------------------------------------------------


async def test_a_check_that_hangs_becomes_a_problem_after_its_time_limit() -> None:
    hanging = threading.Event()
    started = time.monotonic()
    found = await guarded(0.2, lambda: in_thread(lambda: ok(str(hanging.wait(60)))))
    assert (found.state, "0.2 seconds" in found.says, time.monotonic() - started < 2) == ("problem", True, True)
    hanging.set()


async def test_a_check_that_fails_becomes_a_problem_that_quotes_nothing() -> None:
    def broken() -> Verdict:
        raise RuntimeError("postgresql://onbrand:canary@db")

    found = await guarded(5, lambda: in_thread(broken))
    assert (found.state, "RuntimeError" in found.says, "canary" in repr(found)) == ("problem", True, False)


async def test_our_own_errors_say_what_to_do_already() -> None:
    def broken() -> Verdict:
        raise WeightsMissing("There is no brand pack: fetch it.")

    assert await guarded(5, lambda: in_thread(broken)) == problem("There is no brand pack: fetch it.")


async def test_of_checks_made_together_the_first_reports_the_error() -> None:
    async def broken() -> dict[str, Verdict]:
        await asyncio.sleep(0)
        raise OSError

    found = await guarded_together(("schema", "rights"), 5, broken)
    assert {check: verdict.state for check, verdict in found.items()} == {"schema": "problem", "rights": "skipped"}


# --- the report ------------------------------------------------------------------------------------------------------


def report(**found: Verdict) -> Report:
    return Report(dict.fromkeys(CHECKS, ok("As it should be.")) | found)


def shown(report: Report, **options: Any) -> str:
    encoding = options.pop("encoding", "utf-8")
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    report.show(Console(file=file, force_terminal=True, width=100, **options))
    file.flush()
    buffer = file.detach()
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode(encoding)


def test_the_json_has_each_check_once_in_order_and_always_the_same_keys() -> None:
    document = json.loads(report(disk=warning("Little room.", "Free some.")).as_json())
    assert list(document) == ["version", "healthy", "checks"]
    assert [check["check"] for check in document["checks"]] == list(CHECKS)
    assert {tuple(check) for check in document["checks"]} == {("check", "state", "says", "advice")}
    assert document["healthy"] is True
    assert document["checks"][3] == {
        "check": "disk",
        "state": "warning",
        "says": "Little room.",
        "advice": "Free some.",
    }


def test_a_report_without_one_of_the_checks_is_an_error() -> None:
    with pytest.raises(ValueError, match="disk"):
        Report({check: ok("") for check in CHECKS if check != "disk"})


def test_lines_begin_with_the_state_and_are_one_for_each_check() -> None:
    lines = report(clock=problem("Wrong.\nforged", "Set it.")).as_lines().splitlines()
    assert len(lines) == len(CHECKS) + 1
    assert [line for line in lines if line.startswith("problem ")] == ["problem  clock           Wrong. forged Set it."]
    assert lines[-1].endswith("1 problem, 0 warnings, 36 ok, 0 skipped.")


def test_on_a_terminal_the_marks_of_the_states_differ_without_colour() -> None:
    mixed = report(disk=warning("W.", "A."), clock=problem("P.", "A."), schema=skipped("Not now."))
    plain = shown(mixed, no_color=True, highlight=False)
    assert re.search(r"^.*✓.*python", plain, re.M)
    assert re.search(r"^.*!.*disk", plain, re.M)
    assert re.search(r"^.*✗.*clock", plain, re.M)
    assert "Not checked: schema. Not now." in plain
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    assert re.search(r"\x1b\[[0-9;]*31m", shown(mixed, color_system="standard"))


def test_a_terminal_without_unicode_gets_other_marks() -> None:
    assert re.search(r"x.*clock", shown(report(clock=problem("P.")), encoding="ascii", no_color=True))


def test_texts_of_other_programs_are_shown_without_markup_and_control_characters() -> None:
    told = shown(report(database=problem("[red]\x1b[31m\x07 \u202eboo")), no_color=True)
    assert "[red]" in told
    assert "\x1b[31m" not in told
    assert "\u202e" not in told


def test_settings_that_are_refused_are_the_one_problem() -> None:
    states = {
        check: verdict.state for check, verdict in refused("ONBRAND_PORT must be a whole number").findings.items()
    }
    assert states.pop("settings") == State.PROBLEM
    assert states.pop("python") == State.OK
    assert set(states.values()) == {State.SKIPPED}


# --- who reviewed the style ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "env", "state", "says"),
    [
        (PackVerdict.APPROVED, PRODUCTION, State.OK, "Ada has approved the brand pack"),
        (None, PRODUCTION, State.WARNING, "No designer has approved"),
        (None, LOCAL, State.OK, "No designer has approved"),
        (PackVerdict.REJECTED, LOCAL, State.WARNING, "Ada has rejected the brand pack"),
    ],
)
def test_a_live_style_should_have_a_designers_approval(
    verdict: PackVerdict | None, env: Environment, state: State, says: str
) -> None:
    signed = None if verdict is None else SignOff(verdict, "Ada", NOW)
    told = work.review("a" * 64, signed, env, None)
    assert (told.state, says in told.says) == (state, True)


def test_a_style_that_was_taken_back_is_told_until_something_is_promoted() -> None:
    told = work.review("a" * 64, SignOff(PackVerdict.APPROVED, "Bo", NOW), LOCAL, TakenBack("Harbour", "4", "Ada", NOW))
    assert told.state is State.WARNING
    assert told.says.startswith("Ada rejected Harbour, version 4, on 2026-11-22")
