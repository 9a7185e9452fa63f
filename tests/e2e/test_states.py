"""Every state of the page, in both themes and on every kind of screen: what everybody must be able to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.e2e.axe import violations
from tests.e2e.conftest import StageOpener, new_context
from tests.e2e.review_scenes import ALL_SCENES
from tests.e2e.scenes import Scene
from tests.e2e.screen import COMPUTER, PHONE, Screen

# What can be pressed or typed into; a label is part of its field's target.
_SMALL_TARGETS = """(least) => {
  const boxes = [...document.querySelectorAll('a[href], button, input, select, summary, textarea, [role=button]')]
    .filter((element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
    .map((element) => ({ element, box: (element.closest('label') ?? element).getBoundingClientRect() }));
  return boxes
    .filter(({ box }) => box.width < least - 0.01 || box.height < least - 0.01)
    .map(({ element, box }) => `${element.ariaLabel ?? element.textContent} is ${box.width} by ${box.height}`);
}"""


@pytest.fixture(scope="module", params=ALL_SCENES, ids=lambda scene: scene.name)
def shown(request: pytest.FixtureRequest, browser: Browser, new_stage: StageOpener) -> Iterator[Screen]:
    """The page in one state, set up once for all tests that look at it."""
    scene: Scene = request.param
    with new_stage() as stage, new_context(browser, stage.origin) as context:
        screen = Screen(context.new_page())
        scene.set_up(stage, screen.page)
        yield screen


@pytest.fixture(autouse=True)
def _in_that_state(request: pytest.FixtureRequest, shown: Screen) -> Iterator[None]:
    """What was looked at is what was to be looked at."""
    yield
    scene: Scene = request.node.callspec.params["shown"]
    scene.expect_shown(shown.page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [COMPUTER, PHONE], ids=["computer", "phone"])
def test_axe_finds_nothing(shown: Screen, theme: str, size: tuple[int, int]) -> None:
    shown.show(size, color_scheme=theme)
    assert violations(shown.page) == []


def test_axe_finds_nothing_with_forced_colours(shown: Screen) -> None:
    shown.show(COMPUTER, forced_colors="active")
    assert violations(shown.page) == []


def test_nothing_moves_where_less_motion_is_asked_for(shown: Screen) -> None:
    shown.show(COMPUTER, reduced_motion="reduce")
    assert shown.page.evaluate("document.getAnimations().map(({ effect }) => effect.target.outerHTML)") == []


@pytest.mark.parametrize("width", [320, 360, 390, 820, 900, 1366, 2560])
def test_there_is_no_sideways_scroll(shown: Screen, width: int) -> None:
    shown.show((width, 768))
    assert shown.page.evaluate("document.documentElement.scrollWidth") == width


def test_there_is_no_sideways_scroll_at_200_percent(shown: Screen) -> None:
    shown.zoom(COMPUTER, 2)
    assert shown.page.evaluate("[innerWidth, devicePixelRatio]") == [683, 2]
    assert shown.page.evaluate("document.documentElement.scrollWidth") == 683


def test_every_target_is_large_enough_for_a_mouse(shown: Screen) -> None:
    shown.show(COMPUTER)
    assert shown.page.evaluate(_SMALL_TARGETS, 24) == []


def test_every_target_is_large_enough_for_a_finger(shown: Screen) -> None:
    shown.show(PHONE, is_touched=True)
    assert shown.page.evaluate("matchMedia('(pointer: coarse)').matches")
    assert shown.page.evaluate(_SMALL_TARGETS, 44) == []
