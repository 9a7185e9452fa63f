"""The user stories in a real browser, against the real system (US-1 to US-4)."""

from __future__ import annotations

import hashlib
import re
import urllib.request

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.drawings import ROBOT
from tests.e2e.visitor import expect_four_pictures, generate, run, sign_in
from tests.system import System


def api_image(system: System, job_id: str, n: int) -> bytes:
    """An image's bytes, as the API gives them to curl."""
    request = urllib.request.Request(
        f"{system.origin}/jobs/{job_id}/images/{n}",
        headers={"Authorization": f"Bearer {system.command('token')}"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return bytes(response.read())


def test_a_member_signs_in_generates_downloads_and_generates_more(page: Page, system: System) -> None:
    job_ids: list[str] = []

    def remember(response: object) -> None:
        if response.request.method == "POST" and response.url.endswith("/generate"):  # type: ignore[attr-defined]
            job_ids.append(response.json()["job_id"])  # type: ignore[attr-defined]

    page.on("response", remember)
    sign_in(page)
    generate(page, ROBOT)
    # US-1: something to look at at once, moving, and then four different pictures.
    expect(run(page)).to_have_attribute("aria-busy", "true", timeout=2000)
    expect(run(page).get_by_role("progressbar")).to_be_visible()
    expect_four_pictures(run(page))
    pngs = [api_image(system, job_ids[0], n) for n in (1, 2, 3, 4)]
    assert len({hashlib.sha256(png).hexdigest() for png in pngs}) == 4

    # US-2: each download is the stored PNG, byte for byte, under a readable name.
    for n in (1, 2, 3, 4):
        with page.expect_download() as download:
            run(page).get_by_role("button", name=f"Download illustration {n}").click()
        name = download.value.suggested_filename
        assert re.fullmatch(
            rf"onbrand_a-robot-on-a-light-blue-background_\d{{4}}-\d\d-\d\d_{job_ids[0][:4]}_{n}\.png", name
        )
        assert download.value.path().read_bytes() == pngs[n - 1]

    # US-3: four new ones, and the earlier stay.
    run(page).get_by_role("button", name="Generate More").click()
    expect(page.get_by_role("article")).to_have_count(2)
    expect_four_pictures(run(page, 1))
    expect_four_pictures(run(page, 0))
    assert len(set(job_ids)) == 2
    assert api_image(system, job_ids[1], 1) not in pngs

    # A refresh loses nothing: still signed in, everything still there.
    page.reload()
    expect(page.get_by_role("article")).to_have_count(2)
    expect_four_pictures(run(page, 0))
    expect_four_pictures(run(page, 1))

    # US-4, the other way: signing out ends it, and the next visit asks again.
    page.get_by_role("button", name="Account: Studio member").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You're signed out")).to_be_visible()
    page.goto("/")
    expect(page.get_by_role("heading", name="Local sign-in (not Microsoft)")).to_be_visible()


def test_progress_is_shown_with_its_phase_step_and_percent(page: Page) -> None:
    sign_in(page)
    generate(page, "a teapot")
    bar = run(page).get_by_role("progressbar")
    expect(run(page)).to_contain_text(re.compile(r"step \d+ of 12"))
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[1-9]\d?$"))
    expect_four_pictures(run(page))


def test_a_refresh_in_the_middle_of_a_generation_goes_on_with_it(page: Page) -> None:
    sign_in(page)
    generate(page, "a camera")
    expect(run(page).get_by_role("progressbar")).to_be_visible()
    page.reload()
    expect(page.get_by_role("article")).to_have_count(1)
    expect_four_pictures(run(page))


def test_the_keyboard_alone_is_enough_to_generate(page: Page) -> None:
    sign_in(page)
    page.get_by_role("textbox", name="Describe the illustration").focus()
    page.keyboard.type("a cup of coffee")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")  # a second press makes no second run
    expect_four_pictures(run(page))
    expect(page.get_by_role("article")).to_have_count(1)


def test_a_cancelled_generation_says_so(page: Page) -> None:
    sign_in(page)
    generate(page, "a guitar")
    run(page).get_by_role("button", name="Cancel").click()
    expect(run(page)).to_contain_text("Cancelled")
    expect(run(page).get_by_role("progressbar")).to_have_count(0)


@pytest.mark.parametrize(
    ("account", "title"),
    [
        ("Outside the group", "Not in the studio's group"),
        ("Guest", "Guests can't use Onbrand"),
        ("Many groups", "Too many groups to list"),
    ],
)
def test_somebody_who_may_not_generate_is_told_why(page: Page, account: str, title: str) -> None:
    sign_in(page, account)
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.get_by_role("textbox")).to_have_count(0)


@pytest.mark.parametrize("person", ["outsider", "guest", "overage"])
def test_the_api_answers_403_to_whoever_may_not_generate(system: System, person: str) -> None:
    status, problem = system.request(
        "POST", "/generate", system.command("token", "--user", person), {"prompt": "a teapot"}
    )
    assert (status, problem["status"]) == (403, 403)


@pytest.mark.parametrize("width", [320, 1366])
def test_a_word_without_end_does_not_push_the_page_sideways(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 768})
    sign_in(page)
    generate(page, "Donaudampfschiff" * 31)
    expect_four_pictures(run(page))
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_a_prompt_is_text_wherever_it_is_shown(page: Page) -> None:
    sign_in(page)
    hostile = "<img src=x onerror=alert(1)> {{7*7}} \"><svg onload=alert(1)> %s ${jndi:x} '; DROP TABLE job"
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    generate(page, hostile)
    expect(run(page).get_by_role("heading", name=hostile)).to_be_visible()
    expect_four_pictures(run(page))
    with page.expect_download() as download:
        run(page).get_by_role("button", name="Download illustration 1").click()
    assert re.fullmatch(r"[a-z0-9_.-]+", download.value.suggested_filename)
