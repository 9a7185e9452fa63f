"""The harness as a fixture, and a check after each test: no worker leaves a failed task that nobody awaited."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.config import Settings
from onbrand.database.pool import Database
from tests.integration.worker.harness import WorkerHarness


@pytest.fixture
def harness(
    database: Database, database_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WorkerHarness:
    notes_dir = tmp_path / "notes"
    notes_dir.mkdir()
    return WorkerHarness(database, database_url, settings, notes_dir, monkeypatch)


@pytest.fixture(autouse=True)
def _nothing_is_left_to_asyncio() -> Iterator[None]:
    """When a task with an exception that nobody retrieved is garbage-collected, asyncio logs an error."""
    complaints: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(self.format(record))

    listener = Listener(logging.ERROR)
    logging.getLogger("asyncio").addHandler(listener)
    yield
    gc.collect()
    logging.getLogger("asyncio").removeHandler(listener)
    assert complaints == []
