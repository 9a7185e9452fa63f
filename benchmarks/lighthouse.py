"""Lighthouse's scores for the page of a signed-in person, in a real browser, with an empty HTTP cache each time.

Two presets are Lighthouse's own: from a load on this machine they estimate the load over a slower network (desktop:
10 Mbit/s, 40 ms; mobile: 1.6 Mbit/s, 150 ms, and a processor four times slower). The third estimates nothing.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks.report import Figure
from onbrand.config import REPOSITORY
from tests.e2e.browser import ARGUMENTS, find_browser
from tests.system import running_system

RUNS = 3
_SCRIPT = REPOSITORY / "benchmarks" / "node" / "audit.mjs"
_SCORES = ("performance", "accessibility", "best-practices")
_METRICS = (("lcp_ms", "LCP", "ms", ""), ("cls", "CLS", "", "≤ 0.02"), ("tbt_ms", "TBT", "ms", ""))


def measure() -> Iterator[Figure]:
    """Scores out of 100 and three metrics, for each page and preset. Audits below full points go to standard error."""
    with sync_playwright() as driver:
        browser = find_browser(driver)
    with tempfile.TemporaryDirectory() as folder, running_system(Path(folder)) as system:
        system.wait_until_ready()
        found = audit(system.origin, str(browser), RUNS)
    for (content, preset), loads in itertools.groupby(found, lambda load: (load["content"], load["preset"])):
        yield from _figures(f"Lighthouse, {content}, {preset}", list(loads))


def audit(origin: str, browser: str, runs: int) -> list[dict[str, Any]]:
    """One entry for each load: `content`, `preset`, scores, metrics, and `short`, the audits below full points."""
    command = ["node", str(_SCRIPT), origin, browser, str(runs), *ARGUMENTS]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1800)
    loads: list[dict[str, Any]] = json.loads(answer.stdout)
    return loads


def _figures(name: str, loads: Sequence[dict[str, Any]]) -> Iterator[Figure]:
    for score in _SCORES:
        yield Figure(f"{name}: {score}", "", [load[score] for load in loads], "≥ 95")
    for key, metric, unit, aim in _METRICS:
        yield Figure(f"{name}: {metric}", unit, [load[key] for load in loads], aim)
    if short := sorted({(audit["id"], audit["score"]) for load in loads for audit in load["short"]}):
        sys.stderr.write(f"{name}: {', '.join(f'{identifier} {score:.2f}' for identifier, score in short)}\n")
