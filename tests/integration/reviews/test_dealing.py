"""Dealing: chance decides the places, the files are alike, and a review that isn't opened leaves nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from onbrand.errors import ImageStoreUnavailable
from onbrand.images.png import decode
from onbrand.reviews.dealing import deal
from onbrand.reviews.models import Kind
from onbrand.reviews.pictures import CardStore
from onbrand.storage.object_store import open_storage
from tests.reviews import KINDS, faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def test_chance_decides_the_places_and_each_card_has_its_own_picture(folder: Path) -> None:
    dealt, store, given = [], CardStore(open_storage(folder)), faces()
    for seed in (1, 2):
        review_id = uuid4()
        cards = await deal(store, review_id, given, Random(seed))
        assert [card.n for card in cards] == list(range(1, 17))
        assert sorted(card.kind for card in cards) == sorted(KINDS)
        for card in cards:
            face = next(face for face in given if face.prompt == card.prompt)
            assert (card.kind, card.seed, card.source) == (face.kind, face.seed, face.source)
            assert decode(await store.get(review_id, card)).tobytes() == face.rgb
        dealt.append([card.kind for card in cards])
    assert dealt[0] != KINDS
    assert dealt[0] != dealt[1]


async def test_all_files_have_the_same_size_and_are_written_in_the_order_of_the_cards(folder: Path) -> None:
    review_id = uuid4()
    await deal(CardStore(open_storage(folder)), review_id, faces(), Random(3))
    files = sorted((folder / "reviews" / str(review_id)).glob("*.png"), key=lambda path: int(path.stem))
    assert [path.name for path in files] == [f"{n}.png" for n in range(1, 17)]
    assert len({path.stat().st_size for path in files}) == 1
    written = [path.stat().st_mtime_ns for path in files]
    assert written == sorted(written)
    # What only some cards are compared with comes after all of them, so that no pause between two cards tells which.
    asides = list((folder / "reviews" / str(review_id) / "asides").iterdir())
    assert len(asides) == 10 * 3 * 2
    assert min(path.stat().st_mtime_ns for path in asides) > written[-1]


async def test_a_store_that_fails_half_way_keeps_nothing(folder: Path) -> None:
    review_id = uuid4()
    taken = folder / "reviews" / str(review_id) / "9.png"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody else's")
    with pytest.raises(ImageStoreUnavailable):
        await deal(CardStore(open_storage(folder)), review_id, faces(), Random(4))
    assert [path for path in (folder / "reviews").rglob("*") if path.is_file()] == []


async def test_a_store_that_fails_at_the_last_picture_keeps_nothing(folder: Path) -> None:
    review_id, given = uuid4(), faces()
    order = list(given)
    Random(4).shuffle(order)
    last = max(n for n, face in enumerate(order, start=1) if face.kind is Kind.PACK)
    taken = folder / "reviews" / str(review_id) / "asides" / f"{last}-3.webp"
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"somebody else's")
    with pytest.raises(ImageStoreUnavailable):
        await deal(CardStore(open_storage(folder)), review_id, given, Random(4))
    assert list((folder / "reviews").iterdir()) == []


async def test_pictures_of_a_review_that_was_never_opened_are_deleted_once_they_are_old(folder: Path) -> None:
    store, opened, killed = CardStore(open_storage(folder)), uuid4(), uuid4()
    for review_id in (opened, killed):
        for n in (1, 16):
            await store.put(review_id, n, b"a picture")
        await store.put_aside(review_id, 16, 3, b"a picture", b"its tile")
    foreign = folder / "reviews" / "notes.txt"
    foreign.write_text("somebody else's")
    assert await store.sweep({opened}, timedelta(hours=1)) == 0
    assert await store.sweep({opened}, timedelta(seconds=-60)) == 4
    left = {path.relative_to(folder / "reviews").as_posix() for path in (folder / "reviews").rglob("*.*")}
    of_a_review = ("1.png", "16.png", "asides/16-3.png", "asides/16-3.webp")
    assert left == {"notes.txt", *(f"{opened}/{name}" for name in of_a_review)}


def test_every_kind_is_there_as_often_as_the_rule_says() -> None:
    assert [KINDS.count(kind) for kind in (Kind.PACK, Kind.ORIGINAL, Kind.BASE)] == [10, 3, 3]
