"""`python -m benchmarks [NAME …]`: run the named benchmarks, or all, and print their figures as a Markdown table.

Close other programs first: a busy machine measures itself. Nothing here is asserted; `make test` checks behaviour.
"""

from __future__ import annotations

import sys

from benchmarks import api, drawing, page, size, start
from benchmarks.report import machine

BENCHMARKS = {
    "size": size.measure,
    "drawing": drawing.measure,
    "page": page.measure,
    "api": api.measure,
    "start": start.measure,
}


def main(names: list[str]) -> int:
    """Run and print; 2 for a name that does not exist."""
    if unknown := [name for name in names if name not in BENCHMARKS]:
        sys.stderr.write(f"There is no benchmark {', '.join(unknown)}; choose from {', '.join(BENCHMARKS)}.\n")
        return 2
    sys.stdout.write(f"{machine()}\n\n| figure | median | range | runs | aim |\n|---|---|---|---|---|\n")
    for name in names or BENCHMARKS:
        for figure in BENCHMARKS[name]():
            sys.stdout.write(figure.row() + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
