"""What a screen reader says of its own accord while a run goes on: what matters, and not every step."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.drawings import ROBOT, STEPS, draw
from tests.e2e.scenes import ready
from tests.e2e.stage import Stage
from tests.e2e.visitor import expect_four_pictures, generate, prompt_field, run, sign_in

_LISTEN = """() => {
  window.heard = [];
  const listen = () => {
    for (const region of document.querySelectorAll('[aria-live=polite], [role=status]')) {
      if (region.textContent && region.textContent !== region.heard) window.heard.push(region.textContent);
      region.heard = region.textContent;
    }
  };
  new MutationObserver(listen).observe(document.body, { childList: true, characterData: true, subtree: true });
}"""


def test_one_region_announces_the_quarters_and_not_the_steps(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    expect(prompt_field(stage_page)).to_be_visible()
    stage_page.evaluate(_LISTEN)
    generate(stage_page, ROBOT)
    expect(run(stage_page)).to_contain_text("in line")
    held = stage.claim(stage.newest())
    for step in range(STEPS + 1):
        stage.report(held, step)
        if step > 0:
            expect(run(stage_page)).to_contain_text(f"step {step} of {STEPS}")
    stage.publish(held, draw(ROBOT))
    expect_four_pictures(run(stage_page))
    assert stage_page.locator("[aria-live=assertive], [role=alert]").count() == 0
    assert stage_page.locator("[aria-live=polite], [role=status]").count() == 1
    heard = stage_page.evaluate("window.heard")
    assert [text.replace("\u00a0", " ").partition(".")[0].strip() for text in heard] == [
        "Queued",
        "Drawing started",
        "25 % done",
        "50 % done",
        "75 % done",
        "4 illustrations ready",
    ]
