"""`onbrand doctor` on a whole system and on none: what it says, its exit code, and that it shows no secret."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from onbrand.doctor.report import CHECKS
from onbrand.local.database_url import running_url
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.doctor.reports import CANARY, command
from tests.system import free_port, onbrand, running_system


def test_a_running_system_has_no_problem_and_its_embedded_database_is_found(tmp_path: Path, page: Path) -> None:
    with running_system(tmp_path / "data", WEB_DIR=str(page)) as system:
        system.wait_until_ready()
        code, told = command(DATA_DIR=str(system.data_dir), PORT=str(system.port), WEB_DIR=str(page))
        assert (code, told.problems(), told.healthy) == (0, [], True)
        running = ("port", "sign_in", "database", "schema", "workers", "sweep", "model", "images")
        assert {told.state(check) for check in running} == {"ok"}
        assert "is ready" in told.says("port")
        lines = onbrand("doctor", "--skip-gpu", DATA_DIR=str(system.data_dir), PORT=str(system.port), WEB_DIR=str(page))
        assert (lines.returncode, len(lines.stdout.splitlines())) == (0, len(CHECKS) + 1)
        password = (system.data_dir / "postgres.password").read_text().strip()
        assert password not in lines.stdout


def test_if_nothing_runs_it_says_what_starts_the_database(tmp_path: Path, page: Path) -> None:
    chosen = {"DATA_DIR": str(tmp_path / "data"), "WEB_DIR": str(page), "PORT": str(free_port())}
    code, told = command("--skip-weights", "--skip-gpu", **chosen)
    assert (code, told.state("database")) == (0, "warning")
    assert told.says("database") == "The embedded PostgreSQL isn't running. `onbrand up` starts it."
    assert {told.state(check) for check in ("schema", "workers", "missing_images")} == {"skipped"}
    assert not (tmp_path / "data").exists()  # it has changed nothing


def test_a_stopped_database_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    data_dir = tmp_path / "data"
    with EmbeddedPostgres(data_dir) as running:
        assert running_url(data_dir) == running.url
    assert running_url(data_dir) is None
    with EmbeddedPostgres(data_dir) as running:
        (data_dir / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n0\n5432\n")
        assert running_url(data_dir) is None  # that process is no server of this directory


def test_settings_that_are_refused_end_with_78_and_everything_else_is_skipped(tmp_path: Path) -> None:
    code, told = command(
        PORT="eighty", DATA_DIR=str(tmp_path), DATABASE_URL=f"postgresql://onbrand:{CANARY}@db/onbrand"
    )
    assert (code, told.problems()) == (78, ["settings"])
    assert "ONBRAND_PORT must be a whole number" in told.says("settings")


def test_a_misspelt_setting_is_noticed(chosen: dict[str, str]) -> None:
    code, told = command("--skip-weights", "--skip-gpu", **chosen, RETENTION_HOUR="24")
    assert (code, told.state("settings"), "ONBRAND_RETENTION_HOUR" in told.says("settings")) == (0, "warning", True)


def test_no_form_of_the_report_shows_a_secret(chosen: dict[str, str]) -> None:
    secret = {
        "DATABASE_URL": f"postgresql://onbrand:{quote(CANARY)}@127.0.0.1:1/onbrand",
        "STORAGE_URL": "az://images",
        "STORAGE_AZURE_ACCOUNT": "studio",
        "STORAGE_AZURE_ENDPOINT": "http://127.0.0.1:1/studio",
        "STORAGE_AZURE_KEY": "Y2FuYXJ5LTVlOWEwZA==",
    }
    for options in (["--json"], []):
        done = onbrand("doctor", "--skip-weights", "--skip-gpu", *options, **chosen | secret)
        told = done.stdout + done.stderr
        assert done.returncode == 1
        assert not [value for value in (CANARY, secret["STORAGE_AZURE_KEY"]) if value in told]
        assert "ONBRAND_STORAGE_AZURE_KEY" in told
