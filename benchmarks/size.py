"""The size of the JavaScript in the page's first load: every script in index.html, gzipped at level 9."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

from benchmarks.report import Figure
from onbrand.config import REPOSITORY


def measure() -> Iterator[Figure]:
    """One figure, in kB of 1,000 bytes."""
    build = REPOSITORY / "web" / "dist"
    names = re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', (build / "index.html").read_text())
    size = sum(len(gzip.compress((build / name).read_bytes(), 9)) for name in names)
    yield Figure("JavaScript of the first load, sign-in included, gzipped", "kB", [size / 1000], "≤ 200 kB")
