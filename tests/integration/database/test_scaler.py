"""The scaler's role signs in with the password that `onbrand migrate` was given."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.database.scaler import set_password
from onbrand.errors import ConfigError
from onbrand.local.postgres import EmbeddedPostgres

PASSWORD, ANOTHER = "correct-horse-battery-staple", "incorrect-horse-battery-staple"


@pytest.fixture
def role(postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch) -> str:
    """A role like the scaler's, which no other test touches."""
    name = "a_scaler"
    monkeypatch.setattr("onbrand.database.scaler.ROLE", name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("drop role if exists a_scaler")
        connection.execute("create role a_scaler")
    return name


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


def test_a_database_without_the_role_is_one_line(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onbrand.database.scaler.ROLE", "nobody_like_this")
    with pytest.raises(ConfigError, match="has no role nobody_like_this"):
        set_password(database_url, PASSWORD)
