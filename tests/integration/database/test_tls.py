"""A server across a network must prove its name: by an authority that the system trusts, or one that is named."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand import postgres_address
from onbrand.database import migrations
from onbrand.database.pool import Database
from onbrand.errors import DatabaseNotReady
from tests.certificate import Authority, new_certificate
from tests.identity_endpoint import CLIENT_ID, identity_endpoint
from tests.integration.doctor.reports import PRODUCTION
from tests.system import onbrand
from tests.tls_front import tls_front

Front = Callable[[tuple[bytes, bytes]], str]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new()


@pytest.fixture
def roots(authority: Authority, tmp_path: Path) -> Path:
    """The file of an authority that the system doesn't know."""
    path = tmp_path / "roots.pem"
    path.write_bytes(authority.pem)
    return path


@pytest.fixture
def front(database_url: str, tmp_path: Path) -> Iterator[Front]:
    """The database behind TLS with this certificate; its name is verified."""
    with ExitStack() as stack:

        def start(certificate: tuple[bytes, bytes]) -> str:
            address = stack.enter_context(tls_front(database_url, certificate, tmp_path))
            return make_conninfo(address, sslmode="verify-full")

        yield start


@pytest.fixture(autouse=True)
def _nobodys_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libpq would look there for authorities."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


def is_encrypted(url: str) -> bool:
    with migrations.connect(url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        return connection.pgconn.ssl_in_use


def test_an_authority_that_the_system_trusts_is_enough(
    front: Front, authority: Authority, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    assert is_encrypted(front(authority.certificate_for("localhost")))


def test_an_authority_may_be_named(front: Front, authority: Authority, roots: Path) -> None:
    assert is_encrypted(make_conninfo(front(authority.certificate_for("localhost")), sslrootcert=str(roots)))


@pytest.mark.parametrize("named", [None, "system"])
def test_the_systems_authorities_are_found_where_python_does_not_say(
    front: Front, authority: Authority, roots: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    """By the name `system`, too, for which the OpenSSL in psycopg's wheel looks in a folder that isn't there."""
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: SimpleNamespace(cafile=None))
    monkeypatch.setattr(postgres_address, "_KNOWN_ROOTS", (str(roots.with_name("missing.crt")), str(roots)))
    assert is_encrypted(make_conninfo(front(authority.certificate_for("localhost")), sslrootcert=named))


def test_an_authority_in_the_home_directory_counts_as_libpq_has_it(
    front: Front, authority: Authority, roots: Path, tmp_path: Path
) -> None:
    (tmp_path / ".postgresql").mkdir()
    roots.rename(tmp_path / ".postgresql" / "root.crt")
    assert is_encrypted(front(authority.certificate_for("localhost")))


def test_a_certificate_that_vouches_for_itself_is_refused(front: Front) -> None:
    with pytest.raises(DatabaseNotReady, match="certificate verify failed"):
        migrations.connect(front(new_certificate()))


def test_an_authority_that_nobody_trusts_is_refused(front: Front, authority: Authority) -> None:
    with pytest.raises(DatabaseNotReady, match="certificate verify failed"):
        migrations.connect(front(authority.certificate_for("localhost")))


def test_a_certificate_for_another_name_is_refused(
    front: Front, authority: Authority, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    with pytest.raises(DatabaseNotReady, match=r'for "db\.example" does not match host name "localhost"'):
        migrations.connect(front(authority.certificate_for("db.example")))


async def test_the_pool_knows_the_systems_authorities_too(
    front: Front, authority: Authority, roots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    database = Database(front(authority.certificate_for("localhost")), application_name="test", max_connections=1)
    await database.open()
    async with database.transaction() as connection:
        assert connection.pgconn.ssl_in_use
    await database.close()


def test_a_command_in_production_signs_in_with_a_token_over_tls(
    front: Front, authority: Authority, roots: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    address = front(authority.certificate_for("localhost"))
    with identity_endpoint(make_conninfo(address, sslrootcert=str(roots)), monkeypatch) as identity:
        settings = PRODUCTION | {
            "DATABASE_URL": make_conninfo(identity.url, sslrootcert=""),
            "DATABASE_AUTH": "entra",
            "DATABASE_CLIENT_ID": str(CLIENT_ID),
            "STORAGE_URL": (tmp_path / "images").as_uri(),
            "DATA_DIR": str(tmp_path),
        }
        migrated = onbrand("migrate", **settings)
        assert (migrated.stdout, migrated.stderr) == ("nothing to do: the schema is current\n", "")


def test_without_tls_the_address_is_refused_by_libpq(database_url: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL"):
        psycopg.connect(make_conninfo(database_url, sslmode="require"))
