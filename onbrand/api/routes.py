"""The routes of the API. Each route opens its own transactions, so they are committed before it answers."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from onbrand.api.body import read_json
from onbrand.api.dependencies import IdempotencyKey, ImageNumber, JobId, Member, Services, ServicesOfProcess, SignedIn
from onbrand.api.image_answers import answer_png, answer_rendition
from onbrand.api.problems import documented
from onbrand.api.schemas import (
    AnswerRequest,
    GenerateAccepted,
    GenerateRequest,
    JobView,
    Me,
    Question,
    present,
    present_budget,
    present_refusal,
    present_style,
    present_taken_back,
    present_usual,
)
from onbrand.budget import governor, ledger
from onbrand.budget.plan import Plan
from onbrand.database.pool import Connection
from onbrand.errors import DatabaseUnavailable, ImageNotReady
from onbrand.identity.tokens import LEEWAY_SECONDS, Identity
from onbrand.jobs import eta, prompt, service, usage, workers
from onbrand.jobs.limits import Limits
from onbrand.jobs.models import Status
from onbrand.packs import promotion

logger = logging.getLogger(__name__)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented errors of a route that needs a token: these statuses, 401, 403, and those of any request."""
    return documented(401, 403, *statuses)


def _body(shape: str) -> dict[str, Any]:
    """The documented body of a route that calls `read_json`."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}}
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter()


@router.post(
    "/generate",
    status_code=202,
    response_model=GenerateAccepted,
    responses=problems(409, 413, 415, 422, 429),
    openapi_extra=_body("GenerateRequest"),
)
async def generate(
    identity: Member, key: IdempotencyKey, services: ServicesOfProcess, request: Request, response: Response
) -> GenerateAccepted:
    """Ask for four illustrations. 202 means that the job is stored and will be drawn."""
    body = await read_json(request, GenerateRequest)
    text = prompt.normalise(body.prompt)
    plan = Plan.of(services.settings)
    admit = None if plan is None else partial(governor.admit, plan=plan)
    async with services.database.transaction() as connection:
        submitted = await service.submit(
            connection, identity.owner, text, idempotency_key=key, limits=Limits.of(services.settings), admit=admit
        )
        if plan is not None:
            await ledger.want(connection, plan)
        job_id = submitted.job_id
        job = await service.find(connection, identity.owner, job_id)
        outlook = await eta.outlook(connection, job)
        if submitted.is_new:
            await eta.remember(connection, job_id, outlook.eta_seconds)
    if submitted.is_new:
        logger.info(
            "A job was accepted",
            extra={
                "action": "submit_job",
                "job_id": str(job_id),
                "user_id": str(identity.owner.user_id),
                "characters": len(text),
            },
        )
    response.headers["Location"] = f"/jobs/{job_id}"
    return GenerateAccepted(job_id=job_id, estimated_seconds=outlook.eta_seconds, prompt_truncated=job.prompt_truncated)


@router.get("/jobs/{job_id}", responses=problems(404, 410))
async def get_job(identity: Member, job_id: JobId, services: ServicesOfProcess) -> JobView:
    """The job as it is now. A client may simply poll this address."""
    return await _view(services, identity, job_id)


async def _first_view(identity: Member, job_id: JobId, services: ServicesOfProcess) -> JobView:
    # A dependency runs before the stream begins, so an unknown job is a 404 and not a broken stream.
    return await services.watch.first_view(identity.owner, job_id)


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=problems(404, 410))
async def get_job_events(
    identity: Member,
    job_id: JobId,
    view: Annotated[JobView, Depends(_first_view)],
    services: ServicesOfProcess,
) -> AsyncIterator[ServerSentEvent]:
    """The job each time it changes, until it has ended.

    The stream also ends when the token expires, and if the database does not answer: connect again, or poll.
    """
    seconds = identity.expires_at + LEEWAY_SECONDS - time.time()
    async with aclosing(services.watch.follow(identity.owner, job_id, view, seconds)) as changes:
        async for text in changes:
            yield ServerSentEvent(event="job", raw_data=text)


@router.get(
    "/jobs/{job_id}/images/{n}",
    response_class=Response,
    responses=problems(404, 409, 410, 422)
    | {
        200: {"description": "The PNG, or its rendition", "content": {"image/png": {}, "image/webp": {}}},
        304: {"description": "Unchanged"},
    },
)
async def get_image(
    identity: Member,
    job_id: JobId,
    n: ImageNumber,
    services: ServicesOfProcess,
    request: Request,
    download: Annotated[
        str | None, Query(description="1: the browser saves the PNG instead of showing it; `size` is ignored")
    ] = None,
    size: Annotated[
        Literal["512"] | None,
        Query(description="512: a WebP of 512 × 512 pixels for tiles; the PNG if there is none"),
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Image `n` of a complete job. Its checksum is compared before the first byte is sent."""
    async with services.database.transaction() as connection:
        job = await service.find(connection, identity.owner, job_id)
        image = await service.find_image(connection, job_id, n)
    if image is None:
        raise ImageNotReady
    is_download = download == "1"
    if size is not None and not is_download:
        return await answer_rendition(services.images, job, image, if_none_match=if_none_match)
    response = await answer_png(services.images, job, image, if_none_match=if_none_match, is_download=is_download)
    if is_download and request.method == "GET":
        await _note(services, partial(usage.note_saved, job_id=job_id))
    return response


