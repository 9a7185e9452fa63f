"""One service for all tests. Each test uses other people, so the tests do not disturb each other."""

from __future__ import annotations

import gzip
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_GROUP_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID, Settings, SignIn
from onbrand.database.migrations import migrate
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.api.service import Person, Service, running
from tests.system import free_port

# A script of the built page as it is, and its compressed copies.
SCRIPT = {
    None: b"export {};",
    "gzip": gzip.compress(b"export {};"),
    "br": bytes.fromhex("8b04806578706f7274207b7d3b03"),
}


@pytest.fixture(scope="session")
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Settings]]:
    """Settings on a free port and in a folder of their own, whatever the environment says."""

    def make(**settings: Any) -> Settings:
        defaults: dict[str, Any] = {
            "port": free_port(),
            "data_dir": tmp_path_factory.mktemp("service"),
            "max_requests_per_second": 100_000,  # all tests call from one address
        }
        return Settings(**defaults | settings)

    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("ONBRAND_")]:
            environment.delenv(name)
        yield make


@pytest.fixture(scope="session")
def web_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of the page, as far as serving it goes."""
    directory = tmp_path_factory.mktemp("web")
    for name in ("index.html", "auth.html"):
        (directory / name).write_text(f"<!doctype html><title>{name}</title>")
    (directory / "favicon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (directory / "favicon.ico").write_bytes(b"\0\0\1\0")
    (directory / "assets").mkdir()
    for coding, ending in {None: "", "gzip": ".gz", "br": ".br"}.items():
        (directory / "assets" / f"app-0123abcd.js{ending}").write_bytes(SCRIPT[coding])
    (directory / "assets" / "mark-4567cdef.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return directory


@pytest.fixture(scope="session")
def service(postgres: EmbeddedPostgres, make_settings: Callable[..., Settings], web_dir: Path) -> Iterator[Service]:
    """The service with its local defaults and a database of its own."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create database service")
    url = make_conninfo(postgres.url, dbname="service")
    migrate(url)
    with running(make_settings(), url, web_dir=web_dir) as service:
        yield service


@pytest.fixture(scope="session")
def make_entra_settings(service: Service, make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """Settings for another service that takes the first one's sign-in for Entra: the same tokens are good there."""

    def make(**settings: Any) -> Settings:
        entra = {
            "auth": SignIn.ENTRA,
            "entra_tenant_id": LOCAL_TENANT_ID,
            "entra_api_client_id": LOCAL_API_CLIENT_ID,
            "entra_spa_client_id": LOCAL_SPA_CLIENT_ID,
            "entra_group_id": LOCAL_GROUP_ID,
            "entra_metadata_url": service.settings.directory.metadata_url,
        }
        return make_settings(**entra | settings)

    return make


@pytest.fixture
async def member(service: Service) -> AsyncIterator[Person]:
    """A member of the studio nobody has seen before."""
    async with service.person() as person:
        yield person


@pytest.fixture
async def stranger(service: Service) -> AsyncIterator[Person]:
    """Another member, who has nothing to do with the first."""
    async with service.person() as person:
        yield person
