"""The rows of reviews: opened once, answered once by each reviewer, and never changed.

Each function runs in the caller's transaction. Two reviewers may answer the same review at the same time: each has a
verdict, and the later one counts for the pack.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.errors import ReviewAnswered, ReviewNotFound
from onbrand.jobs.models import Owner
from onbrand.packs import promotion
from onbrand.packs.promotion import Moved, SigningReviewer
from onbrand.packs.promotion import Verdict as PackVerdict
from onbrand.reviews.models import (
    CARDS,
    Answer,
    Aside,
    AsideKind,
    Card,
    CardAnswer,
    Kind,
    Outcome,
    Reason,
    Review,
    Verdict,
)
from onbrand.reviews.rule import VERSION, judge

_REVIEW = (
    "select review.id, review.pack_id, brand_pack.name, brand_pack.version, review.opened_at, review.opened_by"
    " from review join brand_pack on brand_pack.id = review.pack_id"
)
_VERDICT = (
    "select review_verdict.*, exists (select from pack_event where action = 'take_back'"
    " and from_pack_id = review_verdict.pack_id and reason = 'review ' || review_verdict.review_id) as took_back"
    " from review_verdict"
)


@dataclass(frozen=True)
class Given:
    """A verdict that was given. `moved` is what happened to the live pack; None if nothing did, or the verdict was
    stored before.
    """

    verdict: Verdict
    is_new: bool
    moved: Moved | None


async def open_review(connection: Connection, review_id: UUID, pack_id: str, by: str, cards: Sequence[Card]) -> None:
    """Store a review whose pictures are all stored. From now on its link works."""
    assert sorted(card.n for card in cards) == list(range(1, CARDS + 1))
    await connection.execute(
        "insert into review (id, pack_id, opened_by, rule) values (%s, %s, %s, %s)", [review_id, pack_id, by, VERSION]
    )
    for card in cards:
        await connection.execute(
            "insert into review_card (review_id, n, kind, prompt, seed, source, sha256)"
            " values (%s, %s, %s, %s, %s, %s, %s)",
            [review_id, card.n, card.kind, card.prompt, card.seed, card.source, card.sha256],
        )
        for one in card.asides:
            await connection.execute(
                "insert into review_aside"
                " (review_id, card, place, kind, source, is_flagged, is_mirrored, sha256, tile_sha256)"
                " values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    *(review_id, card.n, one.place, one.kind, one.source),
                    *(one.is_flagged, one.is_mirrored, one.sha256, one.tile_sha256),
                ],
            )


async def find(connection: Connection, review_id: UUID) -> Review:
    """A review with its key: whoever shows it decides what of it may be seen.

    Raises:
        ReviewNotFound: there is none with this id.
    """
    row = await (await connection.execute(f"{_REVIEW} where review.id = %s", [review_id])).fetchone()
    if row is None:
        raise ReviewNotFound
    cursor = await connection.execute(
        "select n, kind, prompt, seed, source, sha256 from review_card where review_id = %s order by n", [review_id]
    )
    asides = await _asides(connection, review_id)
    cards = tuple(
        Card(
            *(one["n"], Kind(one["kind"]), one["prompt"], one["seed"], one["source"], one["sha256"]),
            asides=tuple(asides[one["n"]]),
        )
        for one in await cursor.fetchall()
    )
    return Review(row["id"], row["pack_id"], row["name"], row["version"], row["opened_at"], row["opened_by"], cards)


async def _asides(connection: Connection, review_id: UUID) -> defaultdict[int, list[Aside]]:
    """By the card that they are shown beside."""
    cursor = await connection.execute(
        "select card, place, kind, source, is_flagged, is_mirrored, sha256, tile_sha256 from review_aside"
        " where review_id = %s order by card, place",
        [review_id],
    )
    found: defaultdict[int, list[Aside]] = defaultdict(list)
    for one in await cursor.fetchall():
        found[one.pop("card")].append(Aside(**one | {"kind": AsideKind(one["kind"])}))
    return found


async def all_ids(connection: Connection) -> set[UUID]:
    """The ids of all reviews."""
    return {row["id"] for row in await (await connection.execute("select id from review")).fetchall()}


async def of_pack(connection: Connection, pack_id: str) -> list[Review]:
    """All reviews of a pack, the latest first."""
    cursor = await connection.execute("select id from review where pack_id = %s order by opened_at desc, id", [pack_id])
    return [await find(connection, row["id"]) for row in await cursor.fetchall()]


async def verdict_of(connection: Connection, review_id: UUID, reviewer: Owner) -> Verdict | None:
    """What this person answered; None as long as they have not."""
    cursor = await connection.execute(
        f"{_VERDICT} where review_id = %s and tenant_id = %s and user_id = %s",
        [review_id, reviewer.tenant_id, reviewer.user_id],
    )
    row = await cursor.fetchone()
    return None if row is None else _verdict(row)


async def verdicts(connection: Connection, review_id: UUID) -> list[Verdict]:
    """All verdicts of a review, the earliest first."""
    cursor = await connection.execute(f"{_VERDICT} where review_id = %s order by given_at, user_id", [review_id])
    return [_verdict(row) for row in await cursor.fetchall()]


async def give_verdict(
    connection: Connection, review: Review, reviewer: Owner, name: str, answers: Sequence[CardAnswer]
) -> Given:
    """Store a person's answers and what follows: the pack is signed off, and a live pack that is rejected taken back.

    The same answers again are no error and change nothing.

    Raises:
        ReviewAnswered: this person has given other answers before.
    """
    outcome = judge([card.kind for card in review.cards], answers).outcome
    document = json.dumps([_as_json(answer) for answer in answers])
    cursor = await connection.execute(
        "insert into review_verdict (review_id, tenant_id, user_id, reviewer, pack_id, outcome, answers)"
        " values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        [review.id, reviewer.tenant_id, reviewer.user_id, name, review.pack_id, outcome, document],
    )
    moved = None
    is_new = cursor.rowcount == 1
    if is_new and outcome is not Outcome.UNDECIDED:
        moved = await promotion.sign_off(
            connection,
            review.pack_id,
            PackVerdict(outcome),
            SigningReviewer(reviewer, name, review.id),
            {"review": str(review.id), "answers": json.loads(document)},
        )
    stored = await verdict_of(connection, review.id, reviewer)
    assert stored is not None
    if not is_new and stored.answers != tuple(answers):
        raise ReviewAnswered
    return Given(stored, is_new, moved)


def _as_json(answer: CardAnswer) -> dict[str, object]:
    return {"answer": answer.answer, "reasons": [reason for reason in Reason if reason in answer.reasons]}


def _verdict(row: dict[str, object]) -> Verdict:
    answers = row["answers"]
    assert isinstance(answers, list)
    return Verdict(
        review_id=UUID(str(row["review_id"])),
        reviewer=str(row["reviewer"]),
        user_id=UUID(str(row["user_id"])),
        given_at=row["given_at"],  # type: ignore[arg-type]
        outcome=Outcome(str(row["outcome"])),
        answers=tuple(
            CardAnswer(Answer(one["answer"]), frozenset(Reason(reason) for reason in one["reasons"])) for one in answers
        ),
        took_back=bool(row["took_back"]),
    )
