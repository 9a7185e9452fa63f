"""The size of the JavaScript in the page's first load, gzipped at level 9: the page, and MSAL for the sign-in."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

from benchmarks.report import Figure
from onbrand.config import REPOSITORY


def measure() -> Iterator[Figure]:
    """One figure, in kB of 1,000 bytes."""
    build = REPOSITORY / "web" / "dist"
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) / 1000 for path in (build / "assets").glob("*.js")}
    page = sum(size for name, size in sizes.items() if name.startswith("app-"))
    later = sum(size for name, size in sizes.items() if name.startswith(("auth-", "review-page-")))
    yield Figure("JavaScript of a page that is loaded again, gzipped", "kB", [page])
    yield Figure(
        "JavaScript of the first load, sign-in included, gzipped", "kB", [sum(sizes.values()) - later], "≤ 200 kB"
    )
