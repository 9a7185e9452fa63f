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

from onbrand.errors import PackNotFound, PackUnfit, StoredPackDamaged
from onbrand.jobs import service, workers
from onbrand.jobs.models import Owner, Status
from onbrand.packs import promotion
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved, Verdict
from onbrand.packs.store import PackStore
from onbrand.worker import switching
from tests.integration.worker.bench import Bench, until
from tests.packs import SAMPLE, make_pack, register_packs, sign_pack
from tests.rules import LIMITS

MODEL = "mini"
MOVES = 8


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 0.1)


async def shelved(bench: Bench, count: int = 1, name: str = "Brand", **options: str) -> list[BrandPack]:
    """So many packs, on the shelf and known to the database, with the bundled one."""
    shelf = PackStore.open(bench.settings)
    packs = [
        make_pack(bench.notes_dir.parent / f"pack-{uuid4()}", name=name, version=str(n), **options)
        for n in range(1, count + 1)
    ]
    for pack in packs:
        shelf.add(pack.directory)
    await register_packs(bench.database, SAMPLE, *packs)
    return packs


async def promote(bench: Bench, pack: BrandPack, to: Alias = Alias.PRODUCTION) -> Moved:
    async with bench.database.transaction() as connection:
        return await promotion.promote(
            connection, pack.id, to=to, by="test", model=MODEL, bundled_id=SAMPLE.id, without_sign_off="a test"
        )


async def rollback(bench: Bench) -> Moved:
    async with bench.database.transaction() as connection:
        return await promotion.rollback(connection, by="test")


async def announced(bench: Bench, pack: BrandPack, state: str = "ready") -> None:
    """Return when every live worker says that it has this pack."""

    async def look() -> bool:
        rows = await bench.query("select pack_id, pack_name, pack_version, state from live_worker")
        return bool(rows) and all(
            row == {"pack_id": pack.id, "pack_name": pack.pack.name, "pack_version": pack.pack.version, "state": state}
            for row in rows
        )

    await until(look)


def drawn_with(bench: Bench, job_id: UUID) -> list[str]:
    """The packs that the model's double drew a job with, in order."""
    return [line.split()[1] for line in bench.notes if line.startswith("with ") and line.endswith(str(job_id))]


async def check_packs(bench: Bench, job_ids: Sequence[UUID]) -> None:
    """Each job is complete with the images of its one attempt, drawn once, with the pack that it names."""
    for job_id in job_ids:
        await bench.check_result(job_id, attempt=1)
        job = await bench.find(job_id)
        assert job.pack is not None
        assert drawn_with(bench, job_id) == [job.pack.id]


async def test_without_a_promotion_the_bundled_pack_draws(bench: Bench) -> None:
    async with bench.worker():
        job_id = await bench.submit()
        await bench.ended(job_id)
        await announced(bench, SAMPLE)
    await check_packs(bench, [job_id])
    assert drawn_with(bench, job_id) == [SAMPLE.id]


async def test_a_worker_starts_with_the_pack_that_is_live(bench: Bench) -> None:
    (pack,) = await shelved(bench)
    await promote(bench, pack)
    async with bench.worker():
        job_id = await bench.submit()
        await bench.ended(job_id)
    assert drawn_with(bench, job_id) == [pack.id]
    assert bench.notes.count("load") == 1


async def test_an_idle_worker_changes_to_a_promoted_pack_by_itself_and_back(bench: Bench) -> None:
    (pack,) = await shelved(bench)
    async with bench.worker():
        await announced(bench, SAMPLE)
        await promote(bench, pack)
        await announced(bench, pack)
        await rollback(bench)
        await announced(bench, SAMPLE)
    assert bench.notes.count("load") == 3


async def test_a_change_is_announced_as_loading_with_the_new_pack(bench: Bench) -> None:
    (pack,) = await shelved(bench, name="slow")
    async with bench.worker():
        await announced(bench, SAMPLE)
        await promote(bench, pack)
        await announced(bench, pack, "loading")
        await announced(bench, pack, "ready")


async def test_the_running_job_ends_with_the_old_pack_and_the_next_begins_with_the_new(bench: Bench) -> None:
    (pack,) = await shelved(bench)
    async with bench.worker():
        running, following = await bench.submit("slow"), await bench.submit()
        await bench.drawing(running)
        await promote(bench, pack)
        await bench.ended(running)
        await bench.ended(following)
    await check_packs(bench, [running, following])
    assert (drawn_with(bench, running), drawn_with(bench, following)) == ([SAMPLE.id], [pack.id])


async def test_what_is_claimed_after_a_promotion_is_never_drawn_with_the_old_pack(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 60.0)  # nobody but the one who claims looks in time
    pack, other = await shelved(bench, 2)
    async with bench.drawer("worker") as drawer:
        await bench.submit()
        await drawer.draw()
        for live in (pack, other, pack):
            # The drawer has looked for the last time at its end, and looks next when it claims.
            monkeypatch.setattr(type(drawer), "_has_model", _promoting(bench, live, type(drawer)._has_model))
            job_id = await bench.submit()
            await drawer.draw()
            assert drawn_with(bench, job_id) == [live.id]
            await check_packs(bench, [job_id])


