"""What people do with the page and what they can find on it, by the roles and names that they or their screen reader
go by."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

PICTURE = re.compile(r"^Illustration [1-4] of 4: ")
_DRAWING_MS = 180_000  # the real model, whose process lets every other program go first


def sign_in(page: Page, account: str = "Studio member") -> None:
    """Open the page, be sent to the sign-in, choose an account and come back."""
    page.goto("/")
    expect(page.get_by_role("heading", name="Local sign-in (not Microsoft)")).to_be_visible()
    choose_account(page, account)


def choose_account(page: Page, account: str = "Studio member") -> None:
    """On the sign-in page: choose, and come back."""
    page.get_by_role("button", name=account).click()
    page.wait_for_url(re.compile(r"^http://(localhost|127\.0\.0\.1):\d+/$"))


def prompt_field(page: Page) -> Locator:
    """Where the prompt is written."""
    return page.get_by_role("textbox", name="Describe the illustration")


def generate_button(page: Page) -> Locator:
    """The button that starts a run."""
    return page.get_by_role("button", name="Generate", exact=True)


def generate(page: Page, prompt: str) -> None:
    """Type a prompt and press Generate."""
    prompt_field(page).fill(prompt)
    generate_button(page).click()


def runs(page: Page) -> Locator:
    """The cards of all runs, the newest first."""
    return page.get_by_role("article")


def run(page: Page, index: int = 0) -> Locator:
    """One run's card."""
    return runs(page).nth(index)


def pictures(place: Locator) -> Locator:
    """The finished pictures on a run's card, or wherever they are shown."""
    return place.get_by_role("img", name=PICTURE)


def expect_four_pictures(card: Locator) -> None:
    """Wait until a run shows four pictures that the browser could decode."""
    expect(pictures(card)).to_have_count(4, timeout=_DRAWING_MS)
    for index in range(4):
        expect(pictures(card).nth(index)).to_be_visible()
        expect(pictures(card).nth(index)).to_have_js_property("naturalWidth", 512)
