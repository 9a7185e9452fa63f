"""A browser for each person, before the real system or before a stage, and an eye on what the page complains about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, ViewportSize, expect, sync_playwright

from onbrand.config import REPOSITORY
from onbrand.local.postgres import EmbeddedPostgres
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.e2e.stage import Stage, new_database, open_stage
from tests.system import System, running_system

PATIENCE_MS = 45_000  # the machine may be busy with something else
_SCREEN: ViewportSize = {"width": 1366, "height": 768}
# Seen once, of four pictures, on a busy machine. No code of the page connects to a blob, which its policy refuses.
_OF_A_BLOB = "Connecting to 'blob:"
_NOT_FROM_THE_PAGE = "Failed to load resource"  # the browser's own line for every answer that is no 2xx
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def web_dir() -> Path:
    """The page as it is built."""
    web_dir = REPOSITORY / "web" / "dist"
    assert (web_dir / "index.html").is_file(), "build the page first: make check"
    return web_dir


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, web_dir: Path) -> Iterator[System]:  # noqa: ARG001
    """The whole system with that page."""
    with running_system(tmp_path_factory.mktemp("e2e")) as system:
        system.wait_until_ready()
        yield system


StageOpener = Callable[[], AbstractContextManager[Stage]]


@pytest.fixture(scope="session")
def new_stage(postgres: EmbeddedPostgres, web_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> StageOpener:
    """Opens a stage with a database and a folder of its own."""

    @contextmanager
    def open_one() -> Iterator[Stage]:
        with open_stage(new_database(postgres), tmp_path_factory.mktemp("stage"), web_dir) as stage:
            yield stage

    return open_one


@pytest.fixture
def stage(new_stage: StageOpener) -> Iterator[Stage]:
    """The API and the page, with no worker but the test."""
    with new_stage() as stage:
        yield stage


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


@contextmanager
def new_context(browser: Browser, origin: str) -> Iterator[BrowserContext]:
    """A person's browser: nobody is signed in, nothing is stored."""
    context = browser.new_context(base_url=origin, viewport=_SCREEN)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def context(browser: Browser, system: System, tmp_path: Path) -> Iterator[BrowserContext]:
    """A person's browser before the system."""
    with new_context(browser, system.origin) as context, _traced(context, tmp_path):
        yield context


@pytest.fixture
def stage_context(browser: Browser, stage: Stage, tmp_path: Path) -> Iterator[BrowserContext]:
    """A person's browser before the stage."""
    with new_context(browser, stage.origin) as context, _traced(context, tmp_path):
        yield context


@contextmanager
def _traced(context: BrowserContext, tmp_path: Path) -> Iterator[None]:
    context.tracing.start(screenshots=True, snapshots=True)
    yield
    context.tracing.stop(path=tmp_path / "trace.zip")


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab before the system. It may not log an error, CSP violations included."""
    with watched(context.new_page()) as page:
        yield page


@pytest.fixture
def stage_page(stage_context: BrowserContext) -> Iterator[Page]:
    """A tab before the stage. It may not log an error, but what it asks for may be refused."""
    with watched(stage_context.new_page(), _NOT_FROM_THE_PAGE) as page:
        yield page


@contextmanager
def watched(page: Page, allowed: str | None = None) -> Iterator[Page]:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    ignored = (_OF_A_BLOB, allowed) if allowed else _OF_A_BLOB
    assert [text for text in complaints if not text.startswith(ignored)] == []