def _promoting(bench: Bench, live: BrandPack, has_model):  # type: ignore[no-untyped-def]
    """`JobRunner._has_model`, and right after it somebody promotes a pack: the latest moment before a claim."""
    done = False

    async def then_promote(drawer):  # type: ignore[no-untyped-def]
        nonlocal done
        found = await has_model(drawer)
        if not done:
            done = True
            await promote(bench, live)
        return found

    return then_promote


@pytest.mark.timeout(240)
async def test_jobs_keep_flowing_while_packs_are_promoted_back_and_forth(bench: Bench) -> None:
    packs = [SAMPLE, *await shelved(bench, 3)]
    people = [Owner(bench.owner.tenant_id, uuid4()) for _ in range(3)]
    submitted: list[tuple[Owner, UUID]] = []
    moving = asyncio.Event()
    moving.set()

    async def submit(owner: Owner) -> None:
        dice = random.Random(owner.user_id.int)
        while moving.is_set():
            async with bench.database.transaction() as connection:
                prompt = dice.choice(["a teapot", "pace=0.03", "previews=whole"])
                job = await service.submit(connection, owner, prompt, idempotency_key=None, limits=LIMITS)
            submitted.append((owner, job.job_id))
            await asyncio.sleep(dice.random())

    async def move() -> None:
        dice, moves = random.Random(5), 0
        while moves < MOVES:
            moved = await (rollback(bench) if moves and dice.random() < 0.4 else promote(bench, dice.choice(packs)))
            moves += moved.is_change
            await asyncio.sleep(0.3 + dice.random())
        moving.clear()

    async def all_ended() -> bool:
        return not await bench.query("select from job where status in ('queued', 'processing')")

    async with bench.worker(), bench.worker(), bench.sweeping():
        await asyncio.gather(move(), *map(submit, people))
        await until(all_ended, 120)
    for owner, job_id in submitted:
        bench.owner = owner
        await check_packs(bench, [job_id])
    used = Counter(line.split()[1] for line in bench.notes if line.startswith("with "))
    assert sum(used.values()) == len(submitted)
    assert len(used) > 2


def damage(bench: Bench, pack: BrandPack) -> None:
    path = bench.images_dir / "packs" / pack.id / "lora.safetensors"
    path.write_bytes(b"\0" + path.read_bytes()[1:])


@pytest.mark.parametrize("harm", ["damaged", "gone", "refuses", "dies", "unfit"])
async def test_a_pack_that_cannot_be_had_leaves_the_old_one_drawing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    monkeypatch.setattr("onbrand.worker.model_process._PAUSE_SECONDS", 0.01)
    options = {"base": "f" * 64} if harm == "unfit" else {}
    (pack,) = await shelved(bench, name=harm, **options)
    if harm == "damaged":
        damage(bench, pack)
    if harm == "gone":
        shutil.rmtree(bench.images_dir / "packs" / pack.id)
    async with bench.worker():
        await announced(bench, SAMPLE)
        await promote(bench, pack)
        job_ids = [await bench.submit() for _ in range(3)]
        for job_id in job_ids:
            await bench.ended(job_id)

        async def told() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]

        (said,) = await until(told)
        await announced(bench, SAMPLE)
    assert said.startswith(f"The brand pack {pack.id[:12]} can't be used, so {SAMPLE.id[:12]} draws on")
    await check_packs(bench, job_ids)
    assert {drawn_with(bench, job_id)[0] for job_id in job_ids} == {SAMPLE.id}
    assert len(bench.model_pids) == (2 if harm in ("refuses", "dies") else 1)  # nothing was unloaded in vain


