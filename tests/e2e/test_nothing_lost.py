"""What people have typed, asked for and received survives refreshes, double presses, other tabs and lost networks."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from onbrand.errors import GpuMemory
from tests.e2e.drawings import ROBOT, ROCKET, STEP_REACHED, STEPS, draw
from tests.e2e.scenes import ALARM_CLOCK, draw_half, expired, finish, ready, signing_in
from tests.e2e.stage import Stage
from tests.e2e.visitor import (
    choose_account,
    expect_four_pictures,
    generate,
    generate_button,
    prompt_field,
    run,
    runs,
    sign_in,
)

RESTORED_MS = 2000


def prompts(page: Page) -> list[str]:
    """What the runs on the page are of, the newest first."""
    return runs(page).get_by_role("heading", level=2).all_inner_texts()


def count_presses(page: Page) -> list[str]:
    """Grows by one with each request for a generation."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if request.url.endswith("/generate") else None)
    return seen


def test_a_refresh_restores_every_run_in_order_and_goes_on(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROCKET)
    finish(stage, ROCKET)
    generate(stage_page, "a broken one")
    stage.fail(stage.claim(stage.newest(2)), GpuMemory)
    generate(stage_page, ROBOT)
    held = draw_half(stage, 3)
    generate(stage_page, ALARM_CLOCK)
    stage.newest(4)
    everything = [ALARM_CLOCK, ROBOT, "a broken one", ROCKET]
    assert prompts(stage_page) == everything

    stage_page.reload()
    expect(runs(stage_page)).to_have_count(4, timeout=RESTORED_MS)
    expect(run(stage_page, 0)).to_contain_text("in line", timeout=RESTORED_MS)
    expect(run(stage_page, 1)).to_contain_text(f"step {STEP_REACHED} of {STEPS}", timeout=RESTORED_MS)
    expect(run(stage_page, 2)).to_contain_text(GpuMemory.title, timeout=RESTORED_MS)
    expect_four_pictures(run(stage_page, 3))
    assert prompts(stage_page) == everything

    stage.report(held, STEP_REACHED + 1)
    expect(run(stage_page, 1)).to_contain_text(f"step {STEP_REACHED + 1} of {STEPS}", timeout=RESTORED_MS)
    stage.publish(held, draw(ROBOT))
    expect_four_pictures(run(stage_page, 1))


