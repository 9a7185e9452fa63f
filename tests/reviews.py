"""Reviews without a model: sixteen stored cards, and answers to them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid4

from onbrand.database.pool import Database
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import register
from onbrand.reviews import records
from onbrand.reviews.dealing import Face
from onbrand.reviews.models import BASES, ORIGINALS, SAMPLES, Answer, Card, CardAnswer, Kind, Reason
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


def faces() -> list[Face]:
    """Sixteen pictures of one colour each, with what they are."""
    return [
        Face(
            kind,
            prompt,
            None if kind is Kind.ORIGINAL else 100 + n,
            f"{n}.png" if kind is Kind.ORIGINAL else None,
            bytes([10 * n, 200 - 5 * n, 90]) * 1024 * 1024,
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
        cards.append(Card(n, kind, prompt, None if is_original else n, f"{n}.png" if is_original else None, sha256))
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
