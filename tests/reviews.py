"""Reviews without a model: sixteen stored cards, and answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import register
from onbrand.reviews import records
from onbrand.reviews.dealing import Beside, Face
from onbrand.reviews.models import (
    BASES,
    ORIGINALS,
    SAMPLES,
    Answer,
    Aside,
    AsideKind,
    Card,
    CardAnswer,
    Kind,
    Reason,
)
from onbrand.reviews.pictures import CardStore

KINDS = [Kind.PACK] * SAMPLES + [Kind.ORIGINAL] * ORIGINALS + [Kind.BASE] * BASES
THINGS = (
    *("a backpack", "a camera", "a cup of coffee", "headphones", "a laptop", "an umbrella", "a rocket", "a teapot"),
    *("shopping bags", "a burger", "a key", "a mug", "a suitcase", "an alarm clock", "a gift", "a doughnut"),
)
AS_IS, SMALL_FIX, NO = (CardAnswer(answer) for answer in Answer)
COPY = CardAnswer(Answer.NO, frozenset({Reason.COPY}))


def card_bytes(n: int) -> bytes:
    """Bytes of a stored card; the service hands them on as they are."""
    return b"\x89PNG\r\n\x1a\n" + bytes([n]) * 3000


def aside_bytes(n: int, place: int, *, is_tile: bool) -> bytes:
    """Bytes of what card `n` is compared with."""
    return (b"RIFF" if is_tile else b"\x89PNG\r\n\x1a\n") + bytes([n, place]) * 300


def asides(n: int) -> tuple[Beside, ...]:
    """What a card is compared with: the bare base, and two training pictures of which the first is very near."""
    kinds = [AsideKind.BASE, AsideKind.TRAINING, AsideKind.TRAINING]
    return tuple(
        Beside(
            kind,
            aside_bytes(n, place, is_tile=False),
            aside_bytes(n, place, is_tile=True),
            source=None if kind is AsideKind.BASE else f"mug {place}.png",
            is_flagged=place == 2,
            is_mirrored=place == 2,
        )
        for place, kind in enumerate(kinds, start=1)
    )


def faces() -> list[Face]:
    """Sixteen pictures of one colour each, with what they are and what they are compared with."""
    return [
        Face(
            kind,
            prompt,
            None if kind is Kind.ORIGINAL else 100 + n,
            f"{n}.png" if kind is Kind.ORIGINAL else None,
            bytes([10 * n, 200 - 5 * n, 90]) * 1024 * 1024,
            asides=asides(n) if kind is Kind.PACK else (),
        )
        for n, (kind, prompt) in enumerate(zip(KINDS, THINGS, strict=True))
    ]


async def open_review(store: CardStore, database: Database, pack: BrandPack, *, seed: int = 1) -> UUID:
    """A review of a pack, with small cards in an order that follows from the seed."""
    review_id, order = uuid4(), list(zip(KINDS, THINGS, strict=True))
    Random(seed).shuffle(order)
    cards = []
    for n, (kind, prompt) in enumerate(order, start=1):
        is_original = kind is Kind.ORIGINAL
        sha256 = await store.put(review_id, n, card_bytes(n))
        kept = [
            Aside(
                *(place, one.kind, one.source, one.is_flagged, one.is_mirrored),
                *await store.put_aside(review_id, n, place, one.png, one.tile),
            )
            for place, one in enumerate(asides(n) if kind is Kind.PACK else (), start=1)
        ]
        source = f"{n}.png" if is_original else None
        cards.append(Card(n, kind, prompt, None if is_original else n, source, sha256, tuple(kept)))
    async with database.transaction() as connection:
        await register(connection, pack.id, pack.manifest, by="test")
        await records.open_review(connection, review_id, pack.id, "test", cards)
    return review_id


def answers(
    cards: Sequence[Card],
    *,
    pack: Sequence[CardAnswer] = (AS_IS,) * SAMPLES,
    originals: Sequence[CardAnswer] = (AS_IS,) * ORIGINALS,
    bases: Sequence[CardAnswer] = (NO,) * BASES,
) -> list[CardAnswer]:
    """Answers in the order of the cards. By default the reviewer knows the brand and likes everything of it."""
    given = {Kind.PACK: iter(pack), Kind.ORIGINAL: iter(originals), Kind.BASE: iter(bases)}
    return [next(given[card.kind]) for card in cards]


def as_body(given: Sequence[CardAnswer]) -> dict[str, object]:
    """The same, as the page sends it."""
    return {"answers": [{"answer": one.answer, "reasons": sorted(one.reasons)} for one in given]}
