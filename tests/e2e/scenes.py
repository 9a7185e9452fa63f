"""Every state that the page can be in, set up on a stage in a browser where nobody is signed in yet.

Each scene ends when the page shows its state; so each is a test in itself that the state can be reached. The tests and
the screenshots are made of the same scenes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from onbrand.errors import GenerationTimedOut, GpuMemory, ImagesNotStored
from onbrand.jobs.models import Claim
from tests.e2e.drawings import ROBOT, ROCKET, STEP_REACHED, STEPS, draw
from tests.e2e.stage import Stage
from tests.e2e.visitor import (
    expect_four_pictures,
    generate,
    generate_button,
    pictures,
    prompt_field,
    run,
    runs,
    sign_in,
)

ALARM_CLOCK = "a blue alarm clock"
USUAL_SECONDS = 35


@dataclass(frozen=True)
class Scene:
    """A state of the page: its name in file names and tests, how to get there, and a text by which one knows it."""

    name: str
    set_up: Callable[[Stage, Page], None]
    sign: str
    is_long: bool = False  # it doesn't fit on a screen

    def expect_shown(self, page: Page) -> None:
        """Whether that is what the page shows; what a screen reader was told earlier does not count."""
        expect(page.locator("main, aside, dialog").get_by_text(self.sign).first).to_be_visible()


def empty(stage: Stage, page: Page) -> None:
    """Signed in, nothing asked for yet."""
    ready(stage)
    sign_in(page)
    expect(prompt_field(page)).to_be_focused()
    expect(page.get_by_role("list", name="Drawn in this style before").get_by_role("img")).to_have_count(4)


def signing_in(stage: Stage, page: Page) -> None:
    """Coming back with a prompt typed earlier, while the API has not yet said who this is."""
    ready(stage)
    sign_in(page)
    prompt_field(page).fill(ROBOT)
    page.route("**/me", lambda route: route.continue_(url=stage.silence))
    page.reload()
    expect(page.get_by_text("Signing you in")).to_be_visible()


def not_in_group(stage: Stage, page: Page) -> None:
    """Signed in, but not a member of the studio."""
    ready(stage)
    sign_in(page, "Outside the group")
    expect(page.get_by_role("heading", name="Not in the studio's group")).to_be_visible()


def queued(stage: Stage, page: Page) -> None:
    """Somebody's job is being drawn, somebody else's waits, then comes this one."""
    ready(stage)
    held = stage.claim(stage.submit(ROCKET))
    stage.report(held, STEP_REACHED)
    stage.submit(ROCKET)
    sign_in(page)
    generate(page, ROBOT)
    expect(run(page)).to_contain_text("2nd in line")
    expect(run(page)).to_contain_text(re.compile(r"about .*\d+ s"))
    expect(generate_button(page)).to_be_enabled()


def cold_start(stage: Stage, page: Page) -> None:
    """The only worker is still loading its model."""
    stage.measure()
    stage.announce("loading")
    sign_in(page)
    generate(page, ROBOT)
    expect(run(page)).to_contain_text("Loading the model")
    expect(generate_button(page)).to_be_enabled()


def drawing(stage: Stage, page: Page) -> None:
    """Somewhat more than half of the steps are done."""
    ready(stage)
    sign_in(page)
    generate(page, ROBOT)
    draw_half(stage)
    expect(run(page)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    expect(generate_button(page)).to_be_enabled()


def draw_two(stage: Stage, page: Page) -> None:
    """Sign in and have two prompts drawn."""
    ready(stage)
    sign_in(page)
    for count, prompt in enumerate((ROCKET, ROBOT), start=1):
        generate(page, prompt)
        finish(stage, prompt, count)
        expect_four_pictures(run(page))


def complete(stage: Stage, page: Page) -> None:
    """Four pictures, above four earlier ones."""
    draw_two(stage, page)
    prompt_field(page).blur()
    expect(generate_button(page)).to_be_enabled()


def large(stage: Stage, page: Page) -> None:
    """One of four pictures, large."""
    complete(stage, page)
    pictures(run(page)).nth(1).click()
    expect(pictures(page.get_by_role("dialog"))).to_have_js_property("naturalWidth", 1024)


def asked(stage: Stage, page: Page) -> None:
    """The first picture has been saved: was it useful? Two are ticked."""
    complete(stage, page)
    with page.expect_download():
        run(page).get_by_role("button", name="Download illustration 1").click()
    for box in run(page).get_by_role("checkbox").all()[1:3]:
        box.check()
    expect(run(page).get_by_text("Was this useful?")).to_be_visible()
    expect(run(page).get_by_role("button", name="Download 2")).to_be_visible()


def failed(stage: Stage, page: Page) -> None:
    """One that failed, above an earlier one that did not."""
    ready(stage)
    sign_in(page)
    generate(page, ROCKET)
    finish(stage, ROCKET)
    expect_four_pictures(run(page))
    generate(page, ROBOT)
    stage.fail(stage.claim(stage.newest(2)), GpuMemory)
    expect(run(page)).to_contain_text("Not enough GPU memory")
    expect(generate_button(page)).to_be_enabled()


#: What can go wrong with a job, by the code the API names it with, and how it comes about.
FAILURES: dict[str, Callable[[Stage], None]] = {
    "gpu_memory": lambda stage: stage.fail(stage.claim(stage.newest()), GpuMemory),
    "no_capacity": lambda stage: stage.wait_in_vain(stage.newest()),
    "timeout": lambda stage: stage.fail(stage.claim(stage.newest()), GenerationTimedOut),
    "deadline_passed": lambda stage: stage.take_too_long(stage.claim(stage.newest())),
    "worker_lost": lambda stage: stage.lose_the_worker(stage.claim(stage.newest())),
    "storage_unavailable": lambda stage: stage.fail(stage.claim(stage.newest()), ImagesNotStored),
}


def all_failures(stage: Stage, page: Page) -> None:
    """One of each failure, and a request that was refused because too many wait."""
    ready(stage)
    sign_in(page)
    for count, happen in enumerate(FAILURES.values(), start=1):
        generate(page, ROBOT)
        stage.newest(count)
        happen(stage)
        expect(run(page).get_by_role("button", name="Try again")).to_be_visible()
    ask_too_often(stage, page)


def ask_too_often(stage: Stage, page: Page) -> None:
    """As many of one's own wait as may, and one presses Generate once more."""
    for _ in range(stage.service.settings.max_queued_per_user):
        stage.submit(ROCKET, stage.member)
    generate(page, ROBOT)
    expect(run(page)).to_contain_text("Too many waiting")
    expect(generate_button(page)).to_be_enabled()


