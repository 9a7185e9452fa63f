"""The large picture and the browser's own buttons: Back, Forward and Refresh do what people expect of them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.e2e.drawings import ROBOT
from tests.e2e.scenes import finish, large, ready
from tests.e2e.screen import Screen
from tests.e2e.stage import Stage
from tests.e2e.visitor import PICTURE, expect_four_pictures, generate, pictures, run, sign_in
from tests.system import wait_until

_WITHIN_ITS_PLACE = """(picture) => {
  const place = picture.closest('[role=group]').getBoundingClientRect();
  const { top, bottom, left, right, width, height } = picture.getBoundingClientRect();
  const isWithin = top >= place.top && bottom <= place.bottom && left >= place.left && right <= place.right;
  return isWithin && width > 0 && height > 0;
}"""


def enlarged(page: Page) -> Locator:
    """The large picture."""
    return page.get_by_role("dialog").get_by_role("img", name=PICTURE)


def test_back_closes_the_large_picture_and_forward_shows_it_again(stage_page: Page, stage: Stage) -> None:
    large(stage, stage_page)
    stage_page.evaluate("window.isSamePage = true")
    stage_page.go_back()
    expect(enlarged(stage_page)).to_have_count(0)
    expect(stage_page.get_by_role("button", name="Illustration 2 of 4: ").first).to_be_focused()
    stage_page.go_forward()
    expect(enlarged(stage_page)).to_be_visible()
    assert stage_page.evaluate("window.isSamePage")  # nothing was loaded again
    stage_page.reload()
    expect(enlarged(stage_page)).to_have_attribute("alt", f"Illustration 2 of 4: {ROBOT}")
    stage_page.go_back()
    expect(enlarged(stage_page)).to_have_count(0)
    expect_four_pictures(run(stage_page))


def entry_of_history(page: Page) -> int:
    """Which entry of the tab's history the browser shows. `history.length` doesn't tell that."""
    session = page.context.new_cdp_session(page)
    index = session.send("Page.getNavigationHistory")["currentIndex"]
    session.detach()
    return int(index)


def test_however_the_large_picture_is_closed_the_history_is_where_it_was(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROBOT)
    finish(stage, ROBOT)
    expect_four_pictures(run(stage_page))
    before = entry_of_history(stage_page)
    for close in ("Escape", "Close"):
        pictures(run(stage_page)).first.click()
        expect(enlarged(stage_page)).to_be_visible()
        stage_page.keyboard.press("ArrowRight")
        if close == "Escape":
            stage_page.keyboard.press("Escape")
        else:
            stage_page.get_by_role("button", name="Close", exact=True).click()
        expect(enlarged(stage_page)).to_have_count(0)
    # The browser leaves an entry a moment after it was told to.
    wait_until(lambda: entry_of_history(stage_page) == before, 30)


def test_fit_shows_the_whole_picture_in_every_window(stage_page: Page, stage: Stage) -> None:
    large(stage, stage_page)
    screen = Screen(stage_page)
    # A computer's, the same at 200 %, a phone's upright and lying, a very wide one.
    for size in [(1366, 768), (683, 384), (390, 844), (844, 390), (2560, 900)]:
        screen.show(size)
        assert enlarged(stage_page).evaluate(_WITHIN_ITS_PLACE), size
