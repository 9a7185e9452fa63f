"""The bodies of requests and answers. `jobs.models` says what the fields mean; `present` makes a `JobView` of a job."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from onbrand.budget.governor import Standing
from onbrand.errors import ProblemError, job_failure
from onbrand.jobs.eta import Outlook, UsualDrawing, round_seconds
from onbrand.jobs.models import IMAGES_PER_JOB, Job, Phase, Status
from onbrand.jobs.workers import LiveStyle
from onbrand.packs.promotion import TakenBack


class Body(BaseModel):
    """A request's body. Unknown fields are refused, and types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True)
    expected: ClassVar[str]  # one sentence for a client that sent another body


class GenerateRequest(Body):
    """What the person asks for. `onbrand.jobs.prompt.normalise` holds the rule for prompts."""

    expected = 'Send {"prompt": "…"} with a text and no other field.'
    prompt: str = Field(description="1–500 Unicode code points after normalisation", examples=["a red backpack"])


class GenerateAccepted(BaseModel):
    """The job is stored and will be drawn."""

    job_id: UUID
    estimated_seconds: int | None = Field(
        description="until the images can be fetched; null until a job has been measured"
    )
    prompt_truncated: bool | None = Field(
        description="whether the model's text encoders cut the prompt; null until they have read it (see the job)"
    )


class AnswerRequest(Body):
    """The person's answer to the question. `onbrand.jobs.usage.normalise_comment` holds the rule for comments."""

    expected = 'Send {"useful": true, false or null} and, if you like, "comment" with a text; no other field.'
    useful: bool | None = Field(description="false: not yet useful; null: the person closed the question")
    comment: str | None = Field(default=None, description="0–200 Unicode code points after normalisation")


class Question(BaseModel):
    """Whether the page should ask if the job was useful."""

    ask: bool


class ProgressView(BaseModel):
    """How far the job is. `percent` never falls within an attempt; 100 means that the four images can be fetched."""

    phase: Phase | None = Field(description="null once the job is complete or failed")
    step: int = Field(description="denoising steps done")
    steps: int = Field(description="denoising steps in all; 0 until known")
    percent: int = Field(ge=0, le=100)
    queue_position: int | None = Field(description="1 is next; null unless queued")
    eta_seconds: int | None = Field(description="until the images can be fetched; null while unknown")
    is_late: bool = Field(description="whether this job takes longer than nine in ten measured jobs")
    previews: list[str] = Field(
        description="the four images as they look now, as JPEG files in base64; empty while there are none"
    )


class JobError(BaseModel):
    """Why the job failed."""

    code: str
    title: str
    detail: str


class PackView(BaseModel):
    """The brand pack the job ran on."""

    id: str
    name: str
    version: str


class JobView(BaseModel):
    """A job, as its owner sees it."""

    id: UUID
    prompt: str
    prompt_truncated: bool | None
    prompt_ignored: int | None = Field(
        description="code points at the prompt's end that the model did not read; null until it has read the prompt"
    )
    status: Status
    created_at: datetime
    started_at: datetime | None = Field(description="when the latest attempt began; null before the first")
    completed_at: datetime | None
    expires_at: datetime | None = Field(description="when images and prompt are deleted; null until the job has ended")
    images: list[str] = Field(description="the images' addresses, relative to this service; empty until complete")
    user_id: UUID
    seeds: list[int] = Field(description="one for each of the four images, in their order")
    attempt: int = Field(description="how often drawing has begun; progress starts again at 0 with each attempt")
    progress: ProgressView
    error: JobError | None
    pack: PackView | None


class StyleView(BaseModel):
    """The live style: the brand pack that draws new jobs."""

    name: str
    version: str
    reviewed: bool
    examples: list[str] = Field(description="prompts that this style draws well")
    signed_by: str | None = Field(
        description="the designer who approved it or, if it isn't `reviewed`, rejected it; null if nobody did either"
    )
    signed_at: datetime | None


class BudgetView(BaseModel):
    """The month's budget, as far as everybody should know it: no amounts."""

    state: Literal["open", "low", "spent"] = Field(
        description="low: four fifths of the money for GPUs are spent; spent: nothing more is accepted"
    )
    percent: int = Field(ge=0, le=100, description="of the month's money for GPUs, what is spent")
    opens_at: datetime = Field(description="when the next month begins (UTC)")


class TakenBackView(BaseModel):
    """The style that a designer rejected while it was live. The style before it is live again."""

    name: str
    version: str
    by: str = Field(description="the designer")
    at: datetime


