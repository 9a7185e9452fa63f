"""A backup of pictures that are in Azure Blob Storage, restored into another container and another database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from onbrand.config import AzureContainer, Settings
from onbrand.images.store import ImageStore
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.storage.container import create_container
from tests.azurite import Azurite, settings_with
from tests.complete import complete_job_in
from tests.integration.backup.test_backup_file import onbrand
from tests.integration.database.test_backup import found_in


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    service = Azurite(tmp_path_factory.mktemp("azurite"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> str:
    name = f"restored_{uuid4().hex}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return make_conninfo(postgres.url, dbname=name)


def empty_container(azurite: Azurite, settings: Settings, name: str) -> ImageStore:
    chosen = settings_with(settings, **azurite.settings(name))
    assert isinstance(chosen.storage, AzureContainer)
    assert asyncio.run(create_container(chosen.storage))
    return ImageStore.open(chosen)


def test_pictures_of_one_container_come_back_in_another_and_replace_nothing(
    azurite: Azurite, settings: Settings, tmp_path: Path, database_url: str, empty_database: str
) -> None:
    before, after, used = (empty_container(azurite, settings, name) for name in ("before", "after", "used"))
    job_id = asyncio.run(complete_job_in(before, database_url))
    file = str(tmp_path / "onbrand.tar")
    done = onbrand("backup", file, **in_use(azurite, tmp_path, "before", database_url))
    assert done.returncode == 0, done.stderr

    asyncio.run(put_foreign(used, job_id))
    refused = onbrand("restore", file, **in_use(azurite, tmp_path, "used", empty_database))
    assert (refused.returncode, "Name an empty store." in refused.stderr) == (1, True), refused.stderr
    done = onbrand("restore", file, **in_use(azurite, tmp_path, "after", empty_database))
    assert done.returncode == 0, done.stderr
    assert asyncio.run(found_in(after, empty_database, job_id)).prompt == "a teapot"


def in_use(azurite: Azurite, folder: Path, container: str, database_url: str) -> dict[str, str]:
    """The settings of a command."""
    return {"DATA_DIR": str(folder / container), "DATABASE_URL": database_url, **azurite.settings(container)}


async def put_foreign(images: ImageStore, job_id: UUID) -> None:
    await images.put(job_id, 1, 2, b"somebody else's")
