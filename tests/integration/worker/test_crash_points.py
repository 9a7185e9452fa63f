"""A worker is killed at any point of its work, and an API while it submits: the job still completes, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import httpx
import pytest

from onbrand.config import LOCAL_TENANT_ID, REPOSITORY
from onbrand.images.store import ImageStore
from onbrand.jobs.models import Owner
from onbrand.local.issuer import Issuer
from onbrand.maintenance import Maintenance
from tests.integration.worker.harness import WorkerHarness
from tests.system import environment, free_port, is_alive, wait_until

KILLED = -signal.SIGKILL
HOURS_OLD = 3  # images older than two hours may be deleted when rows and images are compared


async def recover(harness: WorkerHarness, job_id: UUID) -> None:
    """Let another worker and the sweep end the job."""
    # The sweep replaces a lost delivery after ten seconds; let them have passed.
    await harness.query("update job set queued_at = queued_at - interval '10 seconds' returning id")
    async with harness.worker(), harness.sweeping():
        await harness.ended(job_id)


async def clean_up(harness: WorkerHarness) -> None:
    """What maintenance does hours later: delete images of no result, and deliveries of dead workers."""
    then = time.time() - HOURS_OLD * 3600
    for path in harness.images_dir.rglob("*"):
        os.utime(path, (then, then))
    await Maintenance(harness.settings, harness.database, ImageStore.on_disk(harness.images_dir)).collect()
    await harness.query("update procrastinate_workers set last_heartbeat = now() - interval '2 days' returning id")
    await harness.sweep()


@pytest.mark.parametrize(
    ("point", "attempt", "left"),
    [
        ("fetched", 1, ""),
        ("claim uncommitted", 1, ""),
        ("claim committed", 2, ""),
        ("drawing", 2, ""),
        ("stored 1", 2, "png webp"),
        ("half stored", 2, "png png#1 webp"),
        ("half rendered", 2, "png png webp webp#1"),
        ("stored 2", 2, "png png webp webp"),
        ("stored 3", 2, "png png png webp webp webp"),
        ("stored 4", 2, "png png png png webp webp webp webp"),
        ("publish uncommitted", 2, "png png png png webp webp webp webp"),
        ("publish committed", 1, "png png png png webp webp webp webp"),
        ("end_attempt uncommitted", 2, ""),
        ("end_attempt committed", 2, ""),
    ],
)
async def test_a_worker_dies_and_the_job_has_the_four_images_of_one_attempt(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, point: str, attempt: int, left: str
) -> None:
    monkeypatch.setenv("HALT_AT", point)
    with harness.worker_process(LEASE_SECONDS="1") as worker:
        job_id = await harness.submit("once fails=gpu_memory" if "end_attempt" in point else "a teapot")
        assert await worker.ended() == KILLED
    assert sorted(name.partition(".")[2] for name in harness.stored(job_id)) == left.split()
    await recover(harness, job_id)
    await clean_up(harness)
    await harness.check_result(job_id, attempt)
    assert await harness.query("select tries from job") == [{"tries": attempt}]
    assert await harness.query("select status from procrastinate_jobs") == []
    assert not any(map(is_alive, harness.model_pids))


@pytest.mark.parametrize(("point", "tries"), [("give_back uncommitted", 2), ("give_back committed", 1)])
async def test_a_worker_dies_while_it_gives_its_job_back(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, point: str, tries: int
) -> None:
    monkeypatch.setenv("HALT_AT", point)
    with harness.worker_process(LEASE_SECONDS="1.5") as worker:
        job_id = await harness.submit("once hang@2")
        await harness.noted(f"hang {job_id}")
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGINT)
        assert await worker.ended() == KILLED
    await recover(harness, job_id)
    await clean_up(harness)
    await harness.check_result(job_id, attempt=2)
    assert await harness.query("select tries from job") == [{"tries": tries}]
    assert await harness.query("select status from procrastinate_jobs") == []


async def test_a_worker_dies_while_it_removes_its_own_row(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALT_AT", "withdraw uncommitted")
    with harness.worker_process() as worker:
        job_id = await harness.submit()
        await harness.ended(job_id)
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == KILLED
    await harness.check_result(job_id, attempt=1)
    assert len(await harness.query("select from live_worker")) == 1
    await harness.query("update worker set seen_at = seen_at - interval '30 seconds' returning id")
    assert await harness.query("select from live_worker") == []


# --- the API ---------------------------------------------------------------------------------------------------------


@contextmanager
def api(harness: WorkerHarness, *command: str) -> Iterator[httpx.Client]:
    """`onbrand api` as a process of its own, and an HTTP client that calls it as the owner of the harness's jobs."""
    port, page = free_port(), harness.notes_dir
    (page / "index.html").write_text("<!doctype html>")
    variables = environment(
        DATABASE_URL=harness.database_url, DATA_DIR=str(harness.settings.data_dir), PORT=str(port), WEB_DIR=str(page)
    )
    with (harness.notes_dir / f"api-{port}.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command, "api"], env=variables, stderr=log, cwd=REPOSITORY)
    try:
        issuer = Issuer(f"http://localhost:{port}", harness.settings.data_dir / "sign-in")
        token = issuer.sign(issuer.access_claims("member") | {"oid": str(harness.owner.user_id)})
        # verify=False: there is no TLS here, and loading the system's certificates takes longer than most tests.
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {token}"}, verify=False
        ) as client:
            wait_until(lambda: is_ready(client), 30)
            yield client
    finally:
        process.kill()
        process.wait()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(("point", "jobs"), [("submit uncommitted", 0), ("submit committed", 1)])
async def test_an_api_dies_while_it_submits_and_the_repeated_request_brings_one_job(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch, point: str, jobs: int
) -> None:
    harness.owner = Owner(LOCAL_TENANT_ID, uuid4())

    def click_generate(client: httpx.Client) -> httpx.Response:
        return client.post("/generate", json={"prompt": "a teapot"}, headers={"Idempotency-Key": "one-press"})

    monkeypatch.setenv("HALT_AT", point)
    with api(harness, "-m", "tests.halt") as client, pytest.raises(httpx.RemoteProtocolError):
        click_generate(client)
    assert len(await harness.query("select from job")) == jobs
    assert len(await harness.query("select from procrastinate_jobs")) == jobs
    with api(harness, "-m", "onbrand") as client:
        answers = [click_generate(client), click_generate(client)]
    assert [answer.status_code for answer in answers] == [202, 202]
    job_ids = {UUID(answer.json()["job_id"]) for answer in answers}
    assert {row["id"] for row in await harness.query("select id from job")} == job_ids
    async with harness.worker():
        await harness.ended(min(job_ids))
    await harness.check_result(min(job_ids), attempt=1)
