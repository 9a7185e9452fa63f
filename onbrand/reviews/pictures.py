"""The pictures of reviews in the object store.

Cards are under `reviews/{review id}/{n}.png`. The number is the card's place after the shuffle, and the pictures are
stored in that order, so neither name nor time says what is on them. What a card is compared with after the verdict is
under `reviews/{review id}/asides/{n}-{place}`, as a PNG and as the rendition of its tile (`.webp`). All are kept: they
are what a verdict was about.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from onbrand.config import Settings
from onbrand.errors import AsideDamaged, CardDamaged, ImageStoreUnavailable
from onbrand.reviews.models import Aside, Card
from onbrand.storage.failures import ContainerMissing, ObjectExists, ObjectMissing, StoreFailed
from onbrand.storage.object_store import Listed, ObjectStore, open_storage

FOLDER = "reviews"
_REVIEW = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_NAME = r"(?:[0-9]{1,2}\.png|asides/[0-9]{1,2}-[0-9]\.(?:png|webp))"
_PICTURE = re.compile(rf"{FOLDER}/{_REVIEW}/{_NAME}(?:#[0-9]+)?")
_READ_SECONDS = 2.0  # the API must have answered after three
_WRITE_SECONDS = 60.0
_AT_ONCE = 4  # pictures in memory, 3 MB each
_RETRY_AFTER_SECONDS = 5


class CardStore:
    """The pictures of all reviews in one object store. All waiting is bounded."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._gate = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def open(cls, settings: Settings) -> CardStore:
        """The store that the settings name. It is not asked anything yet.

        Raises:
            DataDirUnwritable: it is a folder and cannot be made.
        """
        return cls(open_storage(settings.storage))

    async def put(self, review_id: UUID, n: int, png: bytes) -> str:
        """Store the picture of a card, durably; its SHA-256.

        Raises:
            ImageStoreUnavailable: the store did not take it in time.
        """
        return await self._put(_key(review_id, n), png)

    async def put_aside(self, review_id: UUID, n: int, place: int, png: bytes, tile: bytes) -> tuple[str, str]:
        """Store a picture that card `n` is compared with, and its rendition; their SHA-256, and errors as for `put`."""
        key = _aside_key(review_id, n, place)
        return await self._put(f"{key}.png", png), await self._put(f"{key}.webp", tile)

    async def get(self, review_id: UUID, card: Card) -> bytes:
        """The picture of a card, compared with its checksum.

        Raises:
            CardDamaged: it is missing or altered.
            ImageStoreUnavailable: no answer in time.
        """
        png = await self._get_whole(_key(review_id, card.n), card.sha256)
        if png is None:
            raise CardDamaged
        return png

    async def get_aside(self, review_id: UUID, n: int, aside: Aside, *, is_tile: bool) -> bytes:
        """A picture that card `n` is compared with, or its rendition, compared with its checksum.

        Raises:
            AsideDamaged: it is missing or altered.
            ImageStoreUnavailable: no answer in time.
        """
        key = _aside_key(review_id, n, aside.place)
        ending, sha256 = (".webp", aside.tile_sha256) if is_tile else (".png", aside.sha256)
        picture = await self._get_whole(key + ending, sha256)
        if picture is None:
            raise AsideDamaged
        return picture

    async def verify(self, review_id: UUID, cards: Sequence[Card]) -> None:
        """Read all cards of a review and compare them with their checksums; errors as for `get`."""

        await asyncio.gather(*(self.get(review_id, card) for card in cards))

    async def discard(self, review_id: UUID) -> None:
        """Delete all pictures of a review that was not opened after all.

        Raises:
            ImageStoreUnavailable: the store did not do it in time.
        """
        async with _bounded(_WRITE_SECONDS):
            await self._delete([one.key async for one in self._listed(f"{FOLDER}/{review_id}")])

    async def sweep(self, opened: Collection[UUID], older_than: timedelta) -> int:
        """Delete the pictures of reviews that were never opened, because the command was killed; their number.

        `opened` are the reviews that have a row. Young pictures stay: somebody may be about to open their review.

        Raises:
            ImageStoreUnavailable: the store did not do it in time.
        """
        before, found = datetime.now(UTC) - older_than, []
        async with _bounded(_WRITE_SECONDS):
            async for one in self._listed(FOLDER):
                match = _PICTURE.fullmatch(one.key)
                if match is not None and UUID(match[1]) not in opened and one.modified < before:
                    found.append(one.key)
            await self._delete(found)
        return len(found)

    async def _put(self, key: str, content: bytes) -> str:
        async with _bounded(_WRITE_SECONDS):
            await self._objects.put(key, content, is_new=True)
            await self._objects.make_durable(key)
        return hashlib.sha256(content).hexdigest()

    async def _get_whole(self, key: str, sha256: str) -> bytes | None:
        """A picture; None if it is missing or altered."""
        try:
            async with self._gate, _bounded(_READ_SECONDS):
                picture = await self._objects.get(key)
        except ObjectMissing:
            return None
        return picture if hashlib.sha256(picture).hexdigest() == sha256 else None

    async def _listed(self, prefix: str) -> AsyncIterator[Listed]:
        async for batch in self._objects.batches(prefix):
            for one in batch:
                yield one

    async def _delete(self, keys: Sequence[str]) -> None:
        for key in sorted(keys, reverse=True):  # `asides` before the cards, so that no empty folder is left
            with suppress(ObjectMissing):  # somebody else deletes the same
                await self._objects.delete([key])


def _key(review_id: UUID, n: int) -> str:
    return f"{FOLDER}/{review_id}/{n}.png"


def _aside_key(review_id: UUID, n: int, place: int) -> str:
    return f"{FOLDER}/{review_id}/asides/{n}-{place}"


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """A bounded call to the store. `ObjectMissing` passes; any other error is an outage."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (StoreFailed, ContainerMissing, ObjectExists, TimeoutError):
        raise ImageStoreUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from None
