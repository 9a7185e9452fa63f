"""Each thing that can go wrong has a text of its own: what happened, what is kept, what to do, and what to quote."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from onbrand.errors import NotInGroup, TooManyQueued, job_failure
from tests.e2e.drawings import ROBOT
from tests.e2e.scenes import FAILURES, all_failures, ask_too_often, not_in_group, ready
from tests.e2e.stage import Stage
from tests.e2e.visitor import generate, prompt_field, run, runs, sign_in


@pytest.mark.parametrize("code", FAILURES)
def test_a_failed_run_says_why_and_what_to_do(stage_page: Page, stage: Stage, code: str) -> None:
    failure = job_failure(code)
    ready(stage)
    sign_in(stage_page)
    generate(stage_page, ROBOT)
    FAILURES[code](stage)
    expect(run(stage_page)).to_contain_text(failure.title)
    expect(run(stage_page)).to_contain_text(failure.detail)
    expect(run(stage_page)).to_contain_text(str(stage.newest())[:4])  # the reference
    expect(run(stage_page)).not_to_have_attribute("aria-busy", "true")
    expect(run(stage_page).get_by_role("button", name="Edit prompt")).to_be_visible()

    run(stage_page).get_by_role("button", name="Try again").click()
    stage.newest(2)
    expect(run(stage_page).get_by_role("progressbar")).to_be_visible()


def test_too_many_requests_are_refused_with_a_sentence(stage_page: Page, stage: Stage) -> None:
    ready(stage)
    sign_in(stage_page)
    ask_too_often(stage, stage_page)
    expect(run(stage_page)).to_contain_text(TooManyQueued.title)
    expect(run(stage_page)).to_contain_text(TooManyQueued.detail)
    expect(run(stage_page).get_by_role("button", name="Try again")).to_be_visible()
    expect(prompt_field(stage_page)).to_have_value(ROBOT)
    assert len(stage.jobs()) == stage.service.settings.max_queued_per_user


def test_no_two_failures_read_alike(stage_page: Page, stage: Stage) -> None:
    all_failures(stage, stage_page)
    titles = {job_failure(code).title for code in FAILURES} | {TooManyQueued.title}
    found = [{title for title in titles if title in text} for text in runs(stage_page).all_inner_texts()]
    assert [len(some) for some in found] == [1] * len(titles)
    assert set().union(*found) == titles


def test_who_is_not_in_the_group_is_told_whom_to_ask(stage_page: Page, stage: Stage) -> None:
    not_in_group(stage, stage_page)
    expect(stage_page.get_by_text(NotInGroup.detail)).to_be_visible()
    expect(stage_page.get_by_role("button", name="Copy request text")).to_be_visible()
    expect(stage_page.get_by_role("textbox", name="Describe the illustration")).to_have_count(0)