router.add_api_route("/jobs/{job_id}/images/{n}", get_image, methods=["HEAD"], include_in_schema=False)


@router.delete("/jobs/{job_id}", responses=problems(404, 410))
async def cancel_job(identity: Member, job_id: JobId, services: ServicesOfProcess) -> JobView:
    """Stop a job. A job that has ended stays as it is, so a client may repeat this."""
    async with services.database.transaction() as connection:
        job = await service.cancel(
            connection, identity.owner, job_id, retention_hours=services.settings.retention_hours
        )
        return present(job, await eta.outlook(connection, job))


@router.put("/jobs/{job_id}/saved", status_code=204, responses=problems(404, 409, 410))
async def note_saved(identity: Member, job_id: JobId, services: ServicesOfProcess) -> None:
    """The person saved an image that the page had already loaded. This is only counted."""
    async with services.database.transaction() as connection:
        job = await service.find(connection, identity.owner, job_id)
        if job.status is not Status.COMPLETE:
            raise ImageNotReady
        await usage.note_saved(connection, job_id)


@router.post("/jobs/{job_id}/question", responses=problems(404, 410, 422))
async def ask_question(
    identity: Member,
    job_id: JobId,
    services: ServicesOfProcess,
    instead_of: Annotated[UUID | None, Query(description="a job they were asked about and have not answered")] = None,
) -> Question:
    """Whether the page should ask this person now if the job was useful: at most once in 14 days."""
    async with services.database.transaction() as connection:
        job = await service.find(connection, identity.owner, job_id)
        return Question(ask=await usage.ask(connection, job, instead_of=instead_of))


@router.put(
    "/jobs/{job_id}/answer",
    status_code=204,
    responses=problems(404, 409, 410, 413, 415, 422),
    openapi_extra=_body("AnswerRequest"),
)
async def answer_question(identity: Member, job_id: JobId, services: ServicesOfProcess, request: Request) -> None:
    """The person's answer to the question whether this job was useful. A later answer replaces an earlier one."""
    services.answers.admit(identity.owner)
    body = await read_json(request, AnswerRequest)
    async with services.database.transaction() as connection:
        job = await service.find(connection, identity.owner, job_id)
        await usage.answer(connection, job, useful=body.useful, comment=body.comment)


@router.post("/warm", status_code=204, responses=problems())
async def warm(identity: Member, services: ServicesOfProcess) -> None:
    """Somebody will generate soon: start a GPU now if none is running and the budget has room for it.

    The page calls this at the sign-in and when somebody types. Without a budget nothing is started early.
    """
    if (plan := Plan.of(services.settings)) is None:
        return
    async with services.database.transaction() as connection:
        seconds = await governor.warm(connection, plan)
    logger.info(
        "A GPU is kept for %d seconds, because somebody may generate",
        seconds,
        extra={"action": "warm", "user_id": str(identity.owner.user_id)},
    )


@router.get("/me", responses=problems())
async def me(identity: SignedIn, services: ServicesOfProcess) -> Me:
    """Who is signed in, whether they may generate, the reason if not, and the live style."""
    async with services.database.transaction() as connection:
        style = await workers.live_style(connection) if identity.refusal is None else None
        is_ready = identity.refusal is None and await workers.ready_workers(connection) > 0
        usual = await eta.usual_drawing(connection) if identity.refusal is None else None
        taken = await promotion.taken_back(connection) if identity.refusal is None else None
        plan = Plan.of(services.settings) if identity.refusal is None else None
        budget = None if plan is None else await governor.standing(connection, plan)
        is_new_today = identity.refusal is None and not await usage.has_signed_in_today(connection, identity.owner)
    if is_new_today:
        await _note(services, partial(usage.note_sign_in, owner=identity.owner))
    return Me(
        name=identity.name,
        username=identity.username,
        may_generate=identity.refusal is None,
        refusal=present_refusal(identity.refusal),
        style=present_style(style),
        is_ready=is_ready,
        usual_seconds=present_usual(usual),
        may_review=identity.refusal is None and identity.is_reviewer,
        taken_back=present_taken_back(taken),
        budget=present_budget(budget),
    )


async def _note(services: Services, note: Callable[[Connection], Awaitable[None]]) -> None:
    """Count something. If the database takes no changes, the request is answered all the same."""
    with suppress(DatabaseUnavailable):
        async with services.database.transaction() as connection:
            await note(connection)


async def _view(services: Services, identity: Identity, job_id: Any) -> JobView:
    async with services.database.transaction() as connection:
        job = await service.find(connection, identity.owner, job_id)
        return present(job, await eta.outlook(connection, job))
