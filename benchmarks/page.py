"""From a click on Generate to four visible pictures, in a real browser against the whole system on this machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from benchmarks.report import Figure
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.e2e.visitor import generate, run, sign_in
from tests.system import System, descendants, running_system

WARM_RUNS = 7
# Checked in every frame, inside the page. Playwright's own waiting would add up to a second.
_UNTIL_ALL_VISIBLE = """card => new Promise(done => {
  const look = () => {
    const pictures = [...card.querySelectorAll('img')];
    const visible = pictures.filter(picture => picture.complete && picture.naturalWidth === 512);
    if (visible.length === 4) done(); else requestAnimationFrame(look);
  };
  look();
})"""


def measure() -> Iterator[Figure]:
    """Seconds for the first generation after a start and for warm ones; peak memory of each process afterwards."""
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder)) as system, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(driver), args=ARGUMENTS)
        page = browser.new_page(base_url=system.origin)
        system.wait_until_ready()
        sign_in(page)
        yield Figure("click on Generate to four visible pictures, first after start", "s", [_seconds(page)])
        warm = [_seconds(page) for _ in range(WARM_RUNS)]
        yield Figure("click on Generate to four visible pictures, warm", "s", warm, "< 6 s")
        browser.close()
        for name, mebibytes in _peak_memory(system).items():
            yield Figure(f"peak memory: {name}", "MiB", [mebibytes])


def _seconds(page: Page) -> float:
    before = page.get_by_role("article").count()
    started = time.perf_counter()
    generate(page, "a red backpack on a light blue background")
    expect(page.get_by_role("article")).to_have_count(before + 1)
    run(page).evaluate(_UNTIL_ALL_VISIBLE)
    return time.perf_counter() - started


def _peak_memory(system: System) -> dict[str, float]:
    names = {b"onbrand\0api": "api", b"onbrand\0worker": "worker", b"onbrand.worker.child": "model process"}
    peaks = {}
    for pid in descendants(system.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        for part, name in names.items():
            if part in command:
                status = Path(f"/proc/{pid}/status").read_text()
                peaks[name] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return dict(sorted(peaks.items()))
