"""`onbrand doctor` on databases that refuse, hang or lack something: it names the reason, in limited time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from onbrand.doctor import server
from onbrand.local.postgres import EmbeddedPostgres
from tests.certificate import new_certificate
from tests.identity_endpoint import CLIENT_ID, identity_endpoint
from tests.integration.doctor.reports import CANARY, command, examined, execute, production
from tests.tls_front import tls_front


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
        ({"port": "1"}, "No program listens"),
        ({"host": "no-such-host.invalid"}, "host name is unknown"),
    ],
)
def test_each_reason_for_a_refused_connection_is_named(database_url: str, change: dict[str, str], words: str) -> None:
    found = server.reach(make_conninfo(database_url, **change))
    assert (found.state, words in found.says) == ("problem", True), found


def test_a_certificate_that_nobody_vouches_for_is_named(database_url: str, tmp_path: Path) -> None:
    with tls_front(database_url, new_certificate(), tmp_path) as url:
        found = server.reach(make_conninfo(url, sslmode="verify-full"))
    assert (found.state, found.says) == ("problem", "The server's certificate isn't accepted.")


def test_an_invalid_address_is_not_repeated() -> None:
    found = server.reach(f"postgresql://onbrand:{CANARY}@[::1/onbrand")  # psycopg's own words quote all of it
    assert (found.state, CANARY in repr(found)) == ("problem", False)


def test_an_identity_without_a_token_is_named_and_the_database_is_not_blamed(
    chosen: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with identity_endpoint(database_url, monkeypatch) as identity:
        by_token = chosen | {"DATABASE_URL": identity.url, "DATABASE_AUTH": "entra"}
        assert examined(by_token, DATABASE_CLIENT_ID=str(CLIENT_ID)).problems() == []
        told = examined(by_token, DATABASE_CLIENT_ID=str(uuid4()))
        assert (told.problems(), told.says("database")) == (
            ["database"],
            "The managed identity gives no token: its endpoint refuses the request (HTTP 400). Correct"
            " ONBRAND_DATABASE_CLIENT_ID, and assign that identity to this machine.",
        )
        identity.stop()
        told = examined(by_token, DATABASE_CLIENT_ID=str(CLIENT_ID))
        assert told.says("database").startswith("The managed identity gives no token: its endpoint doesn't answer.")


def test_a_database_that_never_answers_costs_seconds(chosen: dict[str, str], tmp_path: Path) -> None:
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
    assert examined(chosen, **production(chosen)).state("role") == "problem"
    with role(database_url) as poorer:
        assert examined(chosen, **production(chosen) | {"DATABASE_URL": poorer}).state("role") == "ok"


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
