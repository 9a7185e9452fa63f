"""Brand packs in Azure Blob Storage. tests/integration/packs/test_store.py tests the pack store on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onbrand.config import AzureContainer, Settings
from onbrand.errors import ObjectStoreRefused, StoredPackDamaged
from onbrand.packs.store import PackStore, StoredPack
from tests import packs
from tests.azurite import Azurite, settings_with
from tests.integration.storage.places import Place
from tests.packs import SAMPLE, make_pack

LARGE = 9 * 2**20 + 1  # two parts


async def test_a_pack_comes_back_from_azure_as_it_was_added(
    azure: Place, on_azure: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(packs.FILES, "README.md", LARGE)
    pack, store = make_pack(tmp_path / "pack"), PackStore.open(on_azure)
    for _ in range(2):
        store.add(pack.directory)
    assert store.list()[1:] == [StoredPack(pack.id, pack.manifest, is_bundled=False)]
    assert store.find(pack.id[:12]).id == pack.id
    fetched = store.fetch(pack.id)
    for path in packs.FILES:
        assert fetched.path(path).read_bytes() == pack.path(path).read_bytes()
    await azure.put(f"packs/{pack.id}/samples/1.png", os.urandom(3))
    with pytest.raises(StoredPackDamaged, match=r"in the pack store is damaged: samples/1\.png"):
        store.verify(pack.id)
    assert await azure.stored() == []  # no image


async def test_an_empty_container_has_the_bundled_pack_alone(azure: Place, on_azure: Settings) -> None:
    assert azure.folder is None
    assert [one.id for one in PackStore.open(on_azure).list()] == [SAMPLE.id]


async def test_a_container_that_does_not_exist_is_refused(on_azure: Settings, tmp_path: Path) -> None:
    store, pack = PackStore.open(on_azure), make_pack(tmp_path / "pack")
    with pytest.raises(ObjectStoreRefused, match=r"refuses the brand packs \(404 ContainerNotFound\)"):
        store.add(pack.directory)


async def test_a_key_that_is_not_ours_is_refused_without_being_told(
    azure: Place, azurite: Azurite, on_azure: Settings
) -> None:
    container = on_azure.storage
    assert isinstance(container, AzureContainer)
    assert azure.folder is None
    key = "bm90IHRoZSBrZXk="
    wrong = settings_with(on_azure, **azurite.settings(container.name) | {"STORAGE_AZURE_KEY": key})
    with pytest.raises(ObjectStoreRefused) as caught:
        PackStore.open(wrong).list()
    assert key not in caught.value.message
