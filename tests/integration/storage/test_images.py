"""Images in both kinds of store: complete or absent, never replaced, never served damaged. Foreign objects stay."""

from __future__ import annotations

import asyncio
import hashlib
import os
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from onbrand.errors import ImageCorrupt
from onbrand.images.keys import StoredKey
from onbrand.images.store import ImageStore
from onbrand.jobs.models import StoredImage, StoredRendition, image_key, image_keys, rendition_key
from onbrand.storage.object_store import BATCH, ObjectStore
from tests.integration.storage.places import JOB, PNG, WEBP, Place, put_job

KEY = image_key(JOB, 1, 2)
RENDITION_KEY = rendition_key(JOB, 1, 2)
FOREIGN = [
    *("notes.txt", "jobs/notes.txt", f"jobs/{JOB}/notes.txt", f"jobs/{JOB}/1/notes.txt", f"jobs/{JOB}/1/1.png/x"),
    *(
        f"jobs/C{str(JOB)[1:]}/1/1.png",
        f"jobs/{str(JOB)[:-1]}E/1/1.png",
        f"jobs/{JOB.hex}/1/1.png",
        f"jobs/{{{JOB}}}/1/1.png",
        "jobs/x/1/1.png",
    ),
    *(f"jobs/{JOB}/{attempt}/1.png" for attempt in ("0", "01", "+1", "1.0", "a", "1" * 10, "１")),
    *(
        f"jobs/{JOB}/2/{name}"
        for name in ("0.png", "5.png", "01.png", "1.PNG", "1.png.bak", "1.jpg", "x1.png", "11.png")
    ),
    *(
        f"jobs/{JOB}/2/{name}"
        for name in ("5-512.webp", "1-256.webp", "1.webp", "1-512.png", "1-512.webp.bak", "01-512.webp", "1-512webp")
    ),
    *(f"other/jobs/{JOB}/1/1.png", f"jobs/{JOB}/1/1/1.png", f"packs/{JOB}/1/1.png", f"jobs2/{JOB}/1/1.png"),
    f"jobs/{JOB}x/1/1.png",
]


# --- storing and fetching --------------------------------------------------------------------------------------------


async def test_what_is_stored_is_found_again_under_its_key(place: Place) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG)
    assert stored == StoredImage(2, hashlib.sha256(PNG).hexdigest(), len(PNG))
    assert await place.keys() == {KEY}
    assert await place.images.get(JOB, 1, stored) == PNG


async def test_storing_the_same_bytes_again_is_no_error(place: Place) -> None:
    assert await place.images.put(JOB, 1, 2, PNG) == await place.images.put(JOB, 1, 2, PNG)


async def test_other_bytes_never_replace_an_image(place: Place) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG)
    with pytest.raises(ImageCorrupt):
        await place.images.put(JOB, 1, 2, PNG[::-1])
    assert await place.images.get(JOB, 1, stored) == PNG


async def test_of_two_who_store_different_bytes_at_once_one_wins(place: Place) -> None:
    for attempt in range(1, 11):
        pngs = [os.urandom(50_000) for _ in range(2)]
        outcomes = await asyncio.gather(
            *(place.images.put(JOB, attempt, 1, png) for png in pngs), return_exceptions=True
        )
        (winner,) = [one for one in outcomes if isinstance(one, StoredImage)]
        assert sum(isinstance(one, ImageCorrupt) for one in outcomes) == 1
        assert await place.images.get(JOB, attempt, winner) in pngs


@pytest.mark.parametrize(
    "damaged",
    [b"", PNG[:-1], PNG + b"\0", PNG[:500] + bytes([PNG[500] ^ 1]) + PNG[501:], None],
    ids=["empty", "cut", "longer", "one bit", "missing"],
)
async def test_a_damaged_image_is_never_given_out(place: Place, damaged: bytes | None) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG)
    if damaged is None:
        await place.delete(KEY)
    else:
        await place.put(KEY, damaged)
    with pytest.raises(ImageCorrupt):
        await place.images.get(JOB, 1, stored)


async def test_a_rendition_is_stored_beside_its_png_and_given_out_whole(place: Place) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG, WEBP)
    assert stored.rendition == StoredRendition(hashlib.sha256(WEBP).hexdigest(), len(WEBP))
    assert await place.keys() == set(image_keys(JOB, 1, stored)) == {KEY, RENDITION_KEY}
    assert await place.images.get(JOB, 1, stored) == PNG
    assert await place.images.get_rendition(JOB, 1, stored) == WEBP
    assert await place.images.put(JOB, 1, 2, PNG, WEBP) == stored  # again
    await place.images.require_whole(JOB, 1, stored)


async def test_an_image_without_a_rendition_is_whole(place: Place) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG)
    assert await place.images.get_rendition(JOB, 1, stored) is None
    await place.images.require_whole(JOB, 1, stored)


@pytest.mark.parametrize("damaged", [WEBP[:-1], WEBP[:-1] + b"?", None], ids=["cut", "changed", "missing"])
async def test_a_damaged_rendition_is_never_given_out_and_its_png_is(place: Place, damaged: bytes | None) -> None:
    stored = await place.images.put(JOB, 1, 2, PNG, WEBP)
    if damaged is None:
        await place.delete(RENDITION_KEY)
    else:
        await place.put(RENDITION_KEY, damaged)
    for call in (place.images.get_rendition(JOB, 1, stored), place.images.require_whole(JOB, 1, stored)):
        with pytest.raises(ImageCorrupt):
            await call
    assert await place.images.get(JOB, 1, stored) == PNG


