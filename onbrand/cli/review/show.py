"""`onbrand review show`: the reviews of a pack, what reviewers decided, and what to change."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.cli.pack.database import pack_transaction
from onbrand.cli.pack.options import PackId
from onbrand.cli.review.link import link
from onbrand.config import Settings, load_settings

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.reviews.models import Review, Verdict


def show_command(pack: PackId, as_json: AsJson = False) -> None:
    """Show the reviews of a pack: their links, what each reviewer decided and why, and what to change."""
    from onbrand.local.database_url import url_for_command

    silence_logs()
    settings = load_settings()
    shown = asyncio.run(show(settings, url_for_command(settings), pack))
    typer.echo(json.dumps(shown.as_json(), indent=2, ensure_ascii=False) if as_json else shown.as_text())


@dataclass(frozen=True)
class Shown:
    """All reviews of a pack with their verdicts and links, the latest first."""

    pack_id: str
    reviews: tuple[tuple[Review, tuple[Verdict, ...], str], ...]

    def as_json(self) -> dict[str, Any]:
        """One document for a script. It has the key of a review only if somebody has answered it."""
        return {
            "pack": self.pack_id,
            "reviews": [
                {
                    "id": str(review.id),
                    "link": address,
                    "opened_at": review.opened_at.isoformat(),
                    "opened_by": review.opened_by,
                    "verdicts": [_verdict_json(review, verdict) for verdict in verdicts],
                }
                for review, verdicts, address in self.reviews
            ],
        }

    def as_text(self) -> str:
        """Sentences for people."""
        if not self.reviews:
            return "This pack has no review yet. Open one with `onbrand review open ID --originals DIR`."
        return "\n\n".join(_review_text(*one) for one in self.reviews)


def _review_text(review: Review, verdicts: tuple[Verdict, ...], address: str) -> str:
    head = f"Review of {review.pack_name}, version {review.pack_version}, opened {review.opened_at:%Y-%m-%d %H:%M} UTC"
    if not verdicts:
        return f"{head}\nNobody has answered it yet: {address}"
    return "\n".join([head, *(line for verdict in verdicts for line in _verdict_lines(review, verdict))])


def _verdict_lines(review: Review, verdict: Verdict) -> list[str]:
    from onbrand.reviews.advice import changes
    from onbrand.reviews.rule import judge

    kinds = [card.kind for card in review.cards]
    judgement = judge(kinds, verdict.answers)
    lines = [f"{verdict.outcome.capitalize()} by {verdict.reviewer}, {verdict.given_at:%Y-%m-%d %H:%M} UTC"]
    lines += [f"  {sentence}" for sentence in judgement.why]
    if verdict.took_back:
        lines.append("  The pack was live, and the one before it is live again.")
    lines += [
        f"  {change.count}× {change.reason.replace('_', ' ')}: {change.advice}"
        for change in changes(kinds, verdict.answers)
    ]
    return lines


def _verdict_json(review: Review, verdict: Verdict) -> dict[str, Any]:
    from onbrand.reviews.advice import changes
    from onbrand.reviews.rule import judge

    kinds = [card.kind for card in review.cards]
    judgement = judge(kinds, verdict.answers)
    return {
        "outcome": verdict.outcome,
        "reviewer": verdict.reviewer,
        "user_id": str(verdict.user_id),
        "given_at": verdict.given_at.isoformat(),
        "usable": judgement.usable,
        "interval": list(judgement.interval),
        "why": list(judgement.why),
        "took_back": verdict.took_back,
        "changes": [
            {"reason": change.reason, "count": change.count, "advice": change.advice}
            for change in changes(kinds, verdict.answers)
        ],
        "cards": [
            {
                "n": card.n,
                "kind": card.kind,
                "prompt": card.prompt,
                "seed": card.seed,
                "source": card.source,
                "answer": given.answer,
                "reasons": sorted(given.reasons),
            }
            for card, given in zip(review.cards, verdict.answers, strict=True)
        ],
    }


async def show(settings: Settings, address: Address, beginning: str) -> Shown:
    """The reviews of the pack whose id begins so; errors as for `PackStore.find` and `database.pack_transaction`.

    A pack that is no longer in the pack store still has its reviews.
    """
    from onbrand.packs import promotion
    from onbrand.packs.store import PackStore
    from onbrand.reviews import records

    async with pack_transaction(address) as connection:
        known = [pack_id for pack_id in await promotion.registered(connection) if pack_id.startswith(beginning)]
    pack_id = known[0] if len(known) == 1 and len(beginning) >= 6 else PackStore.open(settings).find(beginning).id
    async with pack_transaction(address) as connection:
        reviews = [
            (review, tuple(await records.verdicts(connection, review.id)), link(settings, review.id))
            for review in await records.of_pack(connection, pack_id)
        ]
    return Shown(pack_id, tuple(reviews))
