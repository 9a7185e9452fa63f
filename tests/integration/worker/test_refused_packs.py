"""A brand pack that cannot be used: the previous one goes on drawing, or the worker says what to do."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from onbrand.errors import PackNotFound, PackUnfit, StoredPackDamaged
from onbrand.jobs import workers
from onbrand.jobs.workers import RefusedPack
from onbrand.packs.store import PackStore
from onbrand.worker import switching
from tests.integration.worker.harness import WorkerHarness, until
from tests.integration.worker.pack_steps import (
    announced,
    check_packs,
    damage,
    drawn_with,
    promote,
    stored_packs,
)
from tests.packs import MINI, SAMPLE


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 0.1)


async def refused_packs(harness: WorkerHarness) -> dict[str, RefusedPack]:
    """What `onbrand pack list` and `onbrand doctor` read."""
    async with harness.database.transaction() as connection:
        return await workers.refused_packs(connection)


@pytest.mark.parametrize("harm", ["damaged", "gone", "refuses", "dies", "unfit"])
async def test_a_pack_that_cannot_be_had_leaves_the_old_one_drawing(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    monkeypatch.setattr("onbrand.worker.model_process._PAUSE_SECONDS", 0.01)
    (pack,) = await stored_packs(harness, name=harm, base="f" * 64 if harm == "unfit" else MINI.id)
    if harm == "damaged":
        damage(harness, pack)
    if harm == "gone":
        shutil.rmtree(harness.images_dir / "packs" / pack.id)
    async with harness.worker():
        await announced(harness, SAMPLE)
        await promote(harness, pack)
        job_ids = [await harness.submit() for _ in range(3)]
        for job_id in job_ids:
            await harness.ended(job_id)

        async def told() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

        (said,) = await until(told)
        await announced(harness, SAMPLE)
        (refused,) = (await until(lambda: refused_packs(harness))).values()
        assert (refused.pack_id, refused.workers) == (pack.id, 1)
        assert said.endswith(refused.because)
    assert said.startswith(f"The brand pack {pack.id[:12]} can't be used, so {SAMPLE.id[:12]} draws on")
    await check_packs(harness, job_ids)
    assert {drawn_with(harness, job_id)[0] for job_id in job_ids} == {SAMPLE.id}
    assert len(harness.model_pids) == (2 if harm in ("refuses", "dies") else 1)  # nothing was unloaded in vain


async def test_a_refused_pack_is_tried_again_after_a_while_or_when_the_alias_moves(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(switching, "time", SimpleNamespace(monotonic=lambda: now))
    pack, other = await stored_packs(harness, 2)
    damage(harness, pack)

    def refusals() -> int:
        return sum(record.levelname == "ERROR" for record in caplog.records)

    async def refused() -> bool:
        return refusals() > 0

    async with harness.worker():
        await announced(harness, SAMPLE)
        await promote(harness, pack)
        await until(refused)
        await harness.ended(await harness.submit())
        assert refusals() == 1
        await promote(harness, other)
        await announced(harness, other)
        await promote(harness, pack)  # again, and so at once

        async def refused_again() -> bool:
            return refusals() == 2

        await until(refused_again)
        shutil.rmtree(harness.images_dir / "packs" / pack.id)
        PackStore.open(harness.settings).add(pack.directory)
        now += 59
        await harness.ended(await harness.submit())
        await announced(harness, other)
        assert list(await refused_packs(harness)) == [pack.id]
        now += 1
        await announced(harness, pack)

        async def cleared() -> bool:
            return not await refused_packs(harness)

        await until(cleared)
    assert refusals() == 2


async def test_a_copy_that_is_damaged_is_fetched_anew_before_the_model_is_loaded_again(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    await promote(harness, pack)
    async with harness.worker():
        await announced(harness, pack)
        copy = harness.settings.data_dir / "packs" / pack.id / "lora.safetensors"
        whole = copy.read_bytes()
        copy.write_bytes(whole[:-1] + b"\0")
        job_id = await harness.submit("once kill@2")
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)
    assert (drawn_with(harness, job_id), copy.read_bytes()) == ([pack.id] * 2, whole)


@pytest.mark.parametrize(
    ("chosen", "error", "sentence"),
    [
        ("candidate", PackNotFound, "no pack is the candidate one: make one so with `onbrand pack promote ID`"),
        ("a" * 64, PackNotFound, "is not in the pack store"),
    ],
)
async def test_a_worker_without_its_pack_says_what_to_do(
    harness: WorkerHarness, chosen: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        async with harness.worker(pack=chosen) as worker:
            await worker.working


async def test_a_worker_does_not_start_with_a_damaged_or_a_foreign_pack(harness: WorkerHarness) -> None:
    (damaged,), (foreign,) = await stored_packs(harness), await stored_packs(harness, base="f" * 64)
    damage(harness, damaged)
    for pack, error in ((damaged, StoredPackDamaged), (foreign, PackUnfit)):
        await promote(harness, pack)
        with pytest.raises(error):
            async with harness.worker() as worker:
                await worker.working
    assert harness.notes == []


async def test_without_a_bundled_pack_something_must_be_promoted_first(harness: WorkerHarness, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    shutil.copy(Path("models/mini/base.json"), base)
    with pytest.raises(PackNotFound, match=r"No brand pack is live, .* `onbrand pack add DIR`"):
        async with harness.worker(model_path=str(base)) as worker:
            await worker.working


async def test_a_worker_of_one_machine_waits_for_the_first_pack(harness: WorkerHarness, tmp_path: Path) -> None:
    """`onbrand pack add` and `promote` need the database that `onbrand up` runs: so it must not end without a pack."""
    base = tmp_path / "base"
    base.mkdir()
    shutil.copy(Path("models/mini/base.json"), base)
    with harness.worker_process("--wait-for-pack", MODEL_PATH=str(base)) as worker:

        async def told() -> bool:
            return any(line.get("action") == "wait_for_pack" for line in worker.log)

        await until(told)
        (pack,) = await stored_packs(harness)
        await promote(harness, pack)
        await announced(harness, pack)
        assert worker.process.poll() is None
