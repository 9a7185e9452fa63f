"""A brand pack is promoted or rolled back while jobs are drawn: no job is lost or drawn twice, each names its pack."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from uuid import UUID, uuid4

import pytest

from onbrand.jobs import service, workers
from onbrand.jobs.models import Owner, Status
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Verdict
from onbrand.worker import switching
from tests.integration.worker.harness import WorkerHarness, until
from tests.integration.worker.pack_steps import (
    announced,
    check_packs,
    drawn_with,
    promote,
    rollback,
    stored_packs,
)
from tests.packs import SAMPLE, sign_pack
from tests.rules import LIMITS

MOVES = 8


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "LOOK_EVERY_SECONDS", 0.1)


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


async def test_the_style_keeps_its_name_until_the_new_pack_is_loaded(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness, name="slow")
    async with harness.worker():
        await announced(harness, SAMPLE)
        await promote(harness, pack)
        await announced(harness, SAMPLE, "loading")
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


async def test_the_page_is_told_the_pack_and_whether_it_was_signed_off(harness: WorkerHarness) -> None:
    (pack,) = await stored_packs(harness)
    async with harness.worker():
        await promote(harness, pack)
        await announced(harness, pack)
        for verdict, reviewed in ((None, False), (Verdict.APPROVED, True), (Verdict.REJECTED, False)):
            if verdict is not None:
                await sign_pack(harness.database, pack.id, verdict)
            async with harness.database.transaction() as connection:
                style = await workers.live_style(connection)
            assert style is not None
            assert (style.pack, style.reviewed) == (pack.pack, reviewed)
