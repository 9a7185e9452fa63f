"""The page that `onbrand dataset check` writes, in a real browser: both themes, small and large, for everyone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, ImageOps
from playwright.sync_api import Browser, ConsoleMessage, Page

from onbrand.dataset.check import check
from onbrand.dataset.report import page as report
from tests.e2e.axe import violations
from tests.studio import draw, write_studio


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with something of each kind: errors, warnings, notes, what can't be shown, and long names."""
    folder = write_studio(tmp_path_factory.mktemp("studio") / "illustrations", 10)
    long = "a-picture-with-a-name-" * 6
    ImageOps.mirror(draw(1)[0]).save(folder / f"{long}.png")
    (folder / f"{long}.txt").write_text("a bottle " * 40)
    (folder / "cut.png").write_bytes((folder / "01-mug.png").read_bytes()[:4000])
    (folder / "logo.svg").write_text("<svg/>")
    draw(12, 500)[0].save(folder / "small.png")
    sticker = Image.new("RGBA", (1024, 1024), (0, 0, 0, 0))
    sticker.paste((200, 30, 40, 255), (300, 300, 700, 700))
    sticker.save(folder / "كوب.png")
    (folder / "كوب.txt").write_text("كوب أحمر", "utf-8")
    file = folder.parent / "report.html"
    file.write_text(report(check(folder)), "utf-8")
    return file


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture(params=[("light", 1366), ("dark", 1366), ("light", 360)], ids=["light", "dark", "small"])
def opened(request: pytest.FixtureRequest, browser: Browser, written: Path, complaints: list[str]) -> Iterator[Page]:
    scheme: Literal["light", "dark"]
    scheme, width = request.param
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()

    def hear(message: ConsoleMessage) -> None:
        complaints.append(message.text)

    page.on("console", hear)
    page.on("request", lambda sent: complaints.append(sent.url) if sent.url.startswith("http") else None)
    page.goto(written.as_uri())
    yield page
    context.close()


def test_the_report_is_whole_and_can_be_used_by_everyone(opened: Page, complaints: list[str]) -> None:
    assert opened.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert violations(opened) == []
    assert complaints == []


def test_a_mark_on_a_picture_leads_to_its_finding(opened: Page) -> None:
    mark = opened.locator(".marks a", has_text="looks like another")
    mark.click()
    finding = opened.locator(mark.get_attribute("href") or "")
    assert "02-bottle.png, mirrored" in finding.inner_text()
    assert finding.evaluate("element => element.getBoundingClientRect().top < innerHeight")