# --- finding ---------------------------------------------------------------------------------------------------------


async def test_every_image_in_the_store_is_found_with_its_time(place: Place) -> None:
    jobs = [uuid4() for _ in range(3)]
    for job_id in jobs:
        await put_job(place.images, job_id, attempt=1)
        await place.images.put(job_id, 12, 3, PNG)
    found = await place.stored()
    assert len(found) == len(await place.keys()) == 15
    assert {key.key for key in found} == await place.keys()
    assert {(key.attempt, key.n) for key in found if key.job_id == jobs[0]} == {(1, 1), (1, 2), (1, 3), (1, 4), (12, 3)}
    assert all(abs(key.modified - datetime.now(UTC)) < timedelta(minutes=1) for key in found)


async def test_renditions_are_found_and_deleted_as_pictures_are(place: Place) -> None:
    for attempt in (1, 2, 3):
        for n in (1, 2, 3, 4):
            await place.images.put(JOB, attempt, n, PNG, WEBP)
    found = await place.stored()
    assert {key.key for key in found} == await place.keys()
    assert sum(key.is_rendition for key in found) == 12
    await place.images.discard(JOB, 1)
    assert await place.images.delete([key for key in found if key.attempt == 2]) == 8
    left = [key(JOB, 3, n) for key in (image_key, rendition_key) for n in (1, 2, 3, 4)]
    assert await place.keys() == set(left)
    await place.images.delete_job(JOB)
    assert await place.keys() == set()


async def test_an_empty_store_has_no_images(place: Place) -> None:
    assert await place.stored() == []


async def test_many_images_come_in_bounded_batches(place: Place) -> None:
    jobs = [uuid4() for _ in range(BATCH // 4 + 1)]
    for job_id in jobs:
        await asyncio.gather(*(place.put(image_key(job_id, 1, n), b"x") for n in (1, 2, 3, 4)))
    sizes = [len(batch) async for batch in place.images.stored()]
    assert sum(sizes) == BATCH + 4
    assert max(sizes) <= BATCH


async def test_a_foreign_object_is_never_found_and_never_deleted(place: Place) -> None:
    for key in FOREIGN:
        await place.put(key)
    await place.images.put(JOB, 3, 1, PNG)
    found = await place.stored()
    assert [(key.job_id, key.attempt, key.n) for key in found] == [(JOB, 3, 1)]
    await place.images.delete(found)
    await place.images.delete_job(JOB)
    await place.images.sweep_leftovers(timedelta(0))
    assert await place.keys() == set(FOREIGN)


# --- deleting --------------------------------------------------------------------------------------------------------


async def test_discarding_removes_one_attempt_and_may_be_repeated(place: Place) -> None:
    for attempt in (1, 2):
        for n in (1, 2, 3):
            await place.images.put(JOB, attempt, n, PNG)
    for _ in range(2):
        await place.images.discard(JOB, 1)
    assert await place.keys() == {image_key(JOB, 2, n) for n in (1, 2, 3)}


async def test_images_are_deleted_by_their_keys_and_those_that_are_gone_count_as_done(place: Place) -> None:
    await put_job(place.images, JOB)
    other = uuid4()
    await put_job(place.images, other)
    keys = [key for key in await place.stored() if key.job_id == JOB]
    await place.delete(keys[1].key)
    assert await place.images.delete(keys) == 4
    assert await place.images.delete(keys) == 4
    assert await place.images.delete([]) == 0
    assert await place.keys() == {image_key(other, 1, n) for n in (1, 2, 3, 4)}


async def test_more_images_than_one_request_may_delete_are_deleted_all(place: Place) -> None:
    keys = [StoredKey(JOB, attempt, n, datetime.now(UTC)) for attempt in range(1, 151) for n in (1, 2, 3, 4)]
    there = [keys[0], keys[299], keys[599]]
    for key in there:
        await place.put(key.key)
    assert await place.images.delete(keys) == 600
    assert await place.keys() == set()


async def test_images_are_deleted_by_a_store_that_gives_up_at_the_first_that_is_missing(disk: Place) -> None:
    images = ImageStore(ObjectStore(disk.objects.store))
    keys = [StoredKey(JOB, attempt, n, datetime.now(UTC)) for attempt in range(1, 11) for n in (1, 2, 3, 4)]
    for key in keys[1:]:
        await disk.put(key.key)
    assert await images.delete(keys) == 40
    assert await disk.keys() == set()


async def test_a_deleted_job_leaves_nothing_of_any_attempt_and_others_alone(place: Place) -> None:
    other = UUID(int=JOB.int ^ 1)
    for attempt in (1, 2, 30):
        await put_job(place.images, JOB, attempt)
    await put_job(place.images, other)
    for _ in range(2):
        await place.images.delete_job(JOB)
        assert await place.keys() == {image_key(other, 1, n) for n in (1, 2, 3, 4)}


async def test_a_job_without_images_can_be_deleted(place: Place) -> None:
    await place.images.delete_job(JOB)
    assert await place.keys() == set()
