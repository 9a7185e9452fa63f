"""The states of a review, and of the page after one, set up as those in `scenes`."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from onbrand.reviews.models import Kind, Review
from tests.e2e.reviews import answer_all, begin, expect_card, follow_link, open_review
from tests.e2e.scenes import SCENES, Scene, ready
from tests.e2e.stage import Stage

APPROVING = {Kind.PACK: [*"1112112111"], Kind.ORIGINAL: [*"112"], Kind.BASE: [*"333"]}
REJECTING = {Kind.PACK: [*"1133213311"], Kind.ORIGINAL: [*"112"], Kind.BASE: [*"323"]}


def _opened(stage: Stage, page: Page) -> Review:
    ready(stage)
    review = open_review(stage)
    follow_link(page, review.id)
    return review


def rule(stage: Stage, page: Page) -> None:
    """Before the first picture."""
    _opened(stage, page)
    expect(page.get_by_role("button", name="Begin")).to_be_visible()


def card(stage: Stage, page: Page) -> None:
    """The fifth picture needs a small fix, for two reasons."""
    _opened(stage, page)
    begin(page)
    for n in range(1, 5):
        expect_card(page, n)
        page.keyboard.press("1")
        page.keyboard.press("ArrowRight")
    expect_card(page, 5)
    page.keyboard.press("2")
    for reason in ("Line", "Background"):
        page.get_by_role("button", name=reason).click()


def finish(stage: Stage, page: Page) -> None:
    """All sixteen are answered and not yet sent."""
    review = _opened(stage, page)
    begin(page)
    answer_all(page, review, APPROVING)


def rejected(stage: Stage, page: Page) -> None:
    """The reviewer rejects the style and sees what was what."""
    review = _opened(stage, page)
    begin(page)
    remaining = {kind: iter(keys) for kind, keys in REJECTING.items()}
    for shown in review.cards:
        expect_card(page, shown.n)
        key = next(remaining[shown.kind])
        page.keyboard.press(key)
        if key == "3" and shown.kind is Kind.PACK:
            page.get_by_role("button", name="Shading").click()
            if shown.n % 2:
                page.get_by_role("button", name="Line").click()
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Send my answers").click()
    expect(page.get_by_role("heading", name="Not approved")).to_be_visible()
    _wait_for_pictures(page)


def approved(stage: Stage, page: Page) -> None:
    """The reviewer approves the style and sees what was what."""
    finish(stage, page)
    page.get_by_role("button", name="Send my answers").click()
    expect(page.get_by_role("heading", name="Approved")).to_be_visible()
    _wait_for_pictures(page)


def compared(stage: Stage, page: Page) -> None:
    """A drawing that may be a copy, large, beside the training picture that is most like it."""
    rejected(stage, page)
    page.get_by_role("figure").filter(has_text="Is it a copy?").get_by_role("button", name="Nearest training").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img")).to_have_count(2)
    for picture in dialog.get_by_role("img").all():
        expect(picture).to_have_js_property("naturalWidth", 1024)


def _wait_for_pictures(page: Page) -> None:
    expect(page.get_by_role("figure").get_by_role("img")).to_have_count(16)
    expect(page.get_by_role("figure").locator("button img")).to_have_count(30)


REVIEW_SCENES = (
    Scene("review-rule", rule, "How it is decided"),
    Scene("review-card", card, "5 of 16"),
    Scene("review-finish", finish, "All pictures are answered"),
    Scene("review-approved", approved, "Approved", is_long=True),
    Scene("review-rejected", rejected, "Not approved", is_long=True),
    Scene("review-compared", compared, "Very alike in a mirror"),
)
ALL_SCENES = (*SCENES, *REVIEW_SCENES)
