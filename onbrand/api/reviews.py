"""The routes of blind reviews, only for people who hold the reviewer role.

What is on a card, and what it is compared with, is in an answer only after the same person's verdict is stored. Before
it, nothing of a picture tells its origin either: address, tag and length follow from the card's place alone.
"""

from __future__ import annotations

import logging
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response

from onbrand.api.body import read_json
from onbrand.api.dependencies import AsidePlace, CardNumber, Reviewer, ReviewId, ServicesOfProcess
from onbrand.api.review_schemas import ReviewView, VerdictRequest, VerdictView, present_review, present_verdict
from onbrand.api.routes import problems
from onbrand.errors import AsideDamaged, CardDamaged, NotFound
from onbrand.packs.promotion import short
from onbrand.reviews import records
from onbrand.reviews.models import Review
from onbrand.reviews.records import Given

logger = logging.getLogger(__name__)
_VERDICT_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/VerdictRequest"}}},
    }
}

router = APIRouter()


@router.get("/reviews/{review_id}", responses=problems(404))
async def get_review(identity: Reviewer, review_id: ReviewId, services: ServicesOfProcess) -> ReviewView:
    """The rule, the sixteen cards without what they show and, once this person has answered, their verdict."""
    async with services.database.transaction() as connection:
        review = await records.find(connection, review_id)
        verdict = await records.verdict_of(connection, review_id, identity.owner)
    return present_review(review, verdict)


@router.get(
    "/reviews/{review_id}/cards/{n}",
    response_class=Response,
    responses=problems(404)
    | {200: {"description": "The PNG", "content": {"image/png": {}}}, 304: {"description": "Unchanged"}},
)
async def get_card(
    _identity: Reviewer,
    review_id: ReviewId,
    n: CardNumber,
    services: ServicesOfProcess,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The picture of card `n`. Its checksum is compared before the first byte is sent."""
    async with services.database.transaction() as connection:
        review = await records.find(connection, review_id)
    etag = (
        f'"{review_id}-{n}"'  # a card's picture never changes; the checksum itself would be one more thing to compare
    )
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    try:
        png = await services.cards.get(review_id, review.cards[n - 1])
    except CardDamaged:
        _log_damage(review_id)
        raise
    return Response(png, media_type="image/png", headers=headers)


@router.get(
    "/reviews/{review_id}/cards/{n}/asides/{place}",
    response_class=Response,
    responses=problems(404, 422)
    | {
        200: {"description": "The PNG, or its rendition", "content": {"image/png": {}, "image/webp": {}}},
        304: {"description": "Unchanged"},
    },
)
async def get_aside(
    identity: Reviewer,
    review_id: ReviewId,
    n: CardNumber,
    place: AsidePlace,
    services: ServicesOfProcess,
    size: Annotated[Literal["512"] | None, Query(description="512: a WebP of 512 × 512 pixels for tiles")] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """What card `n` is compared with. Before this person's verdict there is nothing, whatever the card shows."""
    async with services.database.transaction() as connection:
        review = await records.find(connection, review_id)
        verdict = await records.verdict_of(connection, review_id, identity.owner)
    asides = () if verdict is None else review.cards[n - 1].asides
    aside = next((one for one in asides if one.place == place), None)
    if aside is None:
        raise NotFound
    is_tile = size is not None
    etag = f'"{aside.tile_sha256 if is_tile else aside.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if if_none_match == etag:
        return Response(status_code=304, headers=headers)
    try:
        picture = await services.cards.get_aside(review_id, n, aside, is_tile=is_tile)
    except AsideDamaged:
        _log_damage(review_id)
        raise
    return Response(picture, media_type="image/webp" if is_tile else "image/png", headers=headers)


@router.put("/reviews/{review_id}/verdict", responses=problems(404, 409, 413, 415, 422), openapi_extra=_VERDICT_BODY)
async def give_verdict(
    identity: Reviewer, review_id: ReviewId, services: ServicesOfProcess, request: Request
) -> VerdictView:
    """Store all sixteen answers of this person, once, and what follows from them. The answer has the key."""
    body = await read_json(request, VerdictRequest)
    async with services.database.transaction() as connection:
        review = await records.find(connection, review_id)
        before = await records.verdict_of(connection, review_id, identity.owner)
    if before is None:
        try:
            await services.cards.verify(review_id, review.cards)
        except CardDamaged:
            _log_damage(review_id)
            raise
    async with services.database.transaction() as connection:
        answers = [answer.as_answer for answer in body.answers]
        given = await records.give_verdict(connection, review, identity.owner, identity.name, answers)
    if given.is_new:
        _log_verdict(review, given, str(identity.owner.user_id))
    return present_verdict(review, given.verdict)


def _log_verdict(review: Review, given: Given, user_id: str) -> None:
    about = {"review_id": str(review.id), "pack_id": review.pack_id, "user_id": user_id}
    logger.info(
        "A reviewer has answered: the brand pack %s is %s",
        short(review.pack_id),
        given.verdict.outcome,
        extra={"action": "review_verdict", "outcome": given.verdict.outcome, **about},
    )
    if given.moved is not None:
        logger.warning(
            "The brand pack %s was rejected while it was live; %s is live again",
            short(review.pack_id),
            short(given.moved.pack_id),
            extra={"action": "take_back", **about},
        )


def _log_damage(review_id: object) -> None:
    logger.error("A picture of a review is damaged", extra={"action": "card_damaged", "review_id": str(review_id)})
