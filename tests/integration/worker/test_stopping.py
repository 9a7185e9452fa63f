"""Real worker processes are stopped, killed and frozen: no job is lost, and no job gets two results."""

from __future__ import annotations

import os
import signal
import time

import pytest

from onbrand.jobs.models import Status
from onbrand.worker import run
from tests.integration.worker.harness import WorkerHarness, until
from tests.system import is_alive

TERM, KILL, STOP, CONTINUE = signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT


@pytest.mark.parametrize("way", ["signal", "end of standard input"])
async def test_a_worker_that_is_told_to_stop_finishes_its_job_and_takes_no_other(
    harness: WorkerHarness, way: str
) -> None:
    with harness.worker_process("--stop-with-parent") as worker:
        running, waiting = await harness.submit("slow"), await harness.submit()
        await harness.drawing(running)
        if way == "signal":
            worker.signal(TERM)
        else:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        assert await worker.ended() == 0
    await harness.check_result(running, attempt=1)
    assert (await harness.find(waiting)).status is Status.QUEUED
    assert harness.notes.count("load") == 1
    assert not any(map(is_alive, harness.model_pids))
    assert await harness.query("select from worker") == []


async def test_the_running_job_has_the_whole_grace(harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_ENDING_SECONDS", 0.1)  # the time of a worker that must stop now
    async with harness.worker() as worker:
        job_id = await harness.submit("slow")
        await harness.drawing(job_id)
        worker.stop.set()
        await worker.ended()
    await harness.check_result(job_id, attempt=1)


async def test_a_job_that_outlasts_the_grace_is_given_back_and_completed_elsewhere(harness: WorkerHarness) -> None:
    with harness.worker_process(SHUTDOWN_GRACE_SECONDS="0.3") as worker:
        job_id = await harness.submit("once slow")
        await harness.drawing(job_id)
        worker.signal(TERM)
        assert await worker.ended() == 0
    assert (await harness.find(job_id)).status is Status.QUEUED
    async with harness.worker():
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)
    assert await harness.query("select tries from job") == [{"tries": 1}]


async def test_a_second_signal_gives_the_job_back_at_once_even_from_a_model_that_hangs(harness: WorkerHarness) -> None:
    with harness.worker_process() as worker:
        job_id = await harness.submit("hang@2")
        await harness.noted(f"hang {job_id}")
        for number in (TERM, TERM, TERM, signal.SIGINT):
            worker.signal(number)
        started = time.monotonic()
        assert await worker.ended() == 0
        assert time.monotonic() - started < 5  # the lease has 45 s, the grace 100
    assert (await harness.find(job_id)).status is Status.QUEUED
    assert await harness.query("select tries, attempt from job") == [{"tries": 0, "attempt": 1}]
    assert [line["action"] for line in worker.log if line["message"].startswith("Handed back")] == ["give_back"]


async def test_a_worker_that_is_killed_takes_its_model_along_and_another_one_completes_the_job(
    harness: WorkerHarness,
) -> None:
    with harness.worker_process(LEASE_SECONDS="1.5") as worker:
        job_id = await harness.submit("once hang@3")
        await harness.noted(f"hang {job_id}")
        worker.signal(KILL)
        await worker.ended()

        async def gone() -> bool:
            return not any(map(is_alive, harness.model_pids))

        await until(gone, 5)
    async with harness.worker(), harness.sweeping():
        await harness.ended(job_id)
    await harness.check_result(job_id, attempt=2)


async def test_a_model_that_is_killed_while_idle_is_loaded_again(harness: WorkerHarness) -> None:
    with harness.worker_process():
        await harness.ended(await harness.submit())
        os.kill(harness.model_pids[0], KILL)
        job_id = await harness.submit()
        await harness.ended(job_id)
        assert len(harness.model_pids) == 2
    assert (await harness.find(job_id)).status is Status.COMPLETE


async def test_a_worker_that_was_frozen_while_another_took_over_publishes_nothing_and_works_on(
    harness: WorkerHarness,
) -> None:
    with harness.worker_process(LEASE_SECONDS="1.5") as frozen:
        job_id = await harness.submit("once slow")
        await harness.drawing(job_id)
        frozen.signal(STOP)
        async with harness.worker(), harness.sweeping():
            await harness.ended(job_id)
        await harness.check_result(job_id, attempt=2)
        frozen.signal(CONTINUE)
        following = await harness.submit()
        await harness.ended(following)
        frozen.signal(TERM)
        assert await frozen.ended() == 0
    await harness.check_result(job_id, attempt=2)
    assert (await harness.find(following)).status is Status.COMPLETE


async def test_each_log_line_about_a_job_names_it_and_the_worker_and_none_has_the_prompt(
    harness: WorkerHarness,
) -> None:
    with harness.worker_process(LOG_LEVEL="DEBUG") as worker:
        job_id = await harness.submit("once kill@2 a canary in a coalmine")
        await harness.ended(job_id)
        worker.signal(TERM)
        await worker.ended()
    actions = ("claim_job", "fail_attempt", "publish_job")
    about_jobs = [line for line in worker.log if line.get("action") in actions]
    assert [line["action"] for line in about_jobs] == ["claim_job", "fail_attempt", "claim_job", "publish_job"]
    assert {line["job_id"] for line in about_jobs} == {str(job_id)}
    assert len({line.get("worker_id") for line in worker.log if "action" in line}) == 1
    assert "canary" not in worker.log_path.read_text()


async def test_a_worker_whose_weights_are_refused_claims_nothing_and_says_why_it_ends(harness: WorkerHarness) -> None:
    job_id = await harness.submit()
    with harness.worker_process(loading="refuses") as worker:
        assert await worker.ended() == 78
        last_line = worker.log_path.read_text().splitlines()[-1]
    assert last_line == "onbrand: The brand pack's file lora differs from its checksum: restore it."
    assert await harness.query("select status, attempt, id from job") == [
        {"status": "queued", "attempt": 0, "id": job_id}
    ]
