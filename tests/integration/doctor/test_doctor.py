"""`onbrand doctor` beside the real parts, whole and broken: it says what is wrong, in bounded time, and no secret."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.config import REPOSITORY, Settings
from onbrand.database.pool import Database
from onbrand.doctor import server
from onbrand.doctor.examine import examine
from onbrand.doctor.report import CHECKS
from onbrand.jobs import attempts, service
from onbrand.jobs.models import Owner, Pack, StoredImage
from onbrand.local.database_url import running_url
from onbrand.local.postgres import EmbeddedPostgres
from tests.azurite import Azurite
from tests.rules import LIMITS
from tests.system import free_port, onbrand, running_system

CANARY = "canary-" + "5e9a0d"
TENANT = "aaaaaaaa-0000-4000-8000-00000000000a"
PRODUCTION = {
    "ENV": "production",
    "AUTH": "entra",
    "ENTRA_TENANT_ID": TENANT,
    "ENTRA_API_CLIENT_ID": TENANT,
    "ENTRA_SPA_CLIENT_ID": TENANT,
    "ENTRA_GROUP_ID": TENANT,
    "ENTRA_METADATA_URL": "https://127.0.0.1:1/",  # nobody answers, and nothing leaves this machine
}


class Told:
    """What one report told, with the time it took."""

    def __init__(self, document: str, seconds: float) -> None:
        assert CANARY not in document
        self.seconds = seconds
        self.healthy: bool = json.loads(document)["healthy"]
        self.checks: dict[str, dict[str, Any]] = {check["check"]: check for check in json.loads(document)["checks"]}
        assert list(self.checks) == list(CHECKS)

    def state(self, check: str) -> str:
        return str(self.checks[check]["state"])

    def problems(self) -> list[str]:
        return [check for check in self.checks if self.state(check) == "problem"]

    def says(self, check: str) -> str:
        return f"{self.checks[check]['says']} {self.checks[check]['advice']}"


def examined(chosen: dict[str, str], *, weights: bool = False, **changes: str) -> Told:
    """The report on these settings, named and read as environment variables are, without `ONBRAND_`."""
    settings = Settings(**{name.lower(): value for name, value in (chosen | changes).items()})
    started = time.monotonic()
    report = asyncio.run(examine(settings, [], skip_weights=not weights, skip_gpu=True, tell=lambda _: None))
    return Told(report.as_json(), time.monotonic() - started)


def command(*options: str, **chosen: str) -> tuple[int, Told]:
    """The exit code of the command itself, and what it told."""
    started = time.monotonic()
    done = onbrand("doctor", "--json", *options, **chosen)
    assert done.stderr == ""
    return done.returncode, Told(done.stdout, time.monotonic() - started)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("page")
    (directory / "index.html").write_text("<!doctype html>")
    return directory


@pytest.fixture
def chosen(settings: Settings, page: Path, database_url: str) -> dict[str, str]:
    """Settings with which nothing is a problem."""
    return {
        "DATA_DIR": str(settings.data_dir),
        "WEB_DIR": str(page),
        "PORT": str(free_port()),
        "DATABASE_URL": database_url,
    }


def execute(url: str, statement: str, *arguments: object) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode(), arguments)


# --- as it should be, and not running --------------------------------------------------------------------------------


def test_a_whole_system_has_no_problem_and_its_embedded_database_is_found(tmp_path: Path, page: Path) -> None:
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


def test_where_nothing_runs_it_says_what_brings_the_database(tmp_path: Path, page: Path) -> None:
    chosen = {"DATA_DIR": str(tmp_path / "data"), "WEB_DIR": str(page), "PORT": str(free_port())}
    code, told = command("--skip-weights", "--skip-gpu", **chosen)
    assert (code, told.state("database")) == (0, "warning")
    assert told.says("database") == "The embedded PostgreSQL isn't running. `onbrand up` brings it."
    assert {told.state(check) for check in ("schema", "workers", "missing_images")} == {"skipped"}
    assert not (tmp_path / "data").exists()  # it has changed nothing


def test_a_database_that_was_stopped_is_told_from_one_that_runs(tmp_path: Path) -> None:
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


# --- the database ----------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_named_and_not_shown(chosen: dict[str, str]) -> None:
    chosen["DATABASE_URL"] = make_conninfo(chosen["DATABASE_URL"], password=CANARY)
    code, told = command("--skip-weights", "--skip-gpu", **chosen)
    assert (code, told.problems()) == (1, ["database"])
    assert told.says("database") == ("The server refuses this user or this password. Correct ONBRAND_DATABASE_URL.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dbname": "nowhere"}, "no such database"),
        ({"sslmode": "require"}, "don't agree about TLS"),
        ({"port": "1"}, "Nothing listens"),
        ({"host": "no-such-host.invalid"}, "host name is unknown"),
    ],
)
def test_why_the_database_does_not_let_us_in_is_told_apart(
    database_url: str, change: dict[str, str], words: str
) -> None:
    found = server.reach(make_conninfo(database_url, **change))
    assert (found.state, words in found.says) == ("problem", True), found


def test_an_address_that_is_none_is_not_repeated() -> None:
    found = server.reach(f"postgresql://onbrand:{CANARY}@[::1/onbrand")  # psycopg's own words quote all of it
    assert (found.state, CANARY in repr(found)) == ("problem", False)


def test_a_database_in_a_black_hole_costs_seconds(chosen: dict[str, str], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with EmbeddedPostgres(tmp_path / "database") as running:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        try:
            told = examined(chosen, DATABASE_URL=running.url)
        finally:
            os.kill(running.pid, signal.SIGCONT)
    assert (told.problems(), told.seconds < 15) == (["database"], True)
    assert "does not answer within 3 seconds" in told.says("database")


def test_a_database_that_stops_answering_midway_costs_seconds(chosen: dict[str, str], database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("lock table job")  # until the block ends
        told = examined(chosen)
    assert (told.state("schema"), told.problems(), told.seconds < 15) == ("ok", ["workers"], True)
    assert told.says("missing_images").startswith("The database stopped answering.")


def test_an_older_schema_is_a_problem_and_a_newer_one_is_not(chosen: dict[str, str], database_url: str) -> None:
    execute(database_url, "update schema_migration set version = 1000 where version = 1")
    newer = examined(chosen)
    assert (newer.healthy, newer.state("schema"), newer.state("workers")) == (True, "warning", "warning")
    execute(database_url, "delete from schema_migration where version > 0")
    older = examined(chosen)
    assert (older.healthy, older.problems(), older.state("workers")) == (False, ["schema"], "skipped")
    assert "onbrand migrate" in older.says("schema")


@contextmanager
def role(url: str) -> Iterator[str]:
    """The address of the same database for a role without rights."""
    name = f"role_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("create role {} login password {}").format(Identifier(name), CANARY))
        try:
            yield make_conninfo(url, user=name, password=CANARY)
        finally:
            connection.execute(SQL("drop owned by {0}; drop role {0}").format(Identifier(name)))


def test_in_production_a_superuser_is_a_problem(chosen: dict[str, str], database_url: str) -> None:
    assert examined(chosen, **PRODUCTION).state("role") == "problem"
    with role(database_url) as poorer:
        assert examined(chosen, **PRODUCTION | {"DATABASE_URL": poorer}).state("role") == "ok"


def test_each_table_that_the_role_may_not_use_is_named(chosen: dict[str, str], database_url: str) -> None:
    with role(database_url) as poorer:
        named = conninfo_to_dict(poorer)["user"]
        told = examined(chosen, DATABASE_URL=poorer)
        assert (told.problems(), told.state("schema")) == (["rights"], "skipped")
        with psycopg.connect(database_url) as connection:
            tables = connection.execute(
                "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
            )
            assert all(table in told.says("rights") for (table,) in tables)
        execute(database_url, f"grant select, insert, update, delete on all tables in schema public to {named}")
        execute(database_url, f"grant usage on all sequences in schema public to {named}")
        assert examined(chosen, DATABASE_URL=poorer).state("rights") == "ok"
        execute(database_url, f"revoke delete on worker from {named}")
        assert examined(chosen, DATABASE_URL=poorer).says("rights").startswith("The role may not use worker.")


def test_a_roles_own_limit_of_connections_counts(chosen: dict[str, str], database_url: str) -> None:
    with role(database_url) as poorer:
        execute(database_url, f"alter role {conninfo_to_dict(poorer)['user']} connection limit 5")
        told = examined(chosen, DATABASE_URL=poorer)
    assert told.state("connections") == "warning"
    assert "4 free" in told.says("connections")


# --- images and weights ----------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = examined(chosen, STORAGE_URL=f"file://{tmp_path}/file/images")
    assert told.state("images") in ("warning", "problem")
    azure = {
        "STORAGE_URL": "az://images",
        "STORAGE_AZURE_ACCOUNT": "studio",
        "STORAGE_AZURE_ENDPOINT": f"http://127.0.0.1:{free_port()}/studio",
        "STORAGE_AZURE_KEY": "Y2FuYXJ5LTVlOWEwZA==",  # the canary in base64
    }
    told = examined(chosen, **azure)
    assert told.problems() == ["images"]


def test_a_container_is_tried_and_one_that_refuses_us_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    azurite = Azurite(tmp_path)
    azurite.start()
    try:
        azure = azurite.settings("images")
        told = examined(chosen, **azure)
        assert (told.problems(), told.state("soft_delete")) == ([], "skipped")
        assert told.says("images").startswith("The container images takes, returns and deletes objects.")
        told = examined(chosen, **azure | {"STORAGE_AZURE_KEY": "Y2FuYXJ5LTVlOWEwZA=="})
        assert (told.problems(), "Azure refuses access" in told.says("images")) == (["images"], True)
        with azurite.frozen():
            told = examined(chosen, **azure)
        assert (told.problems(), told.seconds < 15) == (["images"], True)
    finally:
        azurite.stop()


def test_missing_and_damaged_weights_are_named(chosen: dict[str, str], tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(REPOSITORY / "models" / "mini", weights)
    lora = weights / "sample" / "lora.safetensors"
    content = bytearray(lora.read_bytes())
    content[-1] ^= 1
    lora.write_bytes(content)
    told = examined(chosen, weights=True, MODEL_PATH=str(weights))
    assert (told.problems(), "differs from its checksum" in told.says("model")) == (["model"], True)
    lora.unlink()
    told = examined(chosen, weights=True, MODEL_PATH=str(weights))
    assert (told.problems(), "lora.safetensors is missing" in told.says("model")) == (["model"], True)


def test_whole_weights_are_told_with_the_pack_that_comes_with_them(chosen: dict[str, str]) -> None:
    told = examined(chosen, weights=True)
    assert (told.state("model"), told.state("review")) == ("ok", "ok")
    assert "mini: 10 files with 75 MB match their checksums, and so does the pack Sample brand" in told.says("model")
    assert "No designer has approved the pack that comes with the model" in told.says("review")


def test_weights_of_another_model_are_a_problem(chosen: dict[str, str]) -> None:
    weights = str(REPOSITORY / "models" / "mini")
    told = examined(chosen, weights=True, MODEL="hidream-i1-dev", MODEL_PATH=weights)
    assert (told.problems(), "Set ONBRAND_MODEL or ONBRAND_MODEL_PATH" in told.says("model")) == (["model"], True)


def test_a_folder_that_cannot_hold_data_is_a_problem(chosen: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "data_dir" in examined(chosen, DATA_DIR=str(tmp_path / "file")).problems()
    assert "page" in examined(chosen, WEB_DIR=str(tmp_path)).problems()


# --- the port and the sign-in ----------------------------------------------------------------------------------------


def test_another_programs_port_is_a_problem(chosen: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        told = examined(chosen, PORT=str(silent.getsockname()[1]))
    assert (told.problems(), told.seconds < 15) == (["port"], True)


@contextmanager
def provider(document: dict[str, Any]) -> Iterator[str]:
    """An identity provider that answers everything with one document."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/"
        listening.shutdown()


