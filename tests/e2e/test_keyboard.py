"""The whole journey without a mouse, against the real system."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.drawings import ROBOT
from tests.e2e.visitor import expect_four_pictures, prompt_field, run, runs

_MOST_TABS = 60
# The name of what has the focus, or of the picture in it.
_FOCUSED = """() => {
  const element = document.activeElement;
  const picture = element.matches('img') ? element : element.querySelector('img');
  return picture?.alt || element.ariaLabel || element.textContent.trim();
}"""


def focused(page: Page) -> str:
    """What has the focus: a picture's description, or a button's name."""
    return str(page.evaluate(_FOCUSED))


def tab_to(page: Page, name: str, key: str = "Tab") -> None:
    """Press Tab until something of this name has the focus; it must show that it has."""
    for _ in range(_MOST_TABS):
        page.keyboard.press(key)
        if re.search(name, focused(page)):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            shadow = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
            assert (outline, shadow) != ("none", "none"), f"nobody sees that {name} has the focus"
            return
    raise AssertionError(f"Tab never leads to {name}")


def press(page: Page, key: str, leads_to: str) -> None:
    """Press a key and see where the focus goes."""
    page.keyboard.press(key)
    assert re.search(leads_to, focused(page)), f"{key} leads to {focused(page)}"


def test_the_whole_journey_needs_no_mouse(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="Local sign-in (not Microsoft)")).to_be_visible()
    tab_to(page, "Studio member")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"^http://localhost:\d+/$"))
    expect(prompt_field(page)).to_be_focused()
    page.keyboard.type(ROBOT)
    page.keyboard.press("Control+Enter")
    expect(run(page)).to_have_attribute("aria-busy", "true", timeout=2000)
    expect(prompt_field(page)).to_be_focused()
    page.keyboard.press("Escape")  # cancels nothing
    expect_four_pictures(run(page))

    # The four are one stop of the Tab key, and the arrows lead from one to the other.
    tab_to(page, "^Illustration 1 of 4: ")
    press(page, "ArrowRight", "^Illustration 2 of 4: ")
    press(page, "ArrowDown", "^Illustration 4 of 4: ")
    press(page, "ArrowLeft", "^Illustration 3 of 4: ")

    page.keyboard.press("Enter")
    large = page.get_by_role("dialog")
    expect(large).to_be_visible()
    expect(large.get_by_role("img", name="Illustration 3 of 4: ")).to_have_js_property("naturalWidth", 1024)
    page.keyboard.press("ArrowRight")
    expect(large.get_by_role("img", name="Illustration 4 of 4: ")).to_be_visible()
    with page.expect_download() as download:
        page.keyboard.press("d")
    assert re.fullmatch(r"onbrand_a-robot-.*_4\.png", download.value.suggested_filename)
    page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    assert re.search("^Illustration [34] of 4: ", focused(page)), f"the focus went to {focused(page)}"
    with page.expect_download() as download:
        page.keyboard.press("d")
    assert download.value.suggested_filename.endswith(".png")

    tab_to(page, "^Download all", key="Shift+Tab")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".zip")

    tab_to(page, "^Generate More", key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(runs(page)).to_have_count(2)
    expect_four_pictures(run(page, 0))
    expect_four_pictures(run(page, 1))