def test_a_refresh_while_it_is_being_sent_makes_no_second_job(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    held: list[Route] = []
    stage_page.route("**/generate", lambda route: held.append(route))
    generate(stage_page, ROBOT)
    expect(runs(stage_page)).to_have_count(1)
    held[0].continue_()
    stage.newest()  # it is stored, but whether the page heard of that is open
    stage_page.unroute_all(behavior="ignoreErrors")
    stage_page.reload()
    expect(run(stage_page)).to_contain_text("in line")
    assert (len(stage.jobs()), prompts(stage_page)) == (1, [ROBOT])


def test_an_expired_run_says_so_and_can_be_generated_again(stage_page: Page, stage: Stage) -> None:
    expired(stage, stage_page)
    expect(run(stage_page).get_by_role("img")).to_have_count(0)  # no broken pictures either
    run(stage_page).get_by_role("button", name="Generate again").click()
    expect(run(stage_page)).to_contain_text("in line")  # the card shows before the job is stored; this says it is
    assert stage.execute("select prompt from job where status = 'queued'") == [{"prompt": ROBOT}]


def test_a_double_click_makes_one_job(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROCKET)  # from here on the button stays where it is, under the second click
    expect(run(stage_page)).to_contain_text("in line")
    prompt_field(stage_page).fill(ROBOT)
    expect(generate_button(stage_page)).to_be_enabled()
    presses = count_presses(stage_page)
    generate_button(stage_page).dblclick()
    expect(run(stage_page)).to_contain_text("2nd in line")
    assert (len(stage.jobs()), len(presses), runs(stage_page).count()) == (2, 1, 2)


def repeat_enter(page: Page) -> None:
    """Hold Enter down for about a second: the first key press, if it is not down yet, and its repeats."""
    for _ in range(40):
        page.keyboard.down("Enter")


@pytest.mark.parametrize("where", ["field", "button"])
def test_enter_held_down_makes_one_job(stage_page: Page, stage: Stage, where: str) -> None:
    ready(stage)
    sign_in(stage_page)
    prompt_field(stage_page).fill(ROBOT)
    presses = count_presses(stage_page)
    if where == "button":
        generate_button(stage_page).focus()
    else:
        stage_page.keyboard.down("Control")
    repeat_enter(stage_page)
    expect(run(stage_page)).to_contain_text("in line")
    expect(generate_button(stage_page)).to_be_enabled()  # the time in which a second click is ignored is over
    repeat_enter(stage_page)
    stage_page.keyboard.up("Enter")
    stage_page.keyboard.up("Control")
    assert (len(stage.jobs()), len(presses), runs(stage_page).count()) == (1, 1, 1)


def test_two_tabs_keep_out_of_each_others_way(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    other = stage_page.context.new_page()
    other.goto("/")  # the sign-in knows who this is and asks nothing
    expect(prompt_field(other)).to_be_visible()  # a tab that opens later begins with this one's runs
    generate(stage_page, ROBOT)
    first = stage.newest()
    generate(other, ROCKET)
    second = stage.newest(2)
    held = stage.claim(second)
    stage.publish(held, draw(ROCKET))
    expect_four_pictures(run(other))
    expect(run(stage_page)).to_contain_text("in line")
    stage.fail(stage.claim(first), GpuMemory)
    expect(run(stage_page)).to_contain_text(GpuMemory.title)
    assert (prompts(stage_page), prompts(other)) == ([ROBOT], [ROCKET])
    other.reload()
    expect_four_pictures(run(other))


def test_a_closed_tab_loses_no_run(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROCKET)
    finish(stage, ROCKET)
    expect_four_pictures(run(stage_page))
    other = stage_page.context.new_page()  # side by side, with a run of its own
    other.goto("/")
    expect(run(other)).to_be_visible()
    generate(other, ALARM_CLOCK)
    stage.newest(2)
    generate(stage_page, ROBOT)
    held = draw_half(stage, 3)
    stage_page.close()
    other.close()

    again = stage_page.context.new_page()
    again.goto("/")  # the sign-in knows who this is and asks nothing
    expect(run(again, 0)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    assert prompts(again) == [ROBOT, ALARM_CLOCK, ROCKET]
    expect_four_pictures(run(again, 2))
    run(again, 1).get_by_role("button", name="Cancel").click()
    expect(run(again, 1)).to_contain_text("Cancelled")
    stage.publish(held, draw(ROBOT))
    expect_four_pictures(run(again))

    again.get_by_role("button", name="Account: Studio member").click()
    again.get_by_role("button", name="Sign out").click()
    expect(again.get_by_role("heading", name="You're signed out")).to_be_visible()
    assert again.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('onbrand.kept.'))") == []
    sign_in(again)
    expect(prompt_field(again)).to_be_visible()
    expect(runs(again)).to_have_count(0)


def test_a_lost_connection_fails_no_run_and_is_caught_up_with(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROBOT)
    held = draw_half(stage)
    expect(run(stage_page)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    stage_page.context.set_offline(True)
    expect(stage_page.get_by_role("complementary", name="Connection")).to_contain_text("offline")
    prompt_field(stage_page).fill(ROCKET)
    expect(generate_button(stage_page)).to_be_disabled()
    stage.publish(held, draw(ROBOT))
    expect(run(stage_page)).to_have_attribute("aria-busy", "true")
    expect(run(stage_page).get_by_role("button", name="Try again")).to_have_count(0)

    stage_page.context.set_offline(False)
    expect_four_pictures(run(stage_page))
    expect(stage_page.get_by_role("complementary", name="Connection")).to_have_count(0)
    expect(prompt_field(stage_page)).to_have_value(ROCKET)
    assert len(stage.jobs()) == 1


def test_a_press_that_the_network_swallowed_is_sent_again_once(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    presses = count_presses(stage_page)
    stage_page.route("**/generate", lambda route: route.abort("connectionreset"), times=1)
    generate(stage_page, ROBOT)
    expect(run(stage_page)).to_contain_text("in line")
    assert (len(presses), len(stage.jobs()), runs(stage_page).count()) == (2, 1, 1)


def test_the_prompt_survives_a_refresh_and_the_sign_in(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    prompt_field(stage_page).fill(ROBOT)
    stage_page.reload()
    expect(prompt_field(stage_page)).to_have_value(ROBOT)
    # The session is over, in the browser and at the sign-in service.
    stage_page.evaluate(
        "Object.keys(sessionStorage).filter((k) => k === 'onbrand.token' || !/onbrand/.test(k))"
        ".forEach((k) => sessionStorage.removeItem(k))"
    )
    stage_page.context.clear_cookies()
    stage_page.reload()
    choose_account(stage_page)
    expect(prompt_field(stage_page)).to_have_value(ROBOT)


def test_the_prompt_survives_a_sign_in_that_is_refused(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)

    def spoil(route: Route) -> None:
        route.continue_(headers=route.request.headers | {"authorization": "Bearer spoilt"})

    stage_page.route("**/generate", spoil)
    generate(stage_page, ROBOT)
    again = stage_page.get_by_role("button", name="Sign in again")
    expect(again).to_be_visible()
    assert stage.jobs() == []
    stage_page.unroute_all()
    again.click()
    stage_page.wait_for_url(re.compile(r"^http://localhost:\d+/$"))
    expect(run(stage_page)).to_contain_text("in line")  # what was pressed is sent after all
    expect(prompt_field(stage_page)).to_have_value(ROBOT)
    assert (len(stage.jobs()), prompts(stage_page)) == (1, [ROBOT])


def test_while_signing_in_the_typed_prompt_can_be_read(stage_page: Page, stage: Stage) -> None:
    signing_in(stage, stage_page)
    expect(stage_page.get_by_text(ROBOT)).to_be_visible()
