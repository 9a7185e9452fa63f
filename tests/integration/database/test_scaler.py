"""The scaler's role signs in with the password that `onbrand migrate` was given."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.database.scaler import set_password
from onbrand.errors import ConfigError
from onbrand.local.postgres import EmbeddedPostgres

PASSWORD, ANOTHER = "correct-horse-battery-staple", "incorrect-horse-battery-staple"


@pytest.fixture
def role(postgres: EmbeddedPostgres, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A role like the scaler's, which no other test touches."""
    name = "a_scaler"
    monkeypatch.setattr("onbrand.database.scaler.ROLE", name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop role if exists a_scaler")
        connection.execute("create role a_scaler")
    yield name
    for url in (database_url, postgres.url):  # what it may read goes first
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("drop owned by a_scaler")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop role a_scaler")


def sign_in(url: str, role: str, password: str) -> str:
    with psycopg.connect(make_conninfo(url, user=role, password=password)) as connection:
        row = connection.execute("select current_user").fetchone()
        assert row is not None
        return str(row[0])


def test_it_signs_in_with_the_newest_password_alone(database_url: str, role: str) -> None:
    set_password(database_url, PASSWORD)
    assert sign_in(database_url, role, PASSWORD) == role
    set_password(database_url, ANOTHER)
    assert sign_in(database_url, role, ANOTHER) == role
    with pytest.raises(psycopg.OperationalError):
        sign_in(database_url, role, PASSWORD)


def test_the_server_never_sees_the_password(database_url: str, role: str, postgres: EmbeddedPostgres) -> None:
    set_password(database_url, PASSWORD)
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute("select rolpassword from pg_authid where rolname = %s", [role]).fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_the_role_is_made_and_reads_the_number_and_nothing_else(
    database_url: str, role: str, postgres: EmbeddedPostgres
) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop role a_scaler")
    set_password(database_url, PASSWORD)
    with psycopg.connect(make_conninfo(database_url, user=role, password=PASSWORD), autocommit=True) as scaler:
        assert scaler.execute("select n from keda_gpu_demand").fetchone() == (0,)
        for table in ("job", "gpu_life", "gpu_demand", "worker"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                scaler.execute(f"select * from {table}")


def test_a_role_that_may_make_no_other_is_told_what_to_ask_for(
    database_url: str, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onbrand.database.scaler.ROLE", "nobody_like_this")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop role if exists a_plain_role")
        connection.execute("create role a_plain_role login password 'plain'")
    with pytest.raises(ConfigError, match="create role nobody_like_this; grant"):
        set_password(make_conninfo(database_url, user="a_plain_role", password="plain"), PASSWORD)
