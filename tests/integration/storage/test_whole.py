"""The whole way with the images in Azure: from a prompt to four images, and the effect of an outage of the store."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onbrand.config import Settings
from onbrand.database.pool import Database
from onbrand.images import store
from onbrand.jobs.models import Status
from onbrand.worker import job_runner, publishing
from tests.azurite import KEY, Azurite
from tests.integration.api.service import PNGS, Person, Service, assert_problem, running
from tests.integration.storage.places import Place
from tests.integration.storage.test_azure import WRONG_KEY
from tests.integration.worker.harness import WorkerHarness, until
from tests.jobs import FILES
from tests.system import free_port, onbrand


@pytest.fixture
def harness(
    database: Database, database_url: str, on_azure: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> WorkerHarness:
    """A place for workers whose images go to Azurite."""
    notes_dir = tmp_path / "notes"
    notes_dir.mkdir()
    return WorkerHarness(database, database_url, on_azure, notes_dir, monkeypatch)


@pytest.fixture
def service(on_azure: Settings, database_url: str) -> Iterator[Service]:
    """The service on the same database and container."""
    with running(on_azure.model_copy(update={"port": free_port()}), database_url) as service:
        yield service


async def pictures(person: Person, job_id: str) -> dict[int, bytes]:
    """The four images of a job, as its owner gets them."""
    answers = {n: await person.http.get(f"/jobs/{job_id}/images/{n}") for n in (1, 2, 3, 4)}
    assert [answer.status_code for answer in answers.values()] == [200] * 4
    return {n: answer.content for n, answer in answers.items()}


async def complete(person: Person, job_id: str) -> None:
    async def look() -> bool:
        job = (await person.http.get(f"/jobs/{job_id}")).json()
        assert job["status"] != "failed", job["error"]
        return bool(job["status"] == "complete")

    await until(look)


async def test_a_prompt_becomes_four_pictures_by_way_of_azure(harness: WorkerHarness, service: Service) -> None:
    async with harness.worker(), service.person() as person:
        job_id = await person.submit()
        await complete(person, job_id)
        found = await pictures(person, job_id)
    rows = await harness.query("select n, sha256 from image where job_id = %s", job_id)
    assert {row["n"]: row["sha256"] for row in rows} == {n: hashlib.sha256(png).hexdigest() for n, png in found.items()}
    assert await Place.of(harness.settings).keys() == {f"jobs/{job_id}/1/{name}" for name in FILES}
    assert not harness.images_dir.exists()


async def test_a_store_that_is_away_costs_its_images_three_seconds_and_nothing_else_anything(
    harness: WorkerHarness, service: Service, azurite: Azurite
) -> None:
    async with harness.worker(), service.person() as person:
        job_id = await person.submit()
        await complete(person, job_id)
        for how in (azurite.stopped, azurite.frozen):
            with how():
                started = time.monotonic()
                assert_problem(await person.http.get(f"/jobs/{job_id}/images/1"), 503, "store_unavailable")
                assert time.monotonic() - started < 3
                assert (await person.http.get(f"/jobs/{job_id}")).status_code == 200
                assert (await person.http.get("/readyz")).status_code == 200
            started = time.monotonic()
            await pictures(person, job_id)
            assert time.monotonic() - started < 5


async def test_a_worker_keeps_its_pictures_through_a_short_outage(harness: WorkerHarness, azurite: Azurite) -> None:
    async with harness.worker():
        with azurite.stopped():
            job_id = await harness.submit()

            async def is_saving() -> bool:
                return (await harness.find(job_id)).percent > 95

            await until(is_saving)
        job = await harness.ended(job_id)
    assert (job.status, job.attempt) == (Status.COMPLETE, 1)
    assert await Place.of(harness.settings).keys() == {f"jobs/{job_id}/1/{name}" for name in FILES}


async def test_a_job_that_cannot_be_stored_waits_for_the_store_and_is_then_drawn(
    harness: WorkerHarness, azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "WRITE_SECONDS", 1.0)
    monkeypatch.setattr(store, "DELETE_SECONDS", 1.0)
    monkeypatch.setattr(publishing, "_STORE_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(job_runner, "_STORE_CHECK_SECONDS", 0.1)

    async def has_failed_once() -> bool:
        return bool(await harness.query("select from job where tries = 1 and status = 'queued'"))

    async with harness.worker(max_attempts=2):
        with azurite.stopped():
            job_id = await harness.submit()
            await until(has_failed_once)
        job = await harness.ended(job_id)
    assert (job.status, job.attempt) == (Status.COMPLETE, 2)


async def test_a_service_starts_while_the_store_is_away(
    on_azure: Settings, database_url: str, azurite: Azurite
) -> None:
    azurite.stop()
    try:
        with running(on_azure.model_copy(update={"port": free_port()}), database_url) as service:
            azurite.start()
            async with service.person() as person:
                job_id, _ = await person.complete()  # its first image makes the container
                assert await pictures(person, job_id) == PNGS
    finally:
        azurite.stop()
        azurite.start()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_a_process_whose_store_refuses_it_says_so_and_stops(
    command: str, azurite: Azurite, tmp_path: Path, on_azure: Settings
) -> None:
    wrong = azurite.settings(str(on_azure.storage_url).removeprefix("az://")) | {"STORAGE_AZURE_KEY": WRONG_KEY}
    ended = onbrand(
        command, DATA_DIR=str(tmp_path), PORT=str(free_port()), DATABASE_URL="postgresql://127.0.0.1:1/x", **wrong
    )
    assert ended.returncode == 78
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("onbrand: Azure refuses access to the container images-")
    for secret in (WRONG_KEY, KEY):
        assert secret not in ended.stderr
