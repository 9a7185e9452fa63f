"""Random walks over all that people, workers, maintenance, clocks and crashes may do to jobs, in any order.

After each step every row, image and file is compared with what is expected (`life_cycle/expected_jobs.py`). At the end
of a walk all workers crash, and every job must still end. A walk uses the real PostgreSQL, queue table and image store,
but one process and no real worker.

`make test` takes the same walks every time, so that a failure comes from a change of the code. To take new walks:

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
    monkeypatch.setattr(engine, "MAX_SHRINKING_SECONDS", 30)  # a failure is reported before pytest's timeout
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
