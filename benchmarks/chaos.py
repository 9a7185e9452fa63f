"""The long chaos run (`tests/chaos`): people use Onbrand while faults are injected, and then everything is checked.

Progress is printed to standard error every ten seconds. The figures count broken promises. If there is any, the folder
with all logs, images and the database is kept.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Figure
from tests.chaos.run import Chaos, run_chaos


def measure(chaos: Chaos) -> Iterator[Figure]:
    """Counts of broken promises; all aims are 0."""
    _say(f"seed {chaos.seed}; to repeat it: {chaos.again}")
    folder = Path(tempfile.mkdtemp(prefix="onbrand-chaos-"))
    outcome = asyncio.run(run_chaos(chaos, folder, _say))
    _say(outcome.table())
    found = outcome.verdict
    if found.breaches:
        _say(f"logs, images and the database are kept in {folder}")
    else:
        shutil.rmtree(folder)
    where = f"of {outcome.ledger.submitted:,} jobs, {outcome.kills} kills and {outcome.disturbances} other faults"
    yield Figure(f"lost, {where}", "jobs", [found.lost], "0")
    yield Figure(f"doubled, {where}", "jobs", [found.doubled], "0")
    yield Figure(f"torn, of {found.images:,} images", "images", [found.torn], "0")
    yield Figure("breaches of any other rule", "", [len(found.breaches)], "0")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
