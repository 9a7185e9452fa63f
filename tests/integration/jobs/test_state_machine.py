"""Anything in any order: a random walk over all that people, workers, upkeep, clocks and crashes do to jobs.

After each step every row, image and file is compared with what the promises say (`life_cycle`), and each walk ends
with everybody crashing: then all that is left must still end. One process and no real worker, on the real PostgreSQL,
queue table and image store.

`make test` takes the same walks every time, so that a failure belongs to the change that made it. New ones:

    LIFE_CYCLES=2000x100 .venv/bin/pytest tests/integration/jobs/test_state_machine.py --timeout 0
"""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck
from hypothesis import Phase as Phases
from hypothesis import settings as hypothesis_settings
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import (
    run_state_machine_as_test,
)

from onbrand.config import Settings
from tests.integration.life_cycle.real_system import RealSystem
from tests.integration.life_cycle.walk import LifeCycle


def test_no_job_is_lost_doubled_or_torn_whatever_happens_in_any_order(
    clock_url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # a test's images need not survive a power cut
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 30)  # a failure is told long before pytest loses patience
    walks, steps = map(int, os.environ.get("LIFE_CYCLES", "150x40").split("x"))
    profile = hypothesis_settings(
        max_examples=walks,
        stateful_step_count=steps,
        derandomize="LIFE_CYCLES" not in os.environ,
        database=None,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phases.generate, Phases.shrink],
        suppress_health_check=list(HealthCheck),
    )
    with asyncio.Runner() as runner:
        system = RealSystem(runner, clock_url, settings)
        try:
            run_state_machine_as_test(
                lambda: LifeCycle(system),  # type: ignore[arg-type]  # any callable will do
                settings=profile,
            )
        finally:
            system.close()
