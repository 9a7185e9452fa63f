"""Stored images are read in turns and compared with their checksums; what is damaged is noted until it is whole."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest

from onbrand.jobs import scrub
from onbrand.maintenance import Scrubbed
from tests.integration.maintenance.harness import MaintenanceHarness

DAY = timedelta(days=1)


async def rounds(harness: MaintenanceHarness, count: int) -> Scrubbed:
    """What so many rounds found, a minute after each other."""
    read = damaged = 0
    for _ in range(count):
        await harness.clock.move(timedelta(seconds=scrub.ROUND_SECONDS + 1))
        found = await harness.maintenance.scrub_round()
        read, damaged = read + found.read, damaged + found.damaged
    return Scrubbed(read, damaged)


async def noted(harness: MaintenanceHarness) -> list[dict[str, Any]]:
    return await harness.query("select job_id, n from image where damaged_since is not null")


async def test_one_changed_byte_is_found_without_anybody_opening_the_picture(
    harness: MaintenanceHarness, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await harness.complete()
    path = harness.path(job_id, 1, 3)
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    await harness.clock.move(DAY)
    with caplog.at_level(logging.ERROR):
        assert await rounds(harness, 1) == Scrubbed(read=4, damaged=1)
    (line,) = caplog.records
    assert (line.action, line.job_id) == ("image_corrupt", str(job_id))  # type: ignore[attr-defined]
    assert await noted(harness) == [{"job_id": job_id, "n": 3}]
    caplog.clear()
    await harness.clock.move(DAY)
    await rounds(harness, 1)
    assert caplog.records == []  # it is told once
    path.write_bytes(whole)
    assert await harness.maintenance.read_all() == Scrubbed(read=4)
    assert await noted(harness) == []


async def test_a_few_are_read_in_each_round_the_longest_unread_first_until_all_are(harness: MaintenanceHarness) -> None:
    for _ in range(3):
        await harness.complete()
    assert await rounds(harness, 1) == Scrubbed()  # they were read when they were published
    await harness.clock.move(DAY)
    assert await rounds(harness, 2) == Scrubbed(read=8)
    assert await rounds(harness, 5) == Scrubbed(read=4)


async def test_of_several_processes_one_reads_in_a_minute(harness: MaintenanceHarness) -> None:
    await harness.complete()
    await harness.clock.move(DAY + DAY)
    assert await harness.maintenance.scrub_round() == Scrubbed(read=4)
    await harness.complete()
    assert await harness.maintenance.scrub_round() == Scrubbed()


async def test_the_more_images_the_more_are_read_in_a_round_so_that_all_are_read_in_time(
    harness: MaintenanceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "_ROUNDS", 2)
    for _ in range(3):
        await harness.complete()
    await harness.clock.move(DAY)
    assert await rounds(harness, 2) == Scrubbed(read=12)
