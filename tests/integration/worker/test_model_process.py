"""The model is loaded once, and again when its process is gone; meanwhile the worker takes no delivery."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

import pytest

from onbrand import logs
from onbrand.errors import ModelRefused, SetupError
from onbrand.jobs.fairness import next_prompt
from onbrand.worker import model_process
from onbrand.worker.model_process import ModelProcess
from tests.integration.worker.harness import WorkerHarness, until
from tests.integration.worker.stub_worker import STUB_MODEL
from tests.system import is_alive


def model(harness: WorkerHarness, loading: str = "") -> ModelProcess:
    return ModelProcess([sys.executable, str(STUB_MODEL), str(harness.notes_dir), loading])


async def test_callers_that_ask_for_the_model_at_the_same_time_get_the_same_one(harness: WorkerHarness) -> None:
    process = model(harness)
    await asyncio.gather(*(process.ensure_ready() for _ in range(5)))
    assert (process.is_ready, harness.notes.count("load")) == (True, 1)
    await process.stop()
    assert (process.is_ready, [*map(is_alive, harness.model_pids)]) == (False, [False])


async def test_a_model_that_dies_while_loading_is_loaded_again(harness: WorkerHarness) -> None:
    process = model(harness, "dies-once")
    await process.ensure_ready()
    assert (process.is_ready, harness.notes.count("load")) == (True, 2)
    await process.stop()


async def test_while_a_model_loads_the_prompt_that_waits_first_is_read_and_each_part_is_logged(
    harness: WorkerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await harness.submit("a teapot")
    await harness.submit("a lamp")

    async def prompt_to_read() -> str | None:
        async with harness.database.transaction() as connection:
            return await next_prompt(connection)

    process = ModelProcess([sys.executable, str(STUB_MODEL), str(harness.notes_dir), "reads"], prompt_to_read)
    await process.ensure_ready()
    await process.stop()
    assert harness.notes.count("read a teapot") == 1
    assert "held in the stub" in caplog.messages
    assert "Loading: encoders took 1.5 s, 2.00 GB" in caplog.messages


async def test_a_model_that_is_killed_while_nothing_is_drawn_leaves_a_line_and_one_that_is_stopped_leaves_none(
    harness: WorkerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    def lost() -> list[str]:
        return [line.getMessage() for line in caplog.records if getattr(line, "action", "") == "model_lost"]

    async def told() -> list[str]:
        return lost()

    process = model(harness)
    await process.ensure_ready()
    (pid,) = harness.model_pids
    os.kill(pid, signal.SIGKILL)
    assert await until(told) == ["The model process ended by itself (signal 9)"]
    caplog.clear()
    await process.ensure_ready()
    await process.stop()
    assert lost() == []


async def test_what_is_loaded_after_a_job_is_not_logged_as_that_jobs(
    harness: WorkerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    ids: list[tuple[str, str | None]] = []

    class Context(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            ids.append((getattr(record, "action", ""), logs.job_id.get()))

    handler = Context()
    logging.getLogger("onbrand").addHandler(handler)
    caplog.set_level(logging.INFO)
    try:
        job_id = await harness.submit("kill@1")
        async with harness.worker():

            async def loaded_again() -> bool:
                return len([action for action, _ in ids if action == "model_ready"]) >= 2

            await until(loaded_again)
    finally:
        logging.getLogger("onbrand").removeHandler(handler)
    assert ("claim_job", str(job_id)) in ids
    assert {about for action, about in ids if action in ("model_start", "model_ready")} == {None}


@pytest.mark.parametrize("loading", ["dies", "babbles"])
async def test_a_model_that_never_loads_is_given_up_and_nothing_keeps_running(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, loading: str
) -> None:
    monkeypatch.setattr(model_process, "_PAUSE_SECONDS", 0.01)
    process = model(harness, loading)
    with pytest.raises(SetupError, match="died each time"):
        await process.ensure_ready()
    assert (process.is_ready, harness.notes.count("load")) == (False, 3)


async def test_a_worker_whose_model_never_loads_again_ends_and_leaves_the_job_to_others(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_process, "_PAUSE_SECONDS", 0.01)
    job_id = await harness.submit("kill@1")
    with pytest.raises(SetupError, match="died each time"):
        async with harness.worker("dies-again") as worker:
            await worker.working
    assert await harness.query("select status, attempt, id from job") == [
        {"status": "queued", "attempt": 1, "id": job_id}
    ]


async def test_a_model_that_cannot_even_be_started_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_process, "_PAUSE_SECONDS", 0.01)
    with pytest.raises(SetupError, match="died each time"):
        await ModelProcess(["/no/such/program"]).ensure_ready()


async def test_refused_weights_are_not_tried_again(harness: WorkerHarness) -> None:
    process = model(harness, "refuses")
    with pytest.raises(ModelRefused, match="differs from its checksum"):
        await process.ensure_ready()
    assert harness.notes.count("load") == 1
    await process.stop()


async def test_a_model_whose_loading_nobody_waits_for_any_more_is_ended(harness: WorkerHarness) -> None:
    process = model(harness, "hangs")
    loading = asyncio.create_task(process.ensure_ready())
    await harness.noted("load")
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    await process.stop()
    assert not process.is_ready


async def test_a_worker_takes_no_delivery_while_its_model_loads_again(harness: WorkerHarness) -> None:
    async with harness.worker("slow-again", max_attempts=1):
        await harness.ended(await harness.submit("kill@1"))
        job_id = await harness.submit()
        await harness.noted("load", times=2)
        assert await harness.query(
            "select status::text from procrastinate_jobs where args ->> 'job_id' = %s", str(job_id)
        ) == [{"status": "todo"}]
        await harness.ended(job_id)


async def test_a_worker_that_is_to_stop_does_not_wait_for_a_model_to_load(harness: WorkerHarness) -> None:
    with harness.worker_process(loading="slow-again", MAX_ATTEMPTS="1") as worker:
        await harness.ended(await harness.submit("kill@1"))
        await harness.noted("load", times=2)
        worker.process.terminate()
        assert await worker.ended() == 0
    assert len(harness.model_pids) == 1


async def test_the_state_that_a_worker_announces_is_its_models(harness: WorkerHarness) -> None:
    async def announced(state: str) -> None:
        async def look() -> bool:
            return await harness.query("select state from live_worker") == [{"state": state}]

        await until(look)

    async with harness.worker("slow-again", max_attempts=1):
        await announced("ready")
        await harness.ended(await harness.submit("kill@1"))
        await announced("loading")
        await announced("ready")


async def test_what_the_model_process_prints_is_logged_as_lines_of_ours(harness: WorkerHarness) -> None:
    with harness.worker_process() as worker:
        await harness.ended(await harness.submit("prints"))
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == 0
    said = [line["message"] for line in worker.log if line.get("action") == "model_output"]  # each line is JSON
    assert said == ["The model process says: a library's \\ warning", "The model process says: " + "x" * 500]


async def test_a_store_that_does_not_answer_while_loading_is_asked_again(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_process, "_PAUSE_SECONDS", 0.01)
    process = model(harness, "away-once")
    await process.ensure_ready()
    assert (process.is_ready, harness.notes.count("load")) == (True, 2)
    await process.stop()
