"""A designer's blind review in a real browser: from the link through sixteen cards to the reveal, and what follows."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Page, Response, expect

from onbrand.config import LOCAL_TENANT_ID
from onbrand.jobs.models import Owner
from onbrand.local.people import PEOPLE
from onbrand.reviews.models import Kind
from tests.e2e.drawings import BRAND_PACK
from tests.e2e.review_scenes import APPROVING, REJECTING
from tests.e2e.reviews import (
    answer_all,
    begin,
    expect_card,
    follow_link,
    give_verdict,
    go_live,
    open_review,
)
from tests.e2e.stage import Stage
from tests.e2e.visitor import prompt_field, sign_in
from tests.packs import make_pack


def test_a_designer_follows_the_link_and_judges_sixteen_cards_without_a_mouse(stage_page: Page, stage: Stage) -> None:
    page, seen = stage_page, []

    def note(response: Response) -> None:
        if "/reviews/" in response.url:
            seen.append(response)

    page.on("response", note)
    stage.announce("ready")
    review = open_review(stage)
    follow_link(page, review.id)
    expect(page.get_by_role("heading", name=f"Review of Sample brand v{BRAND_PACK.pack.version}")).to_be_visible()
    expect(page.get_by_text("at least 8 of its 10")).to_be_visible()  # the rule, before any picture
    page.get_by_role("button", name="Begin").focus()
    page.keyboard.press("Enter")

    # Undo takes the last answer back, wherever one is; a refresh loses nothing.
    expect_card(page, 1)
    page.keyboard.press("ArrowRight")
    expect_card(page, 1)  # not answered yet
    page.keyboard.press("3")
    page.get_by_role("button", name="Copies an existing piece").press("Space")
    page.keyboard.press("ArrowRight")
    expect_card(page, 2)
    page.keyboard.press("1")
    page.keyboard.press("ArrowRight")
    expect_card(page, 3)
    page.keyboard.press("u")
    expect_card(page, 2)
    expect(page.get_by_role("button", name="Use as is")).to_have_attribute("aria-pressed", "false")
    seen.clear()  # the browser forgets the bodies of a page that is left
    page.reload()
    expect_card(page, 2)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuetext", "1 of 16 answered")
    page.keyboard.press("u")
    expect_card(page, 1)
    expect(page.get_by_role("button", name="Copies an existing piece")).to_have_attribute("aria-pressed", "false")

    answer_all(page, review, APPROVING)
    page.keyboard.press("ArrowLeft")
    expect_card(page, 16)
    page.keyboard.press("ArrowRight")
    before = [response.text() for response in seen if response.headers["content-type"] == "application/json"]
    pictures = [response for response in seen if response.headers["content-type"] == "image/png"]
    assert before
    assert not [text for text in before if any(word in text for word in ('"kind"', "original", '"base"', '"seed"'))]
    assert len({response.headers["content-length"] for response in pictures}) == 1
    assert not [response.url for response in seen if "asides" in response.url]
    assert stage.execute("select from review_verdict") == []  # nothing is sent before the end

    page.get_by_role("button", name="Send my answers").press("Enter")
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_focused()
    expect(page.get_by_text("10 of 10 are usable")).to_be_visible()
    expect(
        page.get_by_role("img", name="10 of 10 usable. Of many more, between 72 % and 100 % would be.")
    ).to_be_visible()
    for kind, name in ((Kind.PACK, "Drawn in this style"), (Kind.BASE, "Drawn without the style")):
        group = page.get_by_role("heading", name=name).locator("..")
        expect(group.get_by_role("figure")).to_have_count(sum(card.kind is kind for card in review.cards))
    expect(page.get_by_role("button", name="Without the style: compare picture")).to_have_count(10)
    expect(page.get_by_role("button", name="Nearest training picture: compare picture")).to_have_count(10)
    (row,) = stage.execute("select outcome, reviewer, pack_id from review_verdict")
    assert row == {"outcome": "approved", "reviewer": "Designer", "pack_id": BRAND_PACK.id}

    # The verdict stays, and from now on the header says so.
    page.reload()
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_visible()
    expect(page.locator("header")).to_contain_text("by Designer")
    page.get_by_role("link", name="Back to Onbrand").click()
    expect(prompt_field(page)).to_be_visible()


def test_after_the_verdict_each_drawing_is_compared_by_keyboard(stage_page: Page, stage: Stage) -> None:
    page = stage_page
    stage.announce("ready")
    review = open_review(stage)
    give_verdict(stage, review, Owner(LOCAL_TENANT_ID, PEOPLE["designer"].object_id))
    follow_link(page, review.id)
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_visible()
    expect(page.get_by_text("the two training pictures that are most like it")).to_be_visible()
    tiles = page.get_by_role("figure").locator("button img")
    expect(tiles).to_have_count(30)
    for tile in tiles.all():
        expect(tile).to_have_js_property("naturalWidth", 512)  # renditions; the PNG comes when it is shown large

    copied = page.get_by_role("figure").filter(has_text="Very like a training picture seen in a mirror. Is it a copy?")
    expect(copied).to_have_count(1)
    opener = copied.get_by_role("button", name="Without the style")
    opener.focus()
    page.keyboard.press("Enter")
    n = next(card.n for card in review.cards if any(aside.is_flagged for aside in card.asides))
    dialog = page.get_by_role("dialog", name=re.compile(f"^Picture {n}: "))
    expect(dialog).to_be_focused()
    for label, more in (
        ("Without the style", "The same request and seed"),
        ("Nearest training picture", "Very alike in a mirror. Is it a copy?"),
        ("Second nearest", ".png"),
    ):
        for name in (f"Picture {n}, in this style", label):
            picture = dialog.get_by_role("img", name=name, exact=True)
            expect(picture).to_have_js_property("naturalWidth", 1024)
        expect(dialog.get_by_role("figure").last).to_contain_text(more)
        page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text("3 of 3", exact=True)).to_be_visible()  # the last one stays
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()


def test_a_second_reviewer_sees_nothing_that_the_first_was_told(stage_page: Page, stage: Stage) -> None:
    page, seen, tokens = stage_page, [], []

    def note(response: Response) -> None:
        if "/reviews/" in response.url and response.headers["content-type"] == "application/json":
            seen.append(response.text())
            tokens.append(response.request.all_headers()["authorization"])

    stage.announce("ready")
    review = open_review(stage)
    first = Owner(LOCAL_TENANT_ID, uuid4())
    give_verdict(stage, review, first, likes=False)
    page.on("response", note)
    follow_link(page, review.id)
    begin(page)
    for card in review.cards:  # with this person's own token, whatever the card shows
        address = f"/reviews/{review.id}/cards/{card.n}/asides/1"
        assert page.request.get(address, headers={"Authorization": tokens[0]}).status == 404
    answer_all(page, review, APPROVING)
    assert seen
    assert not [text for text in seen if any(word in text for word in ('"kind"', "original", '"seed"', "asides"))]
    page.get_by_role("button", name="Send my answers").click()
    expect(page.get_by_role("heading", name="Approved", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Without the style: compare picture")).to_have_count(10)
    rows = stage.execute("select outcome, user_id from review_verdict order by given_at")
    assert [(row["outcome"], row["user_id"] == first.user_id) for row in rows] == [
        ("rejected", True),
        ("approved", False),
    ]


def test_a_rejection_takes_the_live_style_back_and_everybody_is_told(
    stage_page: Page, stage: Stage, tmp_path: Path
) -> None:
    page, bad = stage_page, make_pack(tmp_path / "pack", name="Harbour", version="4")
    stage.announce("ready")
    go_live(stage, BRAND_PACK, bad)
    review = open_review(stage, bad)
    follow_link(page, review.id)
    begin(page)
    answer_all(page, review, REJECTING)
    page.get_by_role("button", name="Send my answers").click()
    expect(page.get_by_role("heading", name="Not approved")).to_be_visible()
    expect(page.get_by_text("The style before it is live again")).to_be_visible()
    assert stage.execute("select name, pack_id from pack_alias") == [{"name": "production", "pack_id": BRAND_PACK.id}]

    page.get_by_role("button", name="Account: Designer").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You're signed out")).to_be_visible()
    sign_in(page)
    notice = page.get_by_role("complementary", name="Harbour v4")
    expect(notice).to_contain_text("Designer rejected Harbour v4")
    notice.get_by_role("button", name="Close").click()
    expect(notice).to_have_count(0)


def test_a_member_who_may_not_review_is_told_so_and_finds_the_way_back(stage_page: Page, stage: Stage) -> None:
    stage.announce("ready")
    review = open_review(stage)
    asked: list[str] = []
    stage_page.on("request", lambda request: asked.append(request.url))
    follow_link(stage_page, review.id, "Studio member")
    expect(stage_page.get_by_role("heading", name="Only for reviewers")).to_be_visible()
    expect(stage_page.get_by_role("img", name="Picture")).to_have_count(0)
    assert not [url for url in asked if "/cards/" in url]
    stage_page.get_by_role("link", name="Onbrand").click()
    expect(prompt_field(stage_page)).to_be_visible()


def test_answers_of_an_unfinished_review_are_the_persons_own(stage_page: Page, stage: Stage) -> None:
    stage.announce("ready")
    review = open_review(stage)
    follow_link(stage_page, review.id)
    begin(stage_page)
    stage_page.keyboard.press("1")
    stage_page.get_by_role("button", name="Account: Designer").click()
    stage_page.get_by_role("button", name="Sign out").click()
    expect(stage_page.get_by_role("heading", name="You're signed out")).to_be_visible()
    assert stage_page.evaluate("Object.keys(localStorage).filter((key) => key.includes('review'))") == []
