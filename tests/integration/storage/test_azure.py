"""What only a remote service can do: not answer, lose a reply, refuse us, or lack our container."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from onbrand.config import Settings
from onbrand.errors import ImageStoreUnavailable, ObjectStoreRefused, ObjectStoreUnreachable
from onbrand.images import store
from onbrand.images.keys import StoredKey
from onbrand.images.store import ImageStore
from onbrand.jobs.models import StoredImage
from tests.azurite import ACCOUNT, KEY, Azurite, settings_with
from tests.integration.storage.places import JOB, PNG, Place, Proxy, put_job
from tests.system import free_port

STORED = StoredImage(1, "0" * 64, 1)
WRONG_KEY = base64.b64encode(b"another key of sixty-four bytes" * 2).decode()
CALLS: dict[str, Callable[[ImageStore], Awaitable[Any]]] = {
    "put": lambda store: store.put(JOB, 9, 1, PNG),
    "get": lambda store: store.get(JOB, 1, STORED),
    "discard": lambda store: store.discard(JOB, 1),
    "stored": lambda store: listed(store),
    "delete": lambda store: store.delete([StoredKey(JOB, 1, 1, datetime.now(UTC))]),
    "delete_job": lambda store: store.delete_job(JOB),
}


async def listed(store: ImageStore) -> list[StoredKey]:
    return [key async for batch in store.stored() for key in batch]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of some seconds instead of longer ones, so that the tests are quick."""
    monkeypatch.setattr(store, "WRITE_SECONDS", 2.0)
    monkeypatch.setattr(store, "DELETE_SECONDS", 2.0)


@asynccontextmanager
async def through_proxy(azurite: Azurite, settings: Settings) -> AsyncIterator[tuple[ImageStore, Proxy]]:
    async with Proxy(azurite.port).serving() as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}/{ACCOUNT}"
        yield ImageStore.open(settings_with(settings, STORAGE_AZURE_ENDPOINT=endpoint)), proxy


# --- away for a while ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_a_call_to_a_store_that_is_away_ends_in_time_and_works_when_it_is_back(
    azurite: Azurite, azure: Place, call: str, how: str
) -> None:
    await put_job(azure.images, JOB)
    with getattr(azurite, how)():
        started = time.monotonic()
        with pytest.raises(ImageStoreUnavailable) as lost:
            await CALLS[call](azure.images)
        assert time.monotonic() - started < 3
        assert lost.value.retry_after_seconds
    started = time.monotonic()
    # Of another job: what a frozen service had taken in, it does now, after we have given up.
    other = uuid4()
    stored = await azure.images.put(other, 1, 1, PNG)
    assert await azure.images.get(other, 1, stored) == PNG
    assert other in {key.job_id for key in await azure.stored()}
    await azure.images.delete_job(other)
    assert other not in {key.job_id for key in await azure.stored()}
    assert time.monotonic() - started < 5


async def test_an_image_waits_for_a_store_that_is_away_for_a_moment(azurite: Azurite, azure: Place) -> None:
    with azurite.stopped():
        putting = asyncio.create_task(azure.images.put(JOB, 1, 1, PNG))
        await asyncio.sleep(0.5)
        assert not putting.done()
    assert await azure.images.get(JOB, 1, await putting) == PNG


async def test_a_lost_reply_is_no_lost_image(azurite: Azurite, azure: Place, on_azure: Settings) -> None:
    async with through_proxy(azurite, on_azure) as (store, proxy):
        proxy.cut = 1
        stored = await store.put(JOB, 1, 1, PNG)
        assert proxy.cut == 0
        proxy.cut = 1
        assert await store.get(JOB, 1, stored) == PNG
        assert proxy.cut == 0
    assert len(await azure.stored()) == 1


async def test_an_outage_is_said_once_and_its_end_too_without_addresses(
    azurite: Azurite, azure: Place, caplog: pytest.LogCaptureFixture
) -> None:
    stored = await azure.images.put(JOB, 1, 1, PNG)
    caplog.set_level(logging.INFO, "onbrand")
    with azurite.stopped():
        for _ in range(3):
            with pytest.raises(ImageStoreUnavailable) as lost:
                await azure.images.get(JOB, 1, stored)
    for _ in range(2):
        await azure.images.get(JOB, 1, stored)
    assert [record.__dict__["action"] for record in caplog.records] == ["store_lost", "store_back"]
    said = caplog.text + "".join(traceback.format_exception(lost.value))
    assert "no connection" in said
    for setting in (ACCOUNT, KEY, str(azurite.port), "images-"):
        assert setting not in said


async def test_connections_are_bounded_however_many_ask(azurite: Azurite, azure: Place, on_azure: Settings) -> None:
    stored = await azure.images.put(JOB, 1, 1, b"small")
    async with through_proxy(azurite, on_azure) as (store, proxy):
        await asyncio.gather(*(store.get(JOB, 1, stored) for _ in range(100)), return_exceptions=True)
        assert 1 < proxy.most <= 32


