"""From pictures to cards: shuffled by chance, encoded alike, stored, and opened as a review.

Nothing is visible before the last step, which is one transaction: a review that was killed on the way has no row, so
nobody can open it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

from onbrand.errors import ImageStoreUnavailable
from onbrand.reviews.card_png import encode_card
from onbrand.reviews.models import BASES, ORIGINALS, SAMPLES, Aside, AsideKind, Card, Kind
from onbrand.reviews.pictures import CardStore

logger = logging.getLogger(__name__)
_OF_EACH = {Kind.PACK: SAMPLES, Kind.ORIGINAL: ORIGINALS, Kind.BASE: BASES}


@dataclass(frozen=True)
class Beside:
    """What a picture of the pack is compared with after the verdict: a PNG, and the rendition of its tile."""

    kind: AsideKind
    png: bytes
    tile: bytes
    source: str | None = None  # of a training picture: its name
    is_flagged: bool = False
    is_mirrored: bool = False


@dataclass(frozen=True)
class Face:
    """A picture before it is dealt. `rgb` are its 1024×1024 pixels, three bytes each."""

    kind: Kind
    prompt: str  # of an original: its caption
    seed: int | None
    source: str | None
    rgb: bytes
    asides: tuple[Beside, ...] = ()  # only of a picture of the pack


async def deal(store: CardStore, review_id: UUID, faces: Sequence[Face], chance: Random) -> list[Card]:
    """Shuffle the pictures, store each under its new place, and return the cards with the key.

    Raises:
        ImageStoreUnavailable: the store did not take a picture. What was stored is deleted again if that is possible.
    """
    assert Counter(face.kind for face in faces) == _OF_EACH
    assert all(face.kind is Kind.PACK or not face.asides for face in faces)
    order = list(faces)
    chance.shuffle(order)
    cards: list[Card] = []
    try:
        for n, face in enumerate(order, start=1):
            sha256 = await store.put(review_id, n, encode_card(face.rgb))
            cards.append(Card(n, face.kind, face.prompt, face.seed, face.source, sha256))
        # After all cards: if they were stored between them, the time of a card would tell whether it has any.
        return [
            replace(card, asides=await _store_asides(store, review_id, card.n, face.asides))
            for card, face in zip(cards, order, strict=True)
        ]
    except ImageStoreUnavailable:
        await discard(store, review_id)
        raise


async def _store_asides(store: CardStore, review_id: UUID, n: int, asides: Sequence[Beside]) -> tuple[Aside, ...]:
    stored = []
    for place, one in enumerate(asides, start=1):
        png, tile = await store.put_aside(review_id, n, place, one.png, one.tile)
        stored.append(Aside(place, one.kind, one.source, one.is_flagged, one.is_mirrored, png, tile))
    return tuple(stored)


async def discard(store: CardStore, review_id: UUID) -> None:
    """Delete the pictures of a review that is not going to be opened, as far as the store answers."""
    try:
        await store.discard(review_id)
    except ImageStoreUnavailable:
        logger.warning("Pictures of a review that was not opened are left", extra={"action": "store_lost"})
