"""The bodies of requests and answers about reviews. Only `present_verdict` shows what is on the cards."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from onbrand.api.schemas import Body
from onbrand.reviews.advice import changes
from onbrand.reviews.models import (
    CARDS,
    SAMPLES,
    Answer,
    AsideKind,
    Card,
    CardAnswer,
    Kind,
    Outcome,
    Reason,
    Review,
    Verdict,
)
from onbrand.reviews.rule import SENTENCES, judge

# A JSON text is no enum member, so a strict body has to allow the conversion.
AnswerWord = Annotated[Answer, Field(strict=False)]
ReasonWord = Annotated[Reason, Field(strict=False)]


def _each_once(reasons: list[Reason]) -> list[Reason]:
    if len(set(reasons)) != len(reasons):
        raise ValueError("a reason is there twice")
    return reasons


class CardAnswerBody(BaseModel):
    """What the reviewer says of one card."""

    model_config = ConfigDict(extra="forbid", strict=True)
    answer: AnswerWord
    reasons: Annotated[list[ReasonWord], AfterValidator(_each_once)] = Field(max_length=8)

    @property
    def as_answer(self) -> CardAnswer:
        """The same, as `reviews` takes it."""
        return CardAnswer(self.answer, frozenset(self.reasons))


class VerdictRequest(Body):
    """All answers of a reviewer, in the order of the cards. They are stored once, all together."""

    expected: ClassVar[str] = (
        'Send {"answers": […]} with exactly 16 of {"answer": "as_is", "small_fix" or "no", "reasons": […]}, in the'
        " order of the cards; no other field."
    )
    answers: list[CardAnswerBody] = Field(min_length=CARDS, max_length=CARDS)


class CardView(BaseModel):
    """A card before the verdict: nothing but its place and what was asked for."""

    n: int
    prompt: str
    picture: str = Field(description="the picture's address, relative to this service")


class AsideView(BaseModel):
    """What a picture that was drawn in the style is compared with after the verdict."""

    kind: AsideKind = Field(
        description="base: the same prompt and seed without the style; training: a picture that the style was trained"
        " on, one of those that are most like the drawn one"
    )
    picture: str = Field(description="its address, relative to this service; with `?size=512` a WebP for a tile")
    source: str | None = Field(description="the name of a training picture")
    is_flagged: bool = Field(
        description="whether the drawn picture is nearer to it than any two of the studio's own are to each other"
    )
    is_mirrored: bool = Field(description="whether it is like the drawn one, left to right")


class RevealedCard(BaseModel):
    """A card after the verdict."""

    n: int
    kind: Kind = Field(
        description="pack: drawn in the style; original: the studio's own; base: drawn without the style"
    )
    prompt: str
    picture: str
    seed: int | None = Field(description="null for an original")
    answer: Answer
    reasons: list[Reason]
    asides: list[AsideView] = Field(description="only of pictures in the style; empty if none were kept")


class ChangeView(BaseModel):
    """What to change, because of one reason."""

    reason: Reason
    count: int = Field(description="how many of the style's pictures have it")
    advice: str


class IntervalView(BaseModel):
    """The 95 % interval of the share of usable pictures, by Wilson."""

    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class VerdictView(BaseModel):
    """What the reviewer answered, what follows from it, and what was on the cards."""

    outcome: Outcome
    reviewer: str
    given_at: datetime
    usable: int = Field(description="of the style's ten pictures")
    interval: IntervalView
    why: list[str] = Field(description="each part of the rule with what was found, as sentences")
    took_back: bool = Field(description="whether this style was live and the one before is live again")
    changes: list[ChangeView]
    cards: list[RevealedCard]


class ReviewView(BaseModel):
    """A review, as somebody who may review sees it."""

    id: UUID
    pack_id: str
    pack_name: str
    pack_version: str
    opened_at: datetime
    rule: list[str] = Field(description="the rule that decides, as sentences")
    samples: int = Field(description="how many of the cards are of the style", examples=[SAMPLES])
    cards: list[CardView]
    verdict: VerdictView | None = Field(description="null until this person has answered")


def present_review(review: Review, verdict: Verdict | None) -> ReviewView:
    """A review and this person's verdict. Without a verdict, nothing says what is on a card."""
    return ReviewView(
        id=review.id,
        pack_id=review.pack_id,
        pack_name=review.pack_name,
        pack_version=review.pack_version,
        opened_at=review.opened_at,
        rule=list(SENTENCES),
        samples=SAMPLES,
        cards=[CardView(n=card.n, prompt=card.prompt, picture=_picture(review, card.n)) for card in review.cards],
        verdict=None if verdict is None else present_verdict(review, verdict),
    )


def present_verdict(review: Review, verdict: Verdict) -> VerdictView:
    """A verdict with the key: only for whoever gave it."""
    kinds = [card.kind for card in review.cards]
    judgement = judge(kinds, verdict.answers)
    low, high = judgement.interval
    return VerdictView(
        outcome=verdict.outcome,
        reviewer=verdict.reviewer,
        given_at=verdict.given_at,
        usable=judgement.usable,
        interval=IntervalView(low=low, high=high),
        why=list(judgement.why),
        took_back=verdict.took_back,
        changes=[
            ChangeView(reason=change.reason, count=change.count, advice=change.advice)
            for change in changes(kinds, verdict.answers)
        ],
        cards=[
            RevealedCard(
                n=card.n,
                kind=card.kind,
                prompt=card.prompt,
                picture=_picture(review, card.n),
                seed=card.seed,
                answer=given.answer,
                reasons=[reason for reason in Reason if reason in given.reasons],
                asides=_asides(review, card),
            )
            for card, given in zip(review.cards, verdict.answers, strict=True)
        ],
    )


def _asides(review: Review, card: Card) -> list[AsideView]:
    return [
        AsideView(
            kind=one.kind,
            picture=f"{_picture(review, card.n)}/asides/{one.place}",
            source=one.source,
            is_flagged=one.is_flagged,
            is_mirrored=one.is_mirrored,
        )
        for one in card.asides
    ]


def _picture(review: Review, n: int) -> str:
    return f"/reviews/{review.id}/cards/{n}"
