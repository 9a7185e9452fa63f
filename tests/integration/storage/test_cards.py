"""The pictures of reviews in Azure Blob Storage (Azurite)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest

from onbrand.errors import AsideDamaged, CardDamaged, ImageStoreUnavailable
from onbrand.images.png import decode
from onbrand.reviews.dealing import deal
from onbrand.reviews.pictures import CardStore
from tests.integration.storage.places import Place
from tests.reviews import faces


async def test_cards_are_stored_read_compared_and_swept(azure: Place) -> None:
    store, review_id = CardStore(azure.objects), uuid4()
    cards = await deal(store, review_id, faces(), Random(1))
    await store.verify(review_id, cards)
    rgb = {face.prompt: face.rgb for face in faces()}
    assert decode(await store.get(review_id, cards[3])).tobytes() == rgb[cards[3].prompt]
    with pytest.raises(CardDamaged):
        await store.get(review_id, replace(cards[3], sha256="0" * 64))
    with pytest.raises(ImageStoreUnavailable):
        await store.put(review_id, 1, b"another picture")  # what is stored is never replaced
    card = next(card for card in cards if card.asides)
    aside, given = card.asides[1], next(face for face in faces() if face.prompt == card.prompt).asides[1]
    assert await store.get_aside(review_id, card.n, aside, is_tile=False) == given.png
    assert await store.get_aside(review_id, card.n, aside, is_tile=True) == given.tile
    with pytest.raises(AsideDamaged):
        await store.get_aside(review_id, card.n, replace(aside, tile_sha256="0" * 64), is_tile=True)
    assert await store.sweep({review_id}, timedelta(seconds=-60)) == 0
    assert await store.sweep(set(), timedelta(seconds=-60)) == 16 + 10 * 3 * 2
    with pytest.raises(CardDamaged):
        await store.get(review_id, cards[3])
