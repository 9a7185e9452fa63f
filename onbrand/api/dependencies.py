"""FastAPI dependencies of the routes: the services of this process, the signed-in person, and checked identifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, TypedDict
from uuid import UUID

from fastapi import Depends, Header, Path, Request
from pydantic import WithJsonSchema

from onbrand.api.metrics import Metrics
from onbrand.api.rates import VISITORS, Rates, visitor
from onbrand.api.readiness import ReadinessLook
from onbrand.api.watching import JobWatch
from onbrand.config import Settings
from onbrand.database.pool import Database
from onbrand.errors import IdempotencyKeyInvalid, JobNotFound, NotFound, ProblemError, ReviewNotFound
from onbrand.identity.tokens import Identity, TokenVerifier, bearer_token
from onbrand.images.store import ImageStore
from onbrand.packs.pictures import StylePictures
from onbrand.reviews.pictures import CardStore

OWNER = "owner"  # key in the scope's state: whose valid token the request has shown
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_IMAGE_NUMBER = re.compile(r"[1-4]")
_CARD_NUMBER = re.compile(r"[1-9]|1[0-6]")
_ASIDE_PLACE = re.compile(r"[1-3]")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class Services:
    """What one process of the API keeps while it runs."""

    settings: Settings
    database: Database
    images: ImageStore
    cards: CardStore
    verifier: TokenVerifier
    metrics: Metrics
    watch: JobWatch
    people: Rates  # how many requests each may make
    visitors: Rates
    answers: Rates
    readiness: ReadinessLook
    style_pictures: StylePictures


class State(TypedDict):
    """The state that the lifespan yields. Starlette puts it into each request."""

    services: Services


def services(request: Request) -> Services:
    """The services of this process."""
    found = request.state.services
    assert isinstance(found, Services)
    return found


def signed_in(request: Request, services: Annotated[Services, Depends(services)]) -> Identity:
    """Who calls. It is a plain function so that FastAPI runs it in a thread, because it may fetch the signing keys.

    Raises:
        TokenMissing, TokenInvalid, TokenExpired, ClientNotAllowed, AppOnlyToken, ScopeMissing, KeysUnavailable
        TooManyRequests: this person, or who has no valid token, makes too many.
    """
    try:
        identity = services.verifier.verify(bearer_token(request.headers.getlist("authorization")))
    except ProblemError:
        services.visitors.admit(visitor(request.scope), VISITORS)
        raise
    setattr(request.state, OWNER, identity.owner)
    services.people.admit(identity.owner)
    return identity


def member(identity: Annotated[Identity, Depends(signed_in)]) -> Identity:
    """Who calls, if that person may generate.

    Raises:
        AccessRevoked, NotInGroup, GroupClaimMissing, GroupOverage, GuestRefused: this person may not.
        Also what `signed_in` raises.
    """
    identity.require_member()
    return identity


def reviewer(identity: Annotated[Identity, Depends(signed_in)]) -> Identity:
    """Who calls, if that person may review styles.

    Raises:
        NotReviewer: this person does not hold the reviewer role.
        Also what `member` raises.
    """
    identity.require_reviewer()
    return identity


def _job_id(
    _identity: Annotated[Identity, Depends(member)],
    job_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    # UUID() also takes upper case, braces and the prefix urn:. With one form, a job has one address in caches and logs.
    if not _UUID.fullmatch(job_id):
        raise JobNotFound
    return UUID(job_id)


def _image_number(
    _identity: Annotated[Identity, Depends(member)],
    n: Annotated[str, Path(description="1 to 4", json_schema_extra={"enum": ["1", "2", "3", "4"]})],
) -> int:
    # int() also takes "01", "+1", " 1" and digits of other scripts.
    if not _IMAGE_NUMBER.fullmatch(n):
        raise NotFound
    return int(n)


def _review_id(
    _identity: Annotated[Identity, Depends(reviewer)],
    review_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    if not _UUID.fullmatch(review_id):
        raise ReviewNotFound
    return UUID(review_id)


def _card_number(
    _identity: Annotated[Identity, Depends(reviewer)],
    n: Annotated[str, Path(description="1 to 16", json_schema_extra={"enum": [str(n) for n in range(1, 17)]})],
) -> int:
    if not _CARD_NUMBER.fullmatch(n):
        raise NotFound
    return int(n)


def _aside_place(
    _identity: Annotated[Identity, Depends(reviewer)],
    place: Annotated[str, Path(description="1 to 3", json_schema_extra={"enum": ["1", "2", "3"]})],
) -> int:
    if not _ASIDE_PLACE.fullmatch(place):
        raise NotFound
    return int(place)


def _idempotency_key(
    _identity: Annotated[Identity, Depends(member)],
    request: Request,
    idempotency_key: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "pattern": f"^{_IDEMPOTENCY_KEY.pattern}$"}),
        Header(description="1–128 visible ASCII characters"),
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    if len(request.headers.getlist("idempotency-key")) > 1 or not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise IdempotencyKeyInvalid
    return idempotency_key


SignedIn = Annotated[Identity, Depends(signed_in)]
Member = Annotated[Identity, Depends(member)]
Reviewer = Annotated[Identity, Depends(reviewer)]
ServicesOfProcess = Annotated[Services, Depends(services)]
JobId = Annotated[UUID, Depends(_job_id)]
ImageNumber = Annotated[int, Depends(_image_number)]
ReviewId = Annotated[UUID, Depends(_review_id)]
CardNumber = Annotated[int, Depends(_card_number)]
AsidePlace = Annotated[int, Depends(_aside_place)]
IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
