"""Responsiveness of the page, in a real browser with the whole system: layout shifts, key latency, time to refresh.

The figures come from the page's own clock and from the browser's records (layout shifts, event timing, largest
contentful paint), so that they do not contain Playwright's own time. The processor is unthrottled, or four times
slower.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.report import Figure, percentile
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.e2e.visitor import generate, prompt_field, runs, sign_in
from tests.system import System, running_system, wait_until

GENERATIONS = 7
LOADS = 7
REFRESHES = 5
_PROMPT = "a red backpack on a light blue background"
_WORDS = "a yellow sofa, "
_KEY_EVERY_MS = 30
_SHORTEST_MS = 16.0  # the browser records no shorter event
_SETTLE_MS = 400.0  # the pictures fade in, and shifts during this time count too

# This script runs before the page's own scripts, on every load. Times are milliseconds since the navigation began.
_RECORDER = """
(() => {
  const seen = { shifts: [], events: [], paints: [], keys: [], marks: {} };
  const record = (type, list, take, options) => new PerformanceObserver((entries) => {
    for (const entry of entries.getEntries()) list.push(take(entry));
  }).observe({ type, buffered: true, ...options });
  const names = ({ sources }) => sources.map(({ node }) => node?.className || node?.nodeName);
  record('layout-shift', seen.shifts, (e) => ({ at: e.startTime, value: e.value, names: names(e) }));
  record('largest-contentful-paint', seen.paints, (e) => e.startTime);
  const timing = (e) => ({ at: e.startTime, ms: e.duration, key: e.interactionId, name: e.name });
  record('event', seen.events, timing, { durationThreshold: 16 });
  addEventListener('keydown', (event) => seen.keys.push(event.timeStamp), { capture: true });
  // Take the time one frame after the condition became true, because then it has been painted.
  const mark = (name, isTrue) => {
    const paint = () => requestAnimationFrame(() => { seen.marks[name] = performance.now(); });
    const look = () => (isTrue() ? paint() : requestAnimationFrame(look));
    look();
  };
  mark('ready', () => document.querySelector('textarea'));
  const cards = () => [...document.querySelectorAll('article')];
  const isShown = (picture) => picture.complete && picture.naturalWidth === 512;
  const hasAll = (card) => [...card.querySelectorAll('figure img')].filter(isShown).length === 4;
  const isMoving = (card) => Number(card.querySelector('[role=progressbar]')?.ariaValueNow) > 0;
  const expected = Number(sessionStorage.getItem('expected runs'));
  if (expected > 0) {
    mark('back', () => cards().length === expected && cards().every((card) => hasAll(card) || isMoving(card)));
  }
  seen.expectPress = () => {
    const before = cards().length;
    const isNew = (isTrue) => () => cards().length > before && isTrue(cards()[0]);
    seen.marks = {};
    addEventListener('pointerdown', (event) => { seen.marks.press = event.timeStamp; }, { capture: true, once: true });
    mark('card', isNew((card) => card.querySelectorAll('figure').length === 4));
    mark('complete', isNew((card) => card.dataset.state === 'complete'));
    mark('pictures', isNew(hasAll));
  };
  window.seen = seen;
})();
"""
_PERCENT = "document.querySelector('article [role=progressbar]')?.ariaValueNow"
Seen = dict[str, Any]


def measure() -> Iterator[Figure]:
    """Milliseconds, seconds, and the browser's layout shift score. Each part has a tab of its own."""
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder)) as system, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=find_browser(driver), args=ARGUMENTS)
        system.wait_until_ready()
        with _tab(browser, system) as page:
            yield from _of_loads([_load(page) for _ in range(LOADS)], "no run")
        for rate, which in ((1, ""), (4, ", processor 4× slower")):
            with _tab(browser, system, slower=rate) as page:
                yield from _of_generations([_generation(page) for _ in range(GENERATIONS)], which)
        with _tab(browser, system) as page:
            back = [_refresh(page) for _ in range(REFRESHES)]
            yield Figure(f"refresh to 1 to {REFRESHES} runs restored, one being drawn", "s", back, "≤ 2 s")
            yield from _of_loads([_load(page) for _ in range(LOADS)], f"{REFRESHES} runs")
        browser.close()


