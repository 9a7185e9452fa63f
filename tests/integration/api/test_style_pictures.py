"""The pictures that the live style shows of itself: those of its pack, while it is live, to members."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from onbrand.jobs import workers
from onbrand.jobs.models import Pack
from onbrand.packs.manifest import BrandPack
from onbrand.packs.pictures import StylePictures
from onbrand.packs.store import PackStore
from tests.integration.api.service import Person, Service
from tests.packs import make_pack

PROMPTS = ("a cup", "a chair", "a key", "a tree")


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "pack", pictures=PROMPTS)


@pytest.fixture
async def live(service: Service, pack: BrandPack) -> AsyncIterator[Pack]:
    """The pack is in the store, and a worker draws with it."""
    PackStore.open(service.settings).add(pack.directory)
    async with service.transaction() as connection:
        await workers.announce(connection, "w", "ready", pack.pack)
    yield pack.pack
    async with service.transaction() as connection:
        await workers.withdraw(connection, "w")


@pytest.mark.usefixtures("live")
async def test_a_member_gets_the_pictures_of_the_live_pack(member: Person, pack: BrandPack) -> None:
    answer = await member.http.get("/style/pictures")
    pictures = answer.json()["pictures"]
    assert [picture["prompt"] for picture in pictures] == list(PROMPTS)
    for n, picture in enumerate(pictures, start=1):
        shown = await member.http.get(picture["url"])
        assert shown.content == pack.path(f"picture-{n}.webp").read_bytes()
        assert shown.headers["content-type"] == "image/webp"
        assert shown.headers["cache-control"] == "private, max-age=86400, immutable"
        assert shown.headers["vary"] == "Authorization"


async def test_only_the_live_packs_four_pictures_are_there(
    service: Service, member: Person, live: Pack, tmp_path: Path
) -> None:
    candidate = make_pack(tmp_path / "candidate", pictures=PROMPTS)
    PackStore.open(service.settings).add(candidate.directory)
    for path in (f"{live.id}/0", f"{live.id}/5", f"{candidate.id}/1", f"{'b' * 64}/1", f"{live.id}/x"):
        answer = await member.http.get(f"/style/pictures/{path}")
        assert answer.status_code == (422 if path.endswith("x") else 404), path


async def test_without_a_worker_or_with_a_pack_without_pictures_there_are_none(
    service: Service, member: Person
) -> None:
    assert (await member.http.get("/style/pictures")).json() == {"pictures": []}
    async with service.transaction() as connection:
        await workers.announce(connection, "w", "ready", Pack("a" * 64, "Of nobody", "1"))
    assert (await member.http.get("/style/pictures")).json() == {"pictures": []}
    async with service.transaction() as connection:
        await workers.withdraw(connection, "w")


async def test_a_damaged_picture_is_not_shown_and_the_store_is_not_asked_at_once_again(
    service: Service, live: Pack, pack: BrandPack, caplog: pytest.LogCaptureFixture
) -> None:
    stored = next(service.settings.data_dir.rglob(f"{live.id}/picture-2.webp"))
    stored.write_bytes(b"RIFF of somebody else")
    pictures = StylePictures(service.settings)
    assert await pictures.of(live.id) == ()
    assert "picture-2.webp is missing or differs" in caplog.text
    stored.write_bytes(pack.path("picture-2.webp").read_bytes())
    assert await pictures.of(live.id) == ()  # it would be read on each request
    assert len(await StylePictures(service.settings).of(live.id)) == 4
    assert await pictures.of(replace(live, id="c" * 64).id) == ()