class UsualSeconds(BaseModel):
    """How long drawing takes. Half of the latest jobs were quicker than `typical`, nine in ten than `slow`."""

    typical: int
    slow: int


class Refusal(BaseModel):
    """Why a signed-in person may not generate."""

    code: str
    title: str
    detail: str


class Me(BaseModel):
    """Who is signed in, and whether they may generate."""

    name: str
    username: str
    may_generate: bool
    refusal: Refusal | None
    style: StyleView | None = Field(description="null until a worker has started")
    is_ready: bool = Field(description="whether a worker with a loaded model is running")
    usual_seconds: UsualSeconds | None = Field(description="null until a job has been measured")
    may_review: bool = Field(description="whether this person may review styles")
    budget: BudgetView | None = Field(description="null without a budget")
    taken_back: TakenBackView | None = Field(description="null unless the latest change of the style was a rejection")


class SignInConfig(BaseModel):
    """What MSAL needs to start."""

    kind: Literal["local", "entra"]
    client_id: UUID
    authority: str
    known_authorities: list[str]
    scope: str
    authority_metadata: str | None = Field(description="OpenID metadata as JSON text; only for the local sign-in")


class PageConfig(BaseModel):
    """What the page needs before anybody is signed in."""

    version: str
    sign_in: SignInConfig
    retention_hours: int


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether the service can accept jobs now."""

    ready: bool
    database: bool = Field(description="reachable and migrated")
    keys: bool = Field(description="the identity provider's signing keys are loaded")
    workers: int = Field(description="workers with a loaded model; `ready` does not depend on this number")


class Problem(BaseModel):
    """An RFC 9457 problem. `code` is stable across versions. The log names the same `request_id`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str


def present(job: Job, outlook: Outlook) -> JobView:
    """A job and its outlook (queue position, remaining seconds) as the API shows them."""
    unfinished = job.status in (Status.QUEUED, Status.PROCESSING)
    numbers = range(1, IMAGES_PER_JOB + 1) if job.status is Status.COMPLETE else ()
    return JobView(
        id=job.id,
        prompt=job.prompt,
        prompt_truncated=job.prompt_truncated,
        prompt_ignored=job.prompt_ignored,
        status=job.status,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        expires_at=job.expires_at,
        images=[f"/jobs/{job.id}/images/{n}" for n in numbers],
        user_id=job.owner.user_id,
        seeds=list(job.seeds),
        attempt=job.attempt,
        progress=ProgressView(
            phase=(outlook.phase or job.progress.phase) if unfinished else None,
            step=job.progress.step,
            steps=job.progress.steps,
            percent=job.percent,
            queue_position=outlook.queue_position,
            eta_seconds=outlook.eta_seconds,
            is_late=outlook.is_late,
            previews=[b64encode(preview).decode() for preview in outlook.previews],
        ),
        error=_present_error(job.error_code),
        pack=PackView(id=job.pack.id, name=job.pack.name, version=job.pack.version) if job.pack else None,
    )


def present_usual(usual: UsualDrawing | None) -> UsualSeconds | None:
    """How long drawing takes, in whole seconds."""
    return None if usual is None else UsualSeconds(typical=round_seconds(usual.typical), slow=round_seconds(usual.slow))


def present_refusal(refusal: ProblemError | None) -> Refusal | None:
    """Why somebody may not generate, or None."""
    return None if refusal is None else Refusal(code=refusal.code, title=refusal.title, detail=refusal.message)


def present_style(style: LiveStyle | None) -> StyleView | None:
    """The live style, or None."""
    if style is None:
        return None
    pack = style.pack
    return StyleView(
        name=pack.name,
        version=pack.version,
        reviewed=style.reviewed,
        examples=list(style.examples),
        signed_by=style.signed_by,
        signed_at=style.signed_at,
    )


def present_budget(standing: Standing | None) -> BudgetView | None:
    """The month's budget, or None."""
    if standing is None:
        return None
    state: Literal["open", "low", "spent"] = "spent" if standing.is_spent else "low" if standing.is_low else "open"
    percent = min(100, int(100 * standing.spent_usd / standing.plan.gpu_usd))
    return BudgetView(state=state, percent=percent, opens_at=standing.opens_at)


def present_taken_back(taken: TakenBack | None) -> TakenBackView | None:
    """The style that was taken back, or None."""
    return None if taken is None else TakenBackView(name=taken.name, version=taken.version, by=taken.by, at=taken.at)


def _present_error(code: str | None) -> JobError | None:
    if code is None:
        return None
    failure = job_failure(code)
    return JobError(code=code, title=failure.title, detail=failure.detail)
