"""Weights in a folder, on disk or in Azure: the same bytes, in order, and a clear error if they can't be read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
import traceback
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from onbrand.config import REPOSITORY, Settings
from onbrand.errors import (
    ChecksumMismatch,
    ConfigError,
    DataDirUnwritable,
    FileChanged,
    FileDamaged,
    ObjectStoreRefused,
    ObjectStoreUnreachable,
    WeightsMissing,
)
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.storage import object_store, range_reader
from onbrand.storage.files import Folder, LocalFolder, ManifestFile, fetch, is_whole, open_folder
from onbrand.storage.object_store import Patience
from tests.azurite import ACCOUNT, KEY, Azurite, settings_with
from tests.integration.storage.places import Place, Proxy
from tests.integration.storage.test_azure import WRONG_KEY

KILO = 1024
CONTENT = os.urandom(300 * KILO + 17)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name in ("ranges", "weights")]


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of hundreds of kilobytes comes in as many ranges as one of gigabytes does."""
    monkeypatch.setattr(range_reader, "PART_BYTES", 16 * KILO)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of some seconds instead of longer ones, so that the tests are quick."""
    monkeypatch.setattr(object_store, "FOR_WEIGHTS", Patience(2, 1, 3, 0.2, 8))


@pytest.fixture(params=["disk", "azure"])
def weights(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> tuple[Folder, Path | Place]:
    """An empty folder on disk, or a part of a container."""
    if request.param == "disk":
        (tmp_path / "weights").mkdir()
        return open_folder(settings, str(tmp_path / "weights")), tmp_path / "weights"
    place = request.getfixturevalue("azure")
    return in_azure(request.getfixturevalue("on_azure")), place


def in_azure(settings: Settings) -> Folder:
    return open_folder(settings, f"{settings.storage_url}/models/tiny")


async def put(place: Path | Place, path: str, content: bytes) -> ManifestFile:
    if isinstance(place, Path):
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(content)
    else:
        await place.put(f"models/tiny/{path}", content)
    return ManifestFile(path, len(content), hashlib.sha256(content).hexdigest())


# --- the same everywhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 16 * KILO - 1, 16 * KILO, 16 * KILO + 1, len(CONTENT)])
async def test_a_file_is_read_as_it_was_written(weights: tuple[Folder, Path | Place], size: int) -> None:
    folder, place = weights
    file = await put(place, "a/b.bin", CONTENT[:size])
    assert folder.read("a/b.bin") == CONTENT[:size]
    assert is_whole(folder, file)
    with closing(folder.open("a/b.bin")) as reader:
        room = bytearray(10_007)  # which fits nothing
        found = b""
        while count := reader.readinto(memoryview(room)):
            assert count == min(len(room), size - len(found))
            found += room[:count]
    assert found == CONTENT[:size]


async def test_a_file_that_differs_is_not_whole(weights: tuple[Folder, Path | Place]) -> None:
    folder, place = weights
    file = await put(place, "a.bin", CONTENT)
    for changed in (CONTENT[:-1], CONTENT + b"\0", CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])):
        await put(place, "a.bin", changed)
        assert not is_whole(folder, file)


async def test_a_missing_file_is_said_to_be_missing(weights: tuple[Folder, Path | Place]) -> None:
    folder, place = weights
    await put(place, "a/b.bin", b"")
    for path in ("b.bin", "a", "a/b.bin/c"):
        with pytest.raises(WeightsMissing, match=f"The file {path} is missing in {folder}: "):
            folder.read(path)


async def test_tensors_are_streamed_from_anywhere(weights: tuple[Folder, Path | Place]) -> None:
    folder, place = weights
    generator = torch.Generator().manual_seed(0)
    expected = {f"{n}.{m}": torch.randn(40, 50 * m, generator=generator) for n in range(3) for m in range(6)}
    files = []
    for n in range(3):
        shard = {name: tensor for name, tensor in expected.items() if name.startswith(f"{n}.")}
        files.append(await put(place, f"transformer/{n}.safetensors", save(shard)))
    found = dict(stream_tensors(folder, files))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    await put(place, "transformer/1.safetensors", CONTENT)
    with pytest.raises(FileDamaged):
        dict(stream_tensors(folder, files))


# --- a copy of the small files ---------------------------------------------------------------------------------------


async def test_small_files_are_fetched_and_those_already_there_kept(
    weights: tuple[Folder, Path | Place], tmp_path: Path
) -> None:
    folder, place = weights
    files = [await put(place, path, CONTENT[: 1000 * n]) for n, path in enumerate(("config.json", "a/b/vocab.json"))]
    copy = tmp_path / "copy"
    fetch(folder, files, copy)
    assert [(copy / file.path).read_bytes() for file in files] == [b"", CONTENT[:1000]]
    kept = (copy / "config.json").stat()
    (copy / "a/b/vocab.json").write_bytes(b"half")
    fetch(folder, files, copy)
    assert (copy / "config.json").stat() == kept
    assert (copy / "a/b/vocab.json").read_bytes() == CONTENT[:1000]


async def test_a_damaged_file_is_not_fetched_and_leaves_nothing(
    weights: tuple[Folder, Path | Place], tmp_path: Path
) -> None:
    folder, place = weights
    file = await put(place, "config.json", b"one")
    for content in (b"two", b"on", b"one and more"):
        await put(place, "config.json", content)
        with pytest.raises(ChecksumMismatch, match=r"The file config\.json in .* differs from its checksum: "):
            fetch(folder, [file], tmp_path / "copy")
        assert not list((tmp_path / "copy").iterdir())


async def test_a_folder_that_cannot_be_written_is_said(weights: tuple[Folder, Path | Place], tmp_path: Path) -> None:
    folder, place = weights
    file = await put(place, "config.json", b"one")
    (tmp_path / "copy").write_bytes(b"no folder")
    with pytest.raises(DataDirUnwritable, match=r"can't be written"):
        fetch(folder, [file], tmp_path / "copy")


# --- what only a service far away can do -----------------------------------------------------------------------------


@asynccontextmanager
async def through(proxy: Proxy, settings: Settings) -> AsyncIterator[Folder]:
    async with proxy.serving():
        endpoint = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        yield in_azure(settings_with(settings, STORAGE_AZURE_ENDPOINT=endpoint))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_a_store_that_is_away_is_said_in_time_without_addresses(
    azurite: Azurite, azure: Place, on_azure: Settings, how: str
) -> None:
    file = await put(azure, "a.safetensors", CONTENT)
    folder = in_azure(on_azure)
    with getattr(azurite, how)():
        started = time.monotonic()
        for read in (lambda: folder.read("a.safetensors"), lambda: list(stream_tensors(folder, [file]))):
            with pytest.raises(ObjectStoreUnreachable, match="can't be reached") as lost:
                await asyncio.to_thread(read)
            said = "".join(traceback.format_exception(lost.value))
            assert not [secret for secret in (ACCOUNT, KEY, str(azurite.port)) if secret in said]
        assert time.monotonic() - started < 15
    assert folder.read("a.safetensors") == CONTENT


class Failing(Proxy):
    """Passes some replies on and loses the next ones."""

    def __init__(self, port: int, *, passes: int, loses: int) -> None:
        super().__init__(port)
        self.passes, self.loses = passes, loses

    def _loses(self) -> bool:
        self.passes -= 1
        if self.passes >= 0 or self.loses == 0:
            return False
        self.loses -= 1
        return True


@pytest.mark.usefixtures("impatient")
async def test_a_store_that_vanishes_on_the_way_is_an_error(azurite: Azurite, azure: Place, on_azure: Settings) -> None:
    file = await put(azure, "a.safetensors", save({f"{n}": torch.ones(4000) for n in range(100)}))
    async with through(Failing(azurite.port, passes=30, loses=10**9), on_azure) as folder:
        arriving = stream_tensors(folder, [file])
        await asyncio.to_thread(next, arriving)
        started = time.monotonic()
        with pytest.raises(ObjectStoreUnreachable):
            await asyncio.to_thread(list, arriving)
        assert time.monotonic() - started < 15


async def test_a_connection_lost_on_the_way_is_made_again(azurite: Azurite, azure: Place, on_azure: Settings) -> None:
    await put(azure, "a.bin", CONTENT)
    proxy = Failing(azurite.port, passes=10, loses=2)
    async with through(proxy, on_azure) as folder:
        assert await asyncio.to_thread(folder.read, "a.bin") == CONTENT
    assert proxy.loses == 0


async def test_ranges_are_fetched_together_but_not_all_at_once(
    azurite: Azurite, azure: Place, on_azure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_reader, "AHEAD", 3)
    await put(azure, "a.bin", CONTENT)
    proxy = Proxy(azurite.port)
    async with through(proxy, on_azure) as folder:
        assert await asyncio.to_thread(folder.read, "a.bin") == CONTENT
    assert 2 <= proxy.most <= 2 * range_reader.AHEAD  # one that is just being closed counts too


@pytest.mark.parametrize("left", [0, 20 * KILO, len(CONTENT) - 7])
async def test_a_file_that_shrinks_while_it_is_read_is_damaged(azure: Place, on_azure: Settings, left: int) -> None:
    await put(azure, "a.bin", CONTENT)
    with closing(in_azure(on_azure).open("a.bin")) as reader:
        assert reader.readinto(memoryview(bytearray(10))) == 10
        await put(azure, "a.bin", CONTENT[:left])
        with pytest.raises(FileChanged, match=r"The file a\.bin in az://.* was changed while it was read"):
            reader.readinto(memoryview(bytearray(len(CONTENT))))


async def test_a_reader_that_is_closed_does_not_wait_for_a_silent_store(
    azurite: Azurite, azure: Place, on_azure: Settings
) -> None:
    await put(azure, "a.bin", CONTENT)
    with azurite.frozen():
        reader = in_azure(on_azure).open("a.bin")
        reading = asyncio.create_task(asyncio.to_thread(reader.readinto, memoryview(bytearray(10))))
        await asyncio.wait({reading}, timeout=0.3)
        assert not reading.done()
        reader.close()
        assert await asyncio.wait_for(reading, 2) == 0


async def test_tensors_that_are_not_wanted_any_more_are_not_waited_for(
    azurite: Azurite, azure: Place, on_azure: Settings
) -> None:
    file = await put(azure, "a.safetensors", save({f"{n}": torch.ones(4000) for n in range(1000)}))
    arriving = stream_tensors(in_azure(on_azure), [file])
    assert isinstance(arriving, Generator)
    next(arriving)
    with azurite.frozen():
        assert [thread for thread in threading.enumerate() if thread.name == "weights"]
        started = time.monotonic()
        arriving.close()
        assert time.monotonic() - started < 2


async def test_a_wrong_key_is_refused_at_once(azure: Place, on_azure: Settings) -> None:
    await put(azure, "a.bin", CONTENT)
    folder = in_azure(settings_with(on_azure, STORAGE_AZURE_KEY=WRONG_KEY))
    with pytest.raises(ObjectStoreRefused, match="Azure refuses the weights in az://"):
        folder.read("a.bin")


async def test_a_missing_container_is_a_missing_file(on_azure: Settings) -> None:
    with pytest.raises(WeightsMissing):
        in_azure(on_azure).read("a.bin")


# --- addresses -------------------------------------------------------------------------------------------------------


def test_a_folder_is_called_by_its_place_without_secrets(on_azure: Settings, tmp_path: Path) -> None:
    assert str(in_azure(on_azure)) == f"{on_azure.storage_url}/models/tiny"
    assert str(open_folder(on_azure, str(tmp_path))) == str(tmp_path)
    assert KEY not in repr(in_azure(on_azure))


def test_weights_may_be_in_azure_while_the_images_are_on_disk(azurite: Azurite, settings: Settings) -> None:
    chosen = azurite.settings("c") | {"STORAGE_URL": "", "MODEL_PATH": "az://weights/tiny"}
    own = settings_with(settings, **{name: value for name, value in chosen.items() if value})
    assert isinstance(own.storage, Path)
    assert str(open_folder(own, own.model_place)) == "az://weights/tiny"


def test_the_mini_model_is_the_repositorys(settings: Settings) -> None:
    assert open_folder(settings, settings.model_place) == LocalFolder(REPOSITORY / "models" / "mini")


@pytest.mark.parametrize("address", ["az://", "az://A/b", "az://container/../b", "az://container/a?sas=1"])
def test_a_wrong_address_is_refused(on_azure: Settings, address: str) -> None:
    with pytest.raises(ConfigError, match="must be az://CONTAINER or az://CONTAINER/PREFIX"):
        open_folder(on_azure, address)


def test_an_address_in_azure_needs_an_account(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="ONBRAND_STORAGE_AZURE_ACCOUNT"):
        open_folder(settings, "az://weights/tiny")
