"""The short chaos run. The long one is `python -m benchmarks chaos`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.run import Chaos, run_chaos

SEED = 20261122


async def test_nothing_is_lost_doubled_or_torn_while_everything_is_killed() -> None:
    chaos = Chaos(SEED, jobs=40, kills=24, users=8, apis=1, workers=2)
    with tempfile.TemporaryDirectory(prefix="onbrand-chaos-") as folder:
        outcome = await run_chaos(chaos, Path(folder), print)
    sys.stdout.write(outcome.table())  # pytest shows it when the test fails
    assert outcome.verdict.breaches == []
    assert (outcome.verdict.lost, outcome.verdict.doubled, outcome.verdict.torn) == (0, 0, 0)
    assert outcome.kills >= 20, "most of the faults must have had a target"
