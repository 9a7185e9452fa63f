"""Finished pictures over a slow line: counted while they come, shown one by one, and "Ready" with the last."""

from __future__ import annotations

import hashlib
import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.drawings import ROBOT, draw
from tests.e2e.scenes import finish
from tests.e2e.stage import Stage
from tests.e2e.visitor import expect_four_pictures, generate, pictures, run, sign_in

_SLOW = {"offline": False, "latency": 150, "downloadThroughput": 6_000, "uploadThroughput": 50_000}  # bytes a second
_FAST = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}


def test_over_a_slow_line_pictures_are_counted_and_ready_is_said_when_they_are_seen(
    stage: Stage, stage_page: Page
) -> None:
    page, drawn = stage_page, draw(ROBOT)
    sign_in(page)
    generate(page, ROBOT)
    held = stage.claim(stage.newest())
    stage.report(held, 7, drawn.previews)
    expect(run(page).get_by_test_id("preview")).to_have_count(4)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.emulateNetworkConditions", _SLOW)
    stage.publish(held, drawn)
    expect(run(page)).to_have_attribute("data-state", "arriving")
    expect(run(page).get_by_text(re.compile(r"^\d of 4 pictures · \d+ of \d\d kB$"))).to_be_visible()
    expect(run(page).get_by_test_id("preview")).to_have_count(4)  # they stay below the pictures
    assert page.title() == "(…) Onbrand"
    expect(page).to_have_title("Ready · Onbrand")
    expect_four_pictures(run(page))
    network.send("Network.emulateNetworkConditions", _FAST)
    # The large picture is the PNG, and so is what people save.
    pictures(run(page)).nth(1).click()
    expect(pictures(page.get_by_role("dialog"))).to_have_js_property("naturalWidth", 1024)
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        run(page).get_by_role("button", name="Download illustration 2").click()
    saved = download.value.path().read_bytes()
    assert hashlib.sha256(saved).hexdigest() == hashlib.sha256(drawn.pngs[1]).hexdigest()


@pytest.mark.parametrize(("width", "height", "pixels"), [(1366, 768, 512), (2560, 1440, 1024)])
def test_a_tile_that_is_larger_than_its_rendition_gets_the_png(
    stage: Stage, stage_page: Page, width: int, height: int, pixels: int
) -> None:
    page = stage_page
    page.set_viewport_size({"width": width, "height": height})
    sign_in(page)
    generate(page, ROBOT)
    finish(stage, ROBOT)
    expect_four_pictures(run(page))
    expect(pictures(run(page)).nth(3)).to_have_js_property("draggable", True)  # its PNG, the last one, is loaded
    for n in range(4):
        expect(pictures(run(page)).nth(n)).to_have_js_property("naturalWidth", pixels)
