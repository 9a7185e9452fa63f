"""`python -m benchmarks [NAME …]`: run the named benchmarks, or all short ones, and print their figures as a table.

Close other programs first, because they change the figures. Benchmarks assert nothing; `make test` checks behaviour.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator

from benchmarks import (
    api,
    attack,
    budget,
    chaos,
    crowd,
    dataset,
    drawing,
    fairness,
    lighthouse,
    load,
    page,
    previews,
    recovery,
    responsiveness,
    size,
    soak,
    start,
    timing,
    weights,
)
from benchmarks.report import Figure, machine
from tests.chaos.run import Chaos

# Each takes a quarter of an hour or more, so it runs only by name.
LONG = ("budget", "chaos", "soak")


def main(arguments: list[str]) -> int:
    """Run the benchmarks and print their figures. Return 2 if a name does not exist."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what Onbrand claims.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="benchmarks to run; by default all except budget, chaos and soak"
    )
    for name, default, what in (
        ("jobs", 2000, "how many are submitted"),
        ("kills", 400, "how many of the faults are kills"),
        ("users", 20, "how many people submit"),
        ("apis", 2, "how many API processes"),
        ("workers", 3, "how many workers"),
        ("seed", random.randrange(10**6), "seed of all random choices; an earlier run's seed repeats it"),
    ):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"chaos: {what}")
    parser.add_argument("--azure", action="store_true", help="chaos: keep the images in Azurite")
    parser.add_argument("--minutes", type=float, default=30, help="soak: how long")
    chosen = parser.parse_args(arguments)
    benchmarks: dict[str, Callable[[], Iterator[Figure]]] = {
        "size": size.measure,
        "drawing": drawing.measure,
        "dataset": dataset.measure,
        "previews": previews.measure,
        "page": page.measure,
        "responsiveness": responsiveness.measure,
        "lighthouse": lighthouse.measure,
        "api": api.measure,
        "crowd": crowd.measure,
        "fairness": fairness.measure,
        "load": load.measure,
        "attack": attack.measure,
        "recovery": recovery.measure,
        "start": start.measure,
        "timing": timing.measure,
        "weights": weights.measure,
        "budget": budget.measure,
        "chaos": lambda: chaos.measure(
            Chaos(chosen.seed, chosen.jobs, chosen.kills, chosen.users, chosen.apis, chosen.workers, azure=chosen.azure)
        ),
        "soak": lambda: soak.measure(minutes=chosen.minutes),
    }
    if unknown := [name for name in chosen.names if name not in benchmarks]:
        sys.stderr.write(f"There is no benchmark {', '.join(unknown)}; choose from {', '.join(benchmarks)}.\n")
        return 2
    sys.stdout.write(f"{machine()}\n\n| figure | median | range | runs | aim |\n|---|---|---|---|---|\n")
    for name in chosen.names or [name for name in benchmarks if name not in LONG]:
        for figure in benchmarks[name]():
            sys.stdout.write(figure.row() + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