async def test_a_refused_pack_is_tried_again_after_a_while_or_when_the_alias_moves(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(switching, "time", SimpleNamespace(monotonic=lambda: now))
    pack, other = await shelved(bench, 2)
    damage(bench, pack)

    def refusals() -> int:
        return sum(record.levelname == "ERROR" for record in caplog.records)

    async def refused() -> bool:
        return refusals() > 0

    async with bench.worker():
        await announced(bench, SAMPLE)
        await promote(bench, pack)
        await until(refused)
        await bench.ended(await bench.submit())
        assert refusals() == 1
        await promote(bench, other)
        await announced(bench, other)
        await promote(bench, pack)  # again, and so at once

        async def refused_again() -> bool:
            return refusals() == 2

        await until(refused_again)
        shutil.rmtree(bench.images_dir / "packs" / pack.id)
        PackStore.open(bench.settings).add(pack.directory)
        now += 59
        await bench.ended(await bench.submit())
        await announced(bench, other)
        now += 1
        await announced(bench, pack)
    assert refusals() == 2


async def test_a_copy_that_is_damaged_is_fetched_anew_before_the_model_is_loaded_again(bench: Bench) -> None:
    (pack,) = await shelved(bench)
    await promote(bench, pack)
    async with bench.worker():
        await announced(bench, pack)
        copy = bench.settings.data_dir / "packs" / pack.id / "lora.safetensors"
        whole = copy.read_bytes()
        copy.write_bytes(whole[:-1] + b"\0")
        job_id = await bench.submit("once kill@2")
        await bench.ended(job_id)
    await bench.check_result(job_id, attempt=2)
    assert (drawn_with(bench, job_id), copy.read_bytes()) == ([pack.id] * 2, whole)


async def test_a_worker_that_is_killed_while_it_changes_loses_nothing(bench: Bench) -> None:
    hanging, pack = (*await shelved(bench, name="hangs"), *await shelved(bench))
    with bench.worker_process() as worker:
        running, waiting = await bench.submit("slow"), await bench.submit()
        await bench.drawing(running)
        await promote(bench, hanging)
        await bench.ended(running)
        await bench.noted("load", times=2)  # and it hangs there, perhaps with the delivery in hand
        worker.signal(signal.SIGKILL)
        await worker.ended()
    assert (await bench.find(waiting)).status is Status.QUEUED
    await promote(bench, pack)
    # The sweep makes up for a lost delivery after ten seconds; as if they were over.
    await bench.query(
        "update job set queued_at = queued_at - interval '10 seconds' where status = 'queued' returning id"
    )
    async with bench.worker(), bench.sweeping():
        await bench.ended(waiting)
    await check_packs(bench, [running, waiting])
    assert drawn_with(bench, waiting) == [pack.id]


async def test_a_worker_that_is_told_to_stop_does_not_wait_for_a_change(bench: Bench) -> None:
    (hanging,) = await shelved(bench, name="hangs")
    with bench.worker_process() as worker:
        await bench.ended(await bench.submit())
        await promote(bench, hanging)
        waiting = await bench.submit()
        await bench.noted("load", times=2)
        worker.signal(signal.SIGTERM)
        assert await worker.ended(10) == 0
    assert (await bench.find(waiting)).status is Status.QUEUED


async def test_a_worker_that_is_told_to_stop_takes_no_job_that_came_during_a_change(bench: Bench) -> None:
    (hanging,) = await shelved(bench, name="hangs")
    async with bench.worker() as worker:
        await announced(bench, SAMPLE)
        await promote(bench, hanging)
        await bench.noted("load", times=2)  # nobody waits yet: the idle worker changes by itself
        waiting = await bench.submit()

        async def delivered() -> bool:
            return await bench.query("select status::text from procrastinate_jobs") == [{"status": "doing"}]

        await until(delivered)
        worker.stop.set()
        async with asyncio.timeout(10):
            await worker.ended()
    assert (await bench.find(waiting)).status is Status.QUEUED


async def test_a_worker_may_stay_with_one_pack_or_with_the_candidate(bench: Bench) -> None:
    pack, candidate, live = await shelved(bench, 3)
    await promote(bench, candidate, Alias.CANDIDATE)
    for chosen, expected in ((pack.id, pack), ("candidate", candidate)):
        async with bench.worker(pack=chosen):
            await announced(bench, expected)
            await promote(bench, live)
            await promote(bench, SAMPLE)
            job_id = await bench.submit()
            await bench.ended(job_id)
        assert drawn_with(bench, job_id) == [expected.id]


@pytest.mark.parametrize(
    ("chosen", "error", "sentence"),
    [
        ("candidate", PackNotFound, "no pack is the candidate one: make one so with `onbrand pack promote ID`"),
        ("a" * 64, PackNotFound, "is not in the pack store"),
    ],
)
async def test_a_worker_without_its_pack_says_what_to_do(
    bench: Bench, chosen: str, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        async with bench.worker(pack=chosen) as worker:
            await worker.working


async def test_a_worker_does_not_start_with_a_damaged_or_a_foreign_pack(bench: Bench) -> None:
    (damaged,), (foreign,) = await shelved(bench), await shelved(bench, base="f" * 64)
    damage(bench, damaged)
    for pack, error in ((damaged, StoredPackDamaged), (foreign, PackUnfit)):
        await promote(bench, pack)
        with pytest.raises(error):
            async with bench.worker() as worker:
                await worker.working
    assert bench.notes == []


async def test_without_a_bundled_pack_something_must_be_promoted_first(bench: Bench, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    shutil.copy(Path("models/mini/base.json"), base)
    with pytest.raises(PackNotFound, match=r"No brand pack is live, .* `onbrand pack add DIR`"):
        async with bench.worker(model_path=str(base)) as worker:
            await worker.working


async def test_the_page_is_told_the_pack_and_whether_it_was_signed_off(bench: Bench) -> None:
    (pack,) = await shelved(bench)
    async with bench.worker():
        await promote(bench, pack)
        await announced(bench, pack)
        for verdict, reviewed in ((None, False), (Verdict.APPROVED, True), (Verdict.REJECTED, False)):
            if verdict is not None:
                await sign_pack(bench.database, pack.id, verdict)
            async with bench.database.transaction() as connection:
                style = await workers.live_style(connection)
            assert style is not None
            assert (style.pack, style.reviewed) == (pack.pack, reviewed)