@contextmanager
def _tab(browser: Browser, system: System, *, slower: int = 1) -> Iterator[Page]:
    """A tab in which a person is signed in and has no run yet."""
    page = browser.new_page(base_url=system.origin, viewport={"width": 1366, "height": 768})
    page.add_init_script(_RECORDER)
    sign_in(page)
    prompt_field(page).wait_for()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
    yield page
    page.close()


def _refresh(page: Page) -> float:
    """Seconds from a refresh in the middle of a drawing until every run shows its pictures or its progress again."""
    generate(page, _PROMPT)
    _wait_for(page, f"{_PERCENT} > 0")
    count = runs(page).count()
    page.evaluate(f"sessionStorage.setItem('expected runs', {count})")
    page.reload()
    seconds: float = _wait_for(page, "seen.marks.back") / 1000
    _wait_for(page, f"document.querySelectorAll('article[data-state=complete]').length === {count}")
    return seconds


def _wait_for(page: Page, expression: str) -> Any:
    # Not Playwright's own waiting, because the page's Content-Security-Policy blocks it.
    return wait_until(lambda: page.evaluate(expression))


def _load(page: Page) -> Seen:
    page.goto("/")
    prompt_field(page).wait_for()
    page.wait_for_load_state("networkidle")
    seen: Seen = page.evaluate("seen")
    return seen


def _of_loads(seen: Sequence[Seen], which: str) -> Iterator[Figure]:
    # The largest paint can be the text "Signing you in…", which is not useful; therefore the second figure.
    yield Figure(f"LCP of a warm load, {which}", "ms", [one["paints"][-1] for one in seen], "< 1000 ms")
    yield Figure(f"warm load to a prompt field, {which}", "ms", [one["marks"]["ready"] for one in seen], "< 1000 ms")


def _generation(page: Page) -> Seen:
    """Click on Generate, and go on typing while the pictures arrive and are decoded."""
    page.evaluate("seen.expectPress()")
    generate(page, _PROMPT)
    prompt_field(page).focus()
    _wait_for(page, f"seen.marks.complete || {_PERCENT} > 50")
    while not page.evaluate(f"performance.now() - seen.marks.pictures > {_SETTLE_MS}"):
        page.keyboard.type(_WORDS, delay=_KEY_EVERY_MS)
        prompt_field(page).fill("")
    seen: Seen = page.evaluate("seen")
    return seen


def _of_generations(seen: Sequence[Seen], which: str) -> Iterator[Figure]:
    cards = [one["marks"]["card"] - one["marks"]["press"] for one in seen]
    yield Figure(f"press to a card with four places{which}", "ms", cards, "≤ 100 ms")
    moved = [sum(shift["value"] for shift in _shifts(one)) for one in seen]
    yield Figure(f"layout shift from the four places to four shown pictures{which}", "", moved, "≤ 0.02")
    answers = [ms for one in seen for ms in _answers(one)]
    label = f"input response while four images arrive and decode{which}"
    yield Figure(f"{label}, 98th percentile of {len(answers)} keys", "ms", [percentile(answers, 98)])
    yield Figure(f"{label}, worst", "ms", [max(answers)], "≤ 100 ms")


def _shifts(seen: Seen) -> list[Seen]:
    """All layout shifts after the card was painted, also those just after a key press."""
    begin, end = seen["marks"]["card"], seen["marks"]["pictures"] + _SETTLE_MS
    return [shift for shift in seen["shifts"] if begin < shift["at"] <= end]


def _answers(seen: Seen) -> list[float]:
    """Milliseconds from each key press to its paint, for keys between the job's completion and the shown pictures."""
    begin, end = seen["marks"]["complete"], seen["marks"]["pictures"] + _SETTLE_MS
    keys = [key for key in seen["keys"] if begin <= key <= end]
    slow: dict[int, float] = {}
    for event in seen["events"]:
        if begin <= event["at"] <= end and event["key"]:
            slow[event["key"]] = max(event["ms"], slow.get(event["key"], 0.0))
    return [*slow.values(), *[_SHORTEST_MS] * (len(keys) - len(slow))]