def expired(stage: Stage, page: Page) -> None:
    """Four pictures that were kept for their full time, above four that still are."""
    draw_two(stage, page)
    stage.expire(stage.newest())
    page.reload()
    expect(run(page)).to_contain_text("Deleted after 30 days")
    expect_four_pictures(run(page, 1))


def offline(stage: Stage, page: Page) -> None:
    """The connection is gone while one is drawn and another has been typed."""
    ready(stage)
    sign_in(page)
    generate(page, ROCKET)
    finish(stage, ROCKET)
    expect_four_pictures(run(page))
    generate(page, ROBOT)
    draw_half(stage, 2)
    expect(run(page)).to_contain_text(f"step {STEP_REACHED} of {STEPS}")
    prompt_field(page).fill(ALARM_CLOCK)
    expect(generate_button(page)).to_be_enabled()
    page.context.set_offline(True)
    expect(page.get_by_text(re.compile("offline", re.IGNORECASE)).first).to_be_visible()
    expect(runs(page)).to_have_count(2)


SCENES = (
    Scene("empty", empty, "Start from an example"),
    Scene("signing-in", signing_in, "Signing you in"),
    Scene("not-in-group", not_in_group, "Not in the studio's group"),
    Scene("queued", queued, "2nd in line"),
    Scene("cold-start", cold_start, "Loading the model"),
    Scene("drawing", drawing, f"step {STEP_REACHED} of {STEPS}"),
    Scene("complete", complete, "Generate More"),
    Scene("large", large, "100 %"),
    Scene("asked", asked, "Was this useful?"),
    Scene("failed", failed, "Not enough GPU memory"),
    Scene("all-failures", all_failures, "Too many waiting", is_long=True),
    Scene("expired", expired, "Deleted after 30 days"),
    Scene("offline", offline, "You're offline"),
)


def ready(stage: Stage) -> None:
    """A worker waits for jobs, and it is known how long they take."""
    stage.measure()
    stage.announce("ready")


def draw_half(stage: Stage, count: int = 1) -> Claim:
    """Draw the newest of the member's `count` jobs as far as one can see what it becomes."""
    held = stage.claim(stage.newest(count))
    stage.report(held, STEP_REACHED, draw(ROBOT).previews)
    return held


def finish(stage: Stage, prompt: str, count: int = 1) -> None:
    """Draw the newest of the member's `count` jobs, in the usual time."""
    held = stage.claim(stage.newest(count))
    stage.report(held, STEPS)
    stage.pass_time(held.job_id, USUAL_SECONDS)
    stage.publish(held, draw(prompt))
