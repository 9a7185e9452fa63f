"""The pictures of reviews in the object store, under `reviews/{review id}/{n}.png`.

The number is the card's place after the shuffle, and the pictures are stored in that order, so neither name nor time
says what is on them. They are kept: they are what a verdict was about.
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
from onbrand.errors import CardDamaged, ImageStoreUnavailable
from onbrand.reviews.models import Card
from onbrand.storage.failures import ContainerMissing, ObjectExists, ObjectMissing, StoreFailed
from onbrand.storage.object_store import ObjectStore, open_storage

FOLDER = "reviews"
_PICTURE = re.compile(rf"{FOLDER}/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})/[0-9]{{1,2}}\.png(?:#[0-9]+)?")
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
        key = _key(review_id, n)
        async with _bounded(_WRITE_SECONDS):
            await self._objects.put(key, png, is_new=True)
            await self._objects.make_durable(key)
        return hashlib.sha256(png).hexdigest()

    async def get(self, review_id: UUID, card: Card) -> bytes:
        """The picture of a card, compared with its checksum.

        Raises:
            CardDamaged: it is missing or altered.
            ImageStoreUnavailable: no answer in time.
        """
        try:
            async with self._gate, _bounded(_READ_SECONDS):
                png = await self._objects.get(_key(review_id, card.n))
        except ObjectMissing:
            raise CardDamaged from None
        if hashlib.sha256(png).hexdigest() != card.sha256:
            raise CardDamaged
        return png

    async def verify(self, review_id: UUID, cards: Sequence[Card]) -> None:
        """Read all pictures of a review and compare them with their checksums; errors as for `get`."""

        await asyncio.gather(*(self.get(review_id, card) for card in cards))

    async def discard(self, review_id: UUID, numbers: Sequence[int]) -> None:
        """Delete the pictures of a review that was not opened after all. Missing ones are no error."""
        for n in numbers:
            try:
                async with _bounded(_WRITE_SECONDS):
                    await self._objects.delete([_key(review_id, n)])
            except ObjectMissing:
                continue

    async def sweep(self, opened: Collection[UUID], older_than: timedelta) -> int:
        """Delete the pictures of reviews that were never opened, because the command was killed; their number.

        `opened` are the reviews that have a row. Young pictures stay: somebody may be about to open their review.

        Raises:
            ImageStoreUnavailable: the store did not do it in time.
        """
        before, found = datetime.now(UTC) - older_than, []
        async with _bounded(_WRITE_SECONDS):
            async for batch in self._objects.batches(FOLDER):
                for one in batch:
                    match = _PICTURE.fullmatch(one.key)
                    if match is not None and UUID(match[1]) not in opened and one.modified < before:
                        found.append(one.key)
            for key in found:
                with suppress(ObjectMissing):
                    await self._objects.delete([key])
        return len(found)


def _key(review_id: UUID, n: int) -> str:
    return f"{FOLDER}/{review_id}/{n}.png"


@asynccontextmanager
async def _bounded(seconds: float) -> AsyncIterator[None]:
    """A bounded call to the store. `ObjectMissing` passes; any other error is an outage."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (StoreFailed, ContainerMissing, ObjectExists, TimeoutError):
        raise ImageStoreUnavailable(retry_after_seconds=_RETRY_AFTER_SECONDS) from None
