"""A review on the stage, dealt as `onbrand review open` deals it, and what a reviewer does with it in the browser."""

from __future__ import annotations

from functools import cache
from random import Random
from uuid import UUID, uuid4

import numpy as np
from playwright.sync_api import Page, expect

from onbrand.images.rendition import encode
from onbrand.jobs.models import Owner
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, promote, register
from onbrand.reviews import records
from onbrand.reviews.card_png import encode_aside
from onbrand.reviews.dealing import Beside, Face, deal
from onbrand.reviews.models import SAMPLES, AsideKind, Kind, Review
from onbrand.reviews.pictures import CardStore
from tests.e2e.drawings import BRAND_PACK
from tests.e2e.stage import Stage
from tests.reviews import AS_IS, KINDS, NO, THINGS, answers
from tests.studio import BRAND, DRIFTS, draw

LONG_PROMPT = (
    "a burger with lettuce, cheese and a soft round bun, seen from the side, in the middle of the picture, with calm"
    " empty space around it and nothing else, for the lunch page of a company's newsletter"
)
DESIGNER = "Designer"


@cache
def _pixels(index: int, drift: str = "") -> np.ndarray:
    image, _ = draw(index, 1024, DRIFTS[drift] if drift else BRAND)
    return np.asarray(image.convert("RGB"))


@cache
def _asides(index: int) -> tuple[Beside, ...]:
    """The bare base's drawing has other colours; a training picture is of the same kind. One drawing is a copy."""

    def beside(kind: AsideKind, pixels: np.ndarray, source: str | None = None, *, is_copy: bool = False) -> Beside:
        return Beside(kind, encode_aside(pixels.tobytes()), encode(pixels), source, is_copy, is_copy)

    is_copy = index == 4
    nearest = np.ascontiguousarray(_pixels(index)[:, ::-1]) if is_copy else _pixels(index + 16)
    return (
        beside(AsideKind.BASE, _pixels(index, "hue shift")),
        beside(AsideKind.TRAINING, nearest, f"{index + 17:02d} for the spring catalogue.png", is_copy=is_copy),
        beside(AsideKind.TRAINING, _pixels(index + 24), f"{index + 25:02d}.png"),
    )


def faces() -> list[Face]:
    """Sixteen pictures of a made-up studio; those of the bare base have other colours."""
    return [
        Face(
            kind,
            LONG_PROMPT if thing == "a burger" else thing,
            None if kind is Kind.ORIGINAL else 4100 + index,
            f"{index}.png" if kind is Kind.ORIGINAL else None,
            _pixels(index, "hue shift" if kind is Kind.BASE else "").tobytes(),
            _asides(index) if kind is Kind.PACK else (),
        )
        for index, (kind, thing) in enumerate(zip(KINDS, THINGS, strict=True))
    ]


def open_review(stage: Stage, pack: BrandPack = BRAND_PACK) -> Review:
    """A review of a pack, in an order that is always the same."""
    review_id = uuid4()

    async def opened() -> Review:
        cards = await deal(CardStore.open(stage.service.settings), review_id, faces(), Random(7))
        async with stage.service.transaction() as connection:
            await register(connection, pack.id, pack.manifest, by="stage")
            await records.open_review(connection, review_id, pack.id, "stage", cards)
            return await records.find(connection, review_id)

    return stage.do(opened())


def give_verdict(stage: Stage, review: Review, reviewer: Owner, *, likes: bool = True) -> None:
    """Somebody has answered already: they can use all drawings of the pack as they are, or none."""

    async def given() -> None:
        everything = answers(review.cards, pack=[AS_IS if likes else NO] * SAMPLES)
        async with stage.service.transaction() as connection:
            await records.give_verdict(connection, review, reviewer, DESIGNER, everything)

    stage.do(given())


def go_live(stage: Stage, *packs: BrandPack) -> None:
    """Promote the packs one after the other, without a sign-off."""

    async def promoted() -> None:
        async with stage.service.transaction() as connection:
            for pack in packs:
                await register(connection, pack.id, pack.manifest, by="stage")
                await promote(
                    connection, pack.id, to=Alias.PRODUCTION, by="stage", model="mini", without_sign_off="a test"
                )

    stage.do(promoted())


def follow_link(page: Page, review_id: UUID, account: str = DESIGNER) -> None:
    """Open the link that was sent, sign in, and come back to the review."""
    page.goto(f"/?review={review_id}")
    page.get_by_role("button", name=account).click()
    page.wait_for_url(f"**/?review={review_id}")


def begin(page: Page) -> None:
    """Read the rule and begin."""
    page.get_by_role("button", name="Begin").click()
    expect_card(page, 1)


def expect_card(page: Page, n: int) -> None:
    """Wait until a card is shown with its picture."""
    expect(page.get_by_role("heading", name=f"{n} of 16", exact=True)).to_be_visible()
    picture = page.get_by_role("img", name=f"Picture {n} of 16")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1024)


def answer_all(page: Page, review: Review, keys: dict[Kind, list[str]]) -> None:
    """Answer all cards by the keyboard: `keys` are the answers for each kind, in their order."""
    given = {kind: iter(wanted) for kind, wanted in keys.items()}
    for card in review.cards:
        expect_card(page, card.n)
        page.keyboard.press(next(given[card.kind]))
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("heading", name="All pictures are answered")).to_be_visible()
