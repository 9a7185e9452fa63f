"""What is on the screen when, and that nothing on it jumps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Page, Route, expect

from onbrand.jobs.models import IMAGES_PER_JOB
from tests.e2e.drawings import ROBOT, STEP_REACHED, STEPS, draw
from tests.e2e.scenes import complete, draw_half, drawing, ready
from tests.e2e.screen import COMPUTER, PHONE, SIZES, Screen
from tests.e2e.stage import Stage
from tests.e2e.visitor import expect_four_pictures, generate, generate_button, prompt_field, run, sign_in

# As https://web.dev/articles/cls, but without its session windows and without forgiving what follows a press at once.
_WATCH_SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    window.shifts.push(...list.getEntries().map(({ value, sources }) => ({
      value, moved: sources.map(({ node }) => node?.outerHTML?.slice(0, 120)),
    })));
  }).observe({ type: 'layout-shift' });
}"""
_WHOLLY_VISIBLE = """(tiles) => tiles.map((tile) => {
  const { top, bottom, left, right } = tile.getBoundingClientRect();
  return top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth && scrollY === 0;
})"""


_COVERED = """(element) => {
  const { top, left, width, height } = element.getBoundingClientRect();
  return !element.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""
_GAPS_TO_THE_NEXT_TICK = """() => [...document.querySelectorAll('figcaption')].flatMap((bar) => {
  const { left } = bar.querySelector('input').getBoundingClientRect();
  const { top, right } = bar.querySelector('button:last-of-type').getBoundingClientRect();
  return [...document.querySelectorAll('figcaption input')]
    .map((tick) => tick.getBoundingClientRect())
    .filter((tick) => tick.left > left && Math.abs(tick.top - top) < 40)
    .map((tick) => tick.left - right);
})"""
WIDE = ((1920, 1080), (2560, 1440))
LONG = (
    "A friendly delivery robot carries a stack of parcels through a bright morning market, between stalls of oranges,"
    " lemons and fresh bread, with a small dog running ahead, seen from slightly above, soft shadows, plenty of empty"
    " space on the right for a headline, calm and optimistic mood"
)


@pytest.mark.parametrize("size", [(1366, 768), (1440, 900), *WIDE], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", [drawing, complete])
def test_the_newest_four_are_wholly_visible_without_scrolling(
    stage_page: Page, stage: Stage, scene: Callable[[Stage, Page], None], size: tuple[int, int]
) -> None:
    stage_page.set_viewport_size({"width": size[0], "height": size[1]})
    scene(stage, stage_page)
    tiles = run(stage_page).get_by_role("listitem")
    expect(tiles).to_have_count(IMAGES_PER_JOB)
    assert tiles.evaluate_all(_WHOLLY_VISIBLE) == [True] * IMAGES_PER_JOB
    # Two by two, not one above the other.
    boxes = [tile.bounding_box() for tile in tiles.all()]
    assert len({round(box["x"]) for box in boxes if box}) == len({round(box["y"]) for box in boxes if box}) == 2
    # As large as the window's height allows: only the header, the bars below the pictures and gaps are left.
    assert sum(box["width"] for box in boxes if box) / 2 >= size[1] - 190


def test_pictures_are_two_by_two_on_a_phone_and_beside_each_other_nothing_overlaps(
    stage_page: Page, stage: Stage
) -> None:
    complete(stage, stage_page)
    screen = Screen(stage_page)
    for width in (360, 390, 480, 600):
        screen.show((width, 780), is_touched=True)
        boxes = [tile.bounding_box() for tile in run(stage_page).get_by_role("listitem").all()]
        assert [round(box["x"]) for box in boxes if box][:2] == [round(box["x"]) for box in boxes if box][2:], width
        assert len({round(box["x"]) for box in boxes if box}) == 2, width
        assert min(stage_page.evaluate(_GAPS_TO_THE_NEXT_TICK)) >= 0, width


@pytest.mark.parametrize("size", [COMPUTER, PHONE], ids=["computer", "phone"])
def test_with_forced_colours_no_border_touches_the_next_tick_box(
    stage_page: Page, stage: Stage, size: tuple[int, int]
) -> None:
    complete(stage, stage_page)
    Screen(stage_page).show(size, forced_colors="active")
    assert min(stage_page.evaluate(_GAPS_TO_THE_NEXT_TICK)) >= 4


@pytest.mark.parametrize("size", [(360, 740), (820, 1180), COMPUTER, *WIDE], ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_composer_covers_nothing_of_the_newest_run_however_long_the_prompt(
    stage_page: Page, stage: Stage, size: tuple[int, int]
) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, LONG)
    stage.publish(stage.claim(stage.newest()), draw(ROBOT))
    expect_four_pictures(run(stage_page))
    Screen(stage_page).show(size, is_touched=size[0] < 1000)
    field = prompt_field(stage_page)
    # On a phone it is at the bottom of the window: what it hides there can be scrolled to, and is on getting the focus.
    for reach, block in ((field.click, "center"), (field.blur, "nearest")):
        reach()
        assert not run(stage_page).get_by_role("heading").evaluate(_COVERED)
        for button in run(stage_page).get_by_role("button", name="Download illustration").all():
            button.evaluate("(button, block) => button.scrollIntoView({ block, behavior: 'instant' })", block)
            assert not button.evaluate(_COVERED)
        stage_page.evaluate("scrollTo({ top: 0, behavior: 'instant' })")
    is_whole = field.evaluate("(field) => field.scrollHeight <= field.clientHeight")
    expect(stage_page.get_by_text("…", exact=True)).to_be_visible(visible=not is_whole)
    assert is_whole or size[0] < 560  # only a phone shows one line of it


def test_four_places_are_there_before_the_network_has_answered(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    held: list[Route] = []
    stage_page.route("**/generate", lambda route: held.append(route))
    prompt_field(stage_page).fill(ROBOT)
    prompt_field(stage_page).press("Control+Enter")
    expect(run(stage_page).get_by_role("listitem")).to_have_count(IMAGES_PER_JOB, timeout=2000)
    expect(run(stage_page)).to_have_attribute("aria-busy", "true")
    expect(prompt_field(stage_page)).to_be_focused()
    assert stage.jobs() == []
    while not held:  # the tiles come first; on a busy machine the request is a moment later
        stage_page.wait_for_timeout(10)
    held[0].continue_()
    stage.newest()


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("worker", ["ready", "loading"])
def test_nothing_jumps_from_the_press_to_the_four_pictures(
    stage_page: Page, stage: Stage, worker: Literal["ready", "loading"], size: tuple[int, int]
) -> None:
    stage_page.set_viewport_size({"width": size[0], "height": size[1]})
    stage.measure()
    stage.announce(worker)
    sign_in(stage_page)
    prompt_field(stage_page).fill(ROBOT)
    generate_button(stage_page).click()
    expect(run(stage_page)).to_contain_text("Loading the model" if worker == "loading" else "in line")
    stage_page.evaluate(_WATCH_SHIFTS)
    held = draw_half(stage)
    expect(run(stage_page)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    stage.publish(held, draw(ROBOT))
    expect_four_pictures(run(stage_page))
    shifts = stage_page.evaluate("window.shifts")
    assert sum(shift["value"] for shift in shifts) <= 0.02, shifts


def test_what_breathes_while_it_is_drawn_stands_still_where_less_motion_is_asked_for(
    stage_page: Page, stage: Stage
) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROBOT)
    stage.report(stage.claim(stage.newest()), 1)  # nothing to see yet
    expect(run(stage_page)).to_contain_text(f"step 1 of {STEPS}")
    moving = "document.getAnimations().length"
    assert stage_page.evaluate(moving) >= IMAGES_PER_JOB
    stage_page.emulate_media(reduced_motion="reduce")
    assert stage_page.evaluate(moving) == 0
