"""Each kind of store: a folder, and a container of its own on one Azurite."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.config import AzureContainer, Settings
from onbrand.storage.container import create_container
from tests.azurite import Azurite, settings_with
from tests.integration.storage.places import Place

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A blob service for all tests; whoever stops it starts it again."""
    service = Azurite(tmp_path_factory.mktemp("azurite"))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def on_azure(azurite: Azurite, settings: Settings) -> Settings:
    """Settings with a container that does not exist yet."""
    return settings_with(settings, **azurite.settings(f"images-{next(_numbers)}"))


@pytest.fixture
async def azure(on_azure: Settings) -> Place:
    """An empty container."""
    container = on_azure.storage
    assert isinstance(container, AzureContainer)
    assert await create_container(container)
    return Place.of(on_azure)


@pytest.fixture
def disk(settings: Settings, tmp_path: Path) -> Place:
    """An empty folder."""
    return Place.of(settings_with(settings, STORAGE_URL=f"file://{tmp_path}/images"))


@pytest.fixture(params=["disk", "azure"])
def place(request: pytest.FixtureRequest) -> Place:
    """Either."""
    place = request.getfixturevalue(request.param)
    assert isinstance(place, Place)
    return place
