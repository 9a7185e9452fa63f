"""The harness as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from onbrand.config import Settings
from onbrand.maintenance import Maintenance
from tests.clock import Clock
from tests.integration.maintenance.harness import FaultyStore, MaintenanceHarness


@pytest.fixture
async def harness(clock: Clock, settings: Settings, tmp_path: Path) -> MaintenanceHarness:
    folder = tmp_path / "images"
    images = FaultyStore.on_disk(folder)
    assert isinstance(images, FaultyStore)
    return MaintenanceHarness(clock, images, folder, Maintenance(settings, clock.database, images))
