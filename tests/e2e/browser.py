"""Which Chromium the tests drive, and `python -m tests.e2e.browser`, which gets one where there is none.

Playwright's own where it can be downloaded, otherwise the system's. `ONBRAND_TEST_BROWSER` names another.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Playwright, sync_playwright

_SYSTEM_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_DEBIAN = (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"])

#: As root in a container there is no sandbox; the rest keeps Chromium from reaching for the network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_browser(playwright: Playwright) -> Path | None:
    """The executable, or None."""
    if named := os.environ.get("ONBRAND_TEST_BROWSER"):
        return Path(named)
    own = Path(playwright.chromium.executable_path)
    if own.exists():
        return own
    for name in _SYSTEM_NAMES:
        if found := shutil.which(name):
            return Path(found)
    return None


def main() -> int:
    """Make sure that there is a browser; 1 and a sentence when none could be had."""
    with sync_playwright() as playwright:
        return _provide(playwright)


def _provide(playwright: Playwright) -> int:
    if find_browser(playwright):
        return 0
    attempts = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        attempts += _DEBIAN
    for command in attempts:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if browser := find_browser(playwright):
            sys.stdout.write(f"The browser tests use {browser}\n")
            return 0
    sys.stderr.write("The browser tests need Chromium. Install it, or name one in ONBRAND_TEST_BROWSER.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