# --- the container ---------------------------------------------------------------------------------------------------


async def test_a_missing_container_is_made_when_a_process_starts(on_azure: Settings) -> None:
    for _ in range(2):
        await ImageStore.open(on_azure).prepare()
    assert await Place.of(on_azure).keys() == set()


async def test_a_container_that_was_not_there_yet_is_made_by_the_first_image(on_azure: Settings) -> None:
    store = ImageStore.open(on_azure)
    with pytest.raises(ImageStoreUnavailable):  # which is not the same as a damaged image
        await store.get(JOB, 1, STORED)
    with pytest.raises(ImageStoreUnavailable):  # nor as an empty store
        await listed(store)
    assert await store.get(JOB, 1, await store.put(JOB, 1, 1, PNG)) == PNG


async def test_several_installations_may_share_a_container(azure: Place, on_azure: Settings) -> None:
    inside = [Place.of(settings_with(on_azure, STORAGE_URL=f"{on_azure.storage_url}/{name}")) for name in ("a/b", "a")]
    for n, place in enumerate(inside, start=1):
        await place.images.check()
        await place.images.put(JOB, 1, n, PNG)
    assert await azure.keys() == {f"a/b/jobs/{JOB}/1/1.png", f"a/jobs/{JOB}/1/2.png"}
    for n, place in enumerate(inside, start=1):
        assert [key.n for key in await place.stored()] == [n]
        await place.images.delete_job(JOB)
    assert await azure.keys() == set()


async def test_variables_that_obstore_would_read_lead_nowhere_else(
    azure: Place, on_azure: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURE_SKIP_SIGNATURE": "true",
        "AZURE_STORAGE_ENDPOINT": "http://127.0.0.1:1/elsewhere",
        "AZURE_STORAGE_ACCOUNT_NAME": "elsewhere",
        "AZURE_STORAGE_ACCOUNT_KEY": WRONG_KEY,
        "AZURE_STORAGE_TOKEN": "x",
        "AZURE_CONTAINER_NAME": "elsewhere",
    }.items():
        monkeypatch.setenv(name, value)
    await ImageStore.open(on_azure).put(JOB, 1, 1, PNG)
    assert len(await azure.stored()) == 1


# --- the check -------------------------------------------------------------------------------------------------------


async def test_the_check_leaves_nothing_and_touches_no_image(place: Place) -> None:
    await put_job(place.images, JOB)
    before = await place.keys()
    await place.images.check()
    assert await place.keys() == before


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"STORAGE_AZURE_KEY": WRONG_KEY}, "Azure refuses access to the container images-"),
        ({"STORAGE_AZURE_ACCOUNT": "nobody"}, "Azure refuses access to the container images-"),
    ],
    ids=["key", "account"],
)
async def test_what_the_service_refuses_is_said_in_one_sentence(
    azure: Place, on_azure: Settings, change: dict[str, str], sentence: str
) -> None:
    del azure  # the container is there
    settings = settings_with(on_azure, **change)
    if "STORAGE_AZURE_ACCOUNT" in change:
        settings = settings_with(settings, STORAGE_AZURE_ENDPOINT=on_azure.storage_azure_endpoint or "")
    with pytest.raises(ObjectStoreRefused, match=sentence) as refused:
        await ImageStore.open(settings).prepare()
    assert "\n" not in refused.value.message
    for setting in (KEY, WRONG_KEY, ACCOUNT, "127.0.0.1"):
        assert setting not in refused.value.message


async def test_what_a_wrong_key_could_not_delete_does_not_count_as_gone(azure: Place, on_azure: Settings) -> None:
    await put_job(azure.images, JOB)
    stranger = ImageStore.open(settings_with(on_azure, STORAGE_AZURE_KEY=WRONG_KEY))
    for call in (stranger.delete(await azure.stored()), stranger.discard(JOB, 1), stranger.delete_job(JOB)):
        with pytest.raises(ImageStoreUnavailable):
            await call
    assert len(await azure.stored()) == 4


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_a_store_that_is_only_away_keeps_no_process_from_starting(
    azurite: Azurite, azure: Place, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with getattr(azurite, how)():
        started = time.monotonic()
        await azure.images.prepare()
        assert time.monotonic() - started < 6
    assert "The object store does not answer" in caplog.text
    await put_job(azure.images, JOB)


async def test_an_address_where_nobody_is_says_so(on_azure: Settings) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}/{ACCOUNT}"
    with pytest.raises(ObjectStoreUnreachable, match="no connection"):
        await ImageStore.open(settings_with(on_azure, STORAGE_AZURE_ENDPOINT=endpoint)).check()


async def test_a_folder_that_is_in_the_way_or_gone_is_refused_in_one_sentence(disk: Place, tmp_path: Path) -> None:
    (tmp_path / "images" / "checks").write_text("in the way")
    with pytest.raises(ObjectStoreRefused, match="The images' folder can't be written"):
        await disk.images.prepare()
