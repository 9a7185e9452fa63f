"""One system for all journeys, a browser context for each, and an eye on everything the page complains about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from onbrand.config import REPOSITORY
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.system import System, running_system

PATIENCE_MS = 45_000  # the machine may be busy with something else
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole system with the page as it is built."""
    assert (REPOSITORY / "web" / "dist" / "index.html").is_file(), "build the page first: make check"
    with running_system(tmp_path_factory.mktemp("e2e")) as system:
        system.wait_until_ready()
        yield system


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    # Not for the session: while it is open, no other event loop can run in this thread.
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    executable = find_browser(playwright)
    assert executable is not None, "no browser: python -m tests.e2e.browser"
    browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def context(browser: Browser, system: System, tmp_path: Path) -> Iterator[BrowserContext]:
    """A person's browser: nobody is signed in, nothing is stored."""
    context = browser.new_context(base_url=system.origin, viewport={"width": 1366, "height": 768})
    context.set_default_timeout(PATIENCE_MS)
    context.tracing.start(screenshots=True, snapshots=True)
    yield context
    context.tracing.stop(path=tmp_path / "trace.zip")
    context.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page logged as an error, CSP violations included; a journey may not cause any."""
    return []


@pytest.fixture
def page(context: BrowserContext, complaints: list[str]) -> Iterator[Page]:
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []
