"""Promotion and rollback under running jobs: nothing is lost, nothing doubled, and each job has the pack it names."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest

from onbrand.errors import PackNotFound, PackUnfit, WeightsDamaged
from onbrand.jobs import service, workers
from onbrand.jobs.models import Owner, Status
from onbrand.packs import promotion
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved, Verdict
from onbrand.packs.store import PackStore
from onbrand.worker import switching
from tests.integration.worker.harness import WorkerHarness, until
from tests.packs import MINI, SAMPLE, known, make_pack, sign
from tests.rules import LIMITS

MODEL = "mini"
MOVES = 8


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 0.1)


async def stored_packs(
    harness: WorkerHarness, count: int = 1, name: str = "Brand", base: str = MINI.id
) -> list[BrandPack]:
    """So many new packs in the pack store; the database knows them and the bundled one."""
    store = PackStore.open(harness.settings)
    packs = [
        make_pack(harness.notes_dir.parent / f"pack-{uuid4()}", name=name, version=str(n), base=base)
        for n in range(1, count + 1)
    ]
    for pack in packs:
        store.add(pack.directory)
    await known(harness.database, SAMPLE, *packs)
    return packs


async def promote(harness: WorkerHarness, pack: BrandPack, to: Alias = Alias.PRODUCTION) -> Moved:
    async with harness.database.transaction() as connection:
        return await promotion.promote(
            connection, pack.id, to=to, by="test", model=MODEL, bundled_id=SAMPLE.id, without_sign_off="a test"
        )


async def rollback(harness: WorkerHarness) -> Moved:
    async with harness.database.transaction() as connection:
        return await promotion.rollback(connection, by="test")


async def announced(harness: WorkerHarness, pack: BrandPack, state: str = "ready") -> None:
    """Return when every live worker says that it has this pack."""

    async def look() -> bool:
        rows = await harness.query("select pack_id, pack_name, pack_version, state from live_worker")
        return bool(rows) and all(
            row == {"pack_id": pack.id, "pack_name": pack.pack.name, "pack_version": pack.pack.version, "state": state}
            for row in rows
        )

    await until(look)


def drawn_with(harness: WorkerHarness, job_id: UUID) -> list[str]:
    """The packs that the model's double drew a job with, in order."""
    return [line.split()[1] for line in harness.notes if line.startswith("with ") and line.endswith(str(job_id))]


async def check_packs(harness: WorkerHarness, job_ids: Sequence[UUID]) -> None:
    """Each job is complete with the images of its one attempt, drawn once, with the pack that it names."""
    for job_id in job_ids:
        await harness.check_result(job_id, attempt=1)
        job = await harness.find(job_id)
        assert job.pack is not None
        assert drawn_with(harness, job_id) == [job.pack.id]


async def test_without_a_promotion_the_bundled_pack_draws(harness: WorkerHarness) -> None:
    async with harness.worker():
        job_id = await harness.submit()
        await harness.ended(job_id)
        await announced(harness, SAMPLE)
    await check_packs(harness, [job_id])
    assert drawn_with(harness, job_id) == [SAMPLE.id]


async def test_a_worker_starts_with_the_pack_that_is_live(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    await promote(harness, pack)
    async with harness.worker():
        job_id = await harness.submit()
        await harness.ended(job_id)
    assert drawn_with(harness, job_id) == [pack.id]
    assert harness.notes.count("load") == 1


async def test_an_idle_worker_changes_to_a_promoted_pack_by_itself_and_back(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    async with harness.worker():
        await announced(harness, SAMPLE)
        await promote(harness, pack)
        await announced(harness, pack)
        await rollback(harness)
        await announced(harness, SAMPLE)
    assert harness.notes.count("load") == 3


async def test_a_change_is_announced_as_loading_with_the_new_pack(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness, name="slow")
    async with harness.worker():
        await announced(harness, SAMPLE)
        await promote(harness, pack)
        await announced(harness, pack, "loading")
        await announced(harness, pack, "ready")


async def test_the_running_job_ends_with_the_old_pack_and_the_next_begins_with_the_new(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    async with harness.worker():
        running, following = await harness.submit("slow"), await harness.submit()
        await harness.drawing(running)
        await promote(harness, pack)
        await harness.ended(running)
        await harness.ended(following)
    await check_packs(harness, [running, following])
    assert (drawn_with(harness, running), drawn_with(harness, following)) == ([SAMPLE.id], [pack.id])


async def test_what_is_claimed_after_a_promotion_is_never_drawn_with_the_old_pack(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 60.0)  # nobody but the one who claims looks in time
    pack, other = await stored_packs(harness, 2)
    async with harness.runner("worker") as runner:
        await harness.submit()
        await runner.run_next_job()
        for live in (pack, other, pack):
            # The drawer has looked for the last time at its end, and looks next when it claims.
            monkeypatch.setattr(type(runner), "_has_model", _promoting(harness, live, type(runner)._has_model))
            job_id = await harness.submit()
            await runner.run_next_job()
            assert drawn_with(harness, job_id) == [live.id]
            await check_packs(harness, [job_id])


def _promoting(harness: WorkerHarness, live: BrandPack, has_model):  # type: ignore[no-untyped-def]
    """`JobRunner._has_model`, and right after it somebody promotes a pack: the latest moment before a claim."""
    done = False

    async def then_promote(runner):  # type: ignore[no-untyped-def]
        nonlocal done
        found = await has_model(runner)
        if not done:
            done = True
            await promote(harness, live)
        return found

    return then_promote


@pytest.mark.timeout(240)
async def test_jobs_keep_flowing_while_packs_are_promoted_back_and_forth(harness: WorkerHarness) -> None:
    packs = [SAMPLE, *await stored_packs(harness, 3)]
    people = [Owner(harness.owner.tenant_id, uuid4()) for _ in range(3)]
    submitted: list[tuple[Owner, UUID]] = []
    moving = asyncio.Event()
    moving.set()

    async def submit(owner: Owner) -> None:
        dice = random.Random(owner.user_id.int)
        while moving.is_set():
            async with harness.database.transaction() as connection:
                prompt = dice.choice(["a teapot", "pace=0.03", "previews=whole"])
                job = await service.submit(connection, owner, prompt, idempotency_key=None, limits=LIMITS)
            submitted.append((owner, job.job_id))
            await asyncio.sleep(dice.random())

    async def move() -> None:
        dice, moves = random.Random(5), 0
        while moves < MOVES:
            moved = await (rollback(harness) if moves and dice.random() < 0.4 else promote(harness, dice.choice(packs)))
            moves += moved.is_change
            await asyncio.sleep(0.3 + dice.random())
        moving.clear()

    async def all_ended() -> bool:
        return not await harness.query("select from job where status in ('queued', 'processing')")

    async with harness.worker(), harness.worker(), harness.sweeping():
        await asyncio.gather(move(), *map(submit, people))
        await until(all_ended, 120)
    for owner, job_id in submitted:
        harness.owner = owner
        await check_packs(harness, [job_id])
    used = Counter(line.split()[1] for line in harness.notes if line.startswith("with "))
    assert sum(used.values()) == len(submitted)
    assert len(used) > 2


def damage(harness: WorkerHarness, pack: BrandPack) -> None:
    path = harness.images_dir / "packs" / pack.id / "lora.safetensors"
    path.write_bytes(b"\0" + path.read_bytes()[1:])


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
        now += 1
        await announced(harness, pack)
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


async def test_a_worker_that_is_killed_while_it_changes_loses_nothing(harness: WorkerHarness) -> None:
    hanging, pack = (*await stored_packs(harness, name="hangs"), *await stored_packs(harness))
    with harness.worker_process() as worker:
        running, waiting = await harness.submit("slow"), await harness.submit()
        await harness.drawing(running)
        await promote(harness, hanging)
        await harness.ended(running)
        await harness.noted("load", times=2)  # and it hangs there, perhaps with the delivery in hand
        worker.signal(signal.SIGKILL)
        await worker.ended()
    assert (await harness.find(waiting)).status is Status.QUEUED
    await promote(harness, pack)
    # The sweep makes up for a lost delivery after ten seconds; as if they were over.
    await harness.query(
        "update job set queued_at = queued_at - interval '10 seconds' where status = 'queued' returning id"
    )
    async with harness.worker(), harness.sweeping():
        await harness.ended(waiting)
    await check_packs(harness, [running, waiting])
    assert drawn_with(harness, waiting) == [pack.id]


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_change(harness: WorkerHarness) -> None:
    (hanging,) = await stored_packs(harness, name="hangs")
    with harness.worker_process() as worker:
        await harness.ended(await harness.submit())
        await promote(harness, hanging)
        waiting = await harness.submit()
        await harness.noted("load", times=2)
        worker.signal(signal.SIGTERM)
        assert await worker.ended(10) == 0
    assert (await harness.find(waiting)).status is Status.QUEUED


async def test_a_worker_that_is_told_to_stop_takes_no_job_that_came_during_a_change(harness: WorkerHarness) -> None:
    (hanging,) = await stored_packs(harness, name="hangs")
    async with harness.worker() as worker:
        await announced(harness, SAMPLE)
        await promote(harness, hanging)
        await harness.noted("load", times=2)  # nobody waits yet: the idle worker changes by itself
        waiting = await harness.submit()

        async def delivered() -> bool:
            return await harness.query("select status::text from procrastinate_jobs") == [{"status": "doing"}]

        await until(delivered)
        worker.stop.set()
        async with asyncio.timeout(10):
            await worker.ended()
    assert (await harness.find(waiting)).status is Status.QUEUED


async def test_a_worker_may_stay_with_one_pack_or_with_the_candidate(harness: WorkerHarness) -> None:
    pack, candidate, live = await stored_packs(harness, 3)
    await promote(harness, candidate, Alias.CANDIDATE)
    for chosen, expected in ((pack.id, pack), ("candidate", candidate)):
        async with harness.worker(pack=chosen):
            await announced(harness, expected)
            await promote(harness, live)
            await promote(harness, SAMPLE)
            job_id = await harness.submit()
            await harness.ended(job_id)
        assert drawn_with(harness, job_id) == [expected.id]


@pytest.mark.parametrize(
    ("chosen", "error", "sentence"),
    [
        ("candidate", PackNotFound, "no pack is the candidate one: make one so with `onbrand pack promote ID`"),
        ("a" * 64, PackNotFound, "is not on the shelf"),
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
    for pack, error in ((damaged, WeightsDamaged), (foreign, PackUnfit)):
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


async def test_the_page_is_told_the_pack_and_whether_it_was_signed_off(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    async with harness.worker():
        await promote(harness, pack)
        await announced(harness, pack)
        for verdict, reviewed in ((None, False), (Verdict.APPROVED, True), (Verdict.REJECTED, False)):
            if verdict is not None:
                await sign(harness.database, pack.id, verdict)
            async with harness.database.transaction() as connection:
                style = await workers.live_style(connection)
            assert style is not None
            assert (style.pack, style.reviewed) == (pack.pack, reviewed)