def test_another_tenants_identity_provider_is_a_problem(chosen: dict[str, str]) -> None:
    document = {"issuer": f"https://login.example.com/{uuid4()}/v2.0", "jwks_uri": "https://127.0.0.1:1/keys"}
    with provider(document) as url:
        told = examined(chosen, **PRODUCTION | {"ENV": "local", "ENTRA_METADATA_URL": url})
    assert (told.problems(), "not the configured tenant's" in told.says("sign_in")) == (["sign_in"], True)


def test_an_identity_provider_that_is_away_is_a_problem(chosen: dict[str, str]) -> None:
    told = examined(chosen, **PRODUCTION)
    assert "sign_in" in told.problems()
    assert "Connection refused" in told.says("sign_in")


# --- what waits in the tables ----------------------------------------------------------------------------------------


async def complete_job(url: str) -> UUID:
    database = Database(url, application_name="test", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            owner = Owner(uuid4(), uuid4())
            submitted = await service.submit(connection, owner, CANARY, idempotency_key=None, limits=LIMITS)
            pack = Pack("a" * 64, "Sample brand", "1")
            held = await attempts.claim(connection, submitted.job_id, "worker", pack=pack, lease_seconds=45)
            assert held is not None
            images = [StoredImage(n, "0" * 64, 1) for n in (1, 2, 3, 4)]
            assert await attempts.publish(connection, held, images, prompt_ignored=0, retention_hours=720)
        return held.job_id
    finally:
        await database.close()


def test_missing_images_and_a_held_deletion_are_problems(chosen: dict[str, str], database_url: str) -> None:
    job_id = asyncio.run(complete_job(database_url))
    execute(database_url, "update image set missing_since = now() where n > 1")
    execute(database_url, "update upkeep set retention_held_since = now() - interval '3 hours', swept_at = now()")
    execute(database_url, "update job set expires_at = now() - interval '25 hours'")
    told = examined(chosen)
    assert (told.healthy, told.problems()) == (False, ["deletion", "overdue", "missing_images"])
    assert f"3 images are missing, of these jobs among others: {job_id}" in told.says("missing_images")
    assert "held back for 3 hours" in told.says("deletion")


def test_stuck_waiting_and_failed_jobs_are_told(chosen: dict[str, str], database_url: str) -> None:
    for _ in range(4):
        asyncio.run(complete_job(database_url))
    numbered = "(select id from job order by id offset %s limit 1)"
    running = "completed_at = null, expires_at = null, result_attempt = null, percent = 0"
    execute(
        database_url,
        f"update job set status = 'processing', {running}, worker_id = 'w', lease_until = now() - interval '2 minutes'"
        f" where id = {numbered}",
        0,
    )
    execute(
        database_url,
        f"update job set status = 'queued', {running}, created_at = now() - interval '20 minutes'"
        f" where id = {numbered}",
        1,
    )
    execute(
        database_url,
        f"update job set status = 'failed', error_code = 'timeout', result_attempt = null, percent = 0"
        f" where id = {numbered}",
        2,
    )
    execute(database_url, "delete from procrastinate_jobs")
    told = examined(chosen)
    assert told.problems() == ["workers", "leases", "sweep"]
    assert {told.state(check) for check in ("waiting", "deliveries", "failures")} == {"warning"}
    assert "1 are complete, 1 failed: timeout 1." in told.says("failures")
    assert "the first for 20 minutes" in told.says("waiting")


# --- secrets ---------------------------------------------------------------------------------------------------------


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
