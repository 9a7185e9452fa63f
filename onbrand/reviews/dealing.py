"""From pictures to cards: shuffled by chance, encoded alike, stored, and opened as a review.

Nothing is visible before the last step, which is one transaction: a review that was killed on the way has no row, so
nobody can open it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

from onbrand.errors import ImageStoreUnavailable
from onbrand.reviews.card_png import encode_card
from onbrand.reviews.models import BASES, CARDS, ORIGINALS, SAMPLES, Card, Kind
from onbrand.reviews.pictures import CardStore

logger = logging.getLogger(__name__)
_OF_EACH = {Kind.PACK: SAMPLES, Kind.ORIGINAL: ORIGINALS, Kind.BASE: BASES}


@dataclass(frozen=True)
class Face:
    """A picture before it is dealt. `rgb` are its 1024×1024 pixels, three bytes each."""

    kind: Kind
    prompt: str  # of an original: its caption
    seed: int | None
    source: str | None
    rgb: bytes


async def deal(store: CardStore, review_id: UUID, faces: Sequence[Face], chance: Random) -> list[Card]:
    """Shuffle the pictures, store each under its new place, and return the cards with the key.

    Raises:
        ImageStoreUnavailable: the store did not take a picture. What was stored is deleted again if that is possible.
    """
    assert Counter(face.kind for face in faces) == _OF_EACH
    order = list(faces)
    chance.shuffle(order)
    cards: list[Card] = []
    try:
        for n, face in enumerate(order, start=1):
            sha256 = await store.put(review_id, n, encode_card(face.rgb))
            cards.append(Card(n, face.kind, face.prompt, face.seed, face.source, sha256))
    except ImageStoreUnavailable:
        await discard(store, review_id)
        raise
    return cards


async def discard(store: CardStore, review_id: UUID) -> None:
    """Delete the pictures of a review that is not going to be opened, as far as the store answers."""
    try:
        await store.discard(review_id, range(1, CARDS + 1))
    except ImageStoreUnavailable:
        logger.warning("Pictures of a review that was not opened are left", extra={"action": "store_lost"})
