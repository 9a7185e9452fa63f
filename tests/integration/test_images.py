"""Images in the local store: whole or not at all, never replaced, and never given out damaged."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from onbrand.errors import DataDirUnwritable, ImageCorrupt, StoreUnavailable
from onbrand.images import ImageStore
from onbrand.job import StoredImage, image_key

PNG = b"\x89PNG" + os.urandom(100_000)
JOB = uuid4()


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore.on_disk(tmp_path / "images")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where image 2 of the first attempt lies."""
    return tmp_path / "images" / image_key(JOB, 1, 2)


async def test_what_is_stored_is_found_again_under_its_key(images: ImageStore, path: Path) -> None:
    stored = await images.put(JOB, 1, 2, PNG)
    assert stored == StoredImage(2, hashlib.sha256(PNG).hexdigest(), len(PNG))
    assert path.read_bytes() == PNG
    assert await images.get(JOB, 1, stored) == PNG


async def test_storing_the_same_bytes_again_is_no_error(images: ImageStore) -> None:
    assert await images.put(JOB, 1, 2, PNG) == await images.put(JOB, 1, 2, PNG)


async def test_other_bytes_never_replace_an_image(images: ImageStore, path: Path) -> None:
    await images.put(JOB, 1, 2, PNG)
    with pytest.raises(ImageCorrupt):
        await images.put(JOB, 1, 2, PNG[::-1])
    assert path.read_bytes() == PNG


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(PNG[:-1]),
        lambda path: path.write_bytes(PNG + b"\0"),
        lambda path: path.write_bytes(PNG[:500] + bytes([PNG[500] ^ 1]) + PNG[501:]),
    ],
    ids=["missing", "empty", "cut", "longer", "one bit"],
)
async def test_a_damaged_image_is_never_given_out(
    images: ImageStore, path: Path, damage: Callable[[Path], object]
) -> None:
    stored = await images.put(JOB, 1, 2, PNG)
    damage(path)
    with pytest.raises(ImageCorrupt):
        await images.get(JOB, 1, stored)


async def test_a_reader_sees_a_whole_file_or_none_while_it_is_written(images: ImageStore, path: Path) -> None:
    png = os.urandom(20_000_000)
    sizes = set()
    writing = asyncio.create_task(images.put(JOB, 1, 2, png))
    while not writing.done():
        sizes.add(path.stat().st_size if path.exists() else None)
        await asyncio.sleep(0)
    await writing
    assert sizes <= {None, len(png)}
    assert None in sizes  # it was looked at in time


async def test_discarding_removes_one_attempt_and_may_be_repeated(images: ImageStore, tmp_path: Path) -> None:
    for attempt in (1, 2):
        for n in (1, 2, 3):
            await images.put(JOB, attempt, n, PNG)
    for _ in range(2):
        await images.discard(JOB, 1)
    left = [file for file in (tmp_path / "images").rglob("*") if file.is_file()]
    assert sorted(left) == [tmp_path / "images" / image_key(JOB, 2, n) for n in (1, 2, 3)]


async def test_a_store_that_cannot_be_written_is_unavailable(images: ImageStore, tmp_path: Path) -> None:
    (tmp_path / "images" / "jobs").write_text("in the way")
    with pytest.raises(StoreUnavailable):
        await images.put(JOB, 1, 2, PNG)


def test_a_directory_that_cannot_be_made_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataDirUnwritable, match="Point ONBRAND_DATA_DIR to a folder that you may write"):
        ImageStore.on_disk(tmp_path / "file" / "images")
