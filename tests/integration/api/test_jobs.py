"""A job as its owner sees it: in each status, cancelled, and expired."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from onbrand.errors import JobFailure, ModelFailed
from onbrand.jobs import attempts
from onbrand.jobs.models import Phase, Progress
from tests.integration.api.service import PACK, Person, Service, assert_problem
from tests.rules import RULES

FIELDS = {
    "id",
    "prompt",
    "prompt_truncated",
    "prompt_ignored",
    "status",
    "created_at",
    "started_at",
    "completed_at",
    "expires_at",
    "images",
    "user_id",
}
FIELDS |= {"progress", "error", "pack", "seeds", "attempt"}


async def test_a_waiting_job_says_its_place_and_what_it_waits_for(member: Person) -> None:
    job_id = await member.submit("a teapot")
    job = (await member.http.get(f"/jobs/{job_id}")).json()
    assert set(job) == FIELDS
    assert job["progress"].pop("queue_position") >= 1
    assert job["progress"] == {"phase": "starting_gpu", "step": 0, "steps": 0, "percent": 0, "eta_seconds": None} | {
        "is_late": False,
        "previews": [],
    }
    assert len(set(job["seeds"])) == 4
    assert (job["id"], job["prompt"], job["status"], job["user_id"]) == (
        job_id,
        "a teapot",
        "queued",
        str(member.owner.user_id),
    )
    assert (job["images"], job["error"]) == ([], None)
    assert {job[field] for field in ("pack", "started_at", "completed_at", "expires_at")} == {None}
    assert datetime.fromisoformat(job["created_at"]).utcoffset() == timedelta(0)


async def test_a_running_job_says_how_far_it_is(service: Service, member: Person) -> None:
    job_id = await member.submit()
    held = await service.claim(job_id)
    async with service.transaction() as connection:
        await attempts.record_progress(connection, held, Progress(Phase.DRAWING, 3, 12), lease_seconds=45)
    job = (await member.http.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["images"]) == ("processing", [])
    progress = job["progress"]
    assert (progress["phase"], progress["step"], progress["steps"], progress["percent"]) == ("drawing", 3, 12, 26)
    assert progress["queue_position"] is None
    assert job["pack"] == {"id": PACK.id, "name": PACK.name, "version": PACK.version}


async def test_a_complete_job_names_four_images_that_can_be_fetched(member: Person) -> None:
    job_id, _ = await member.complete()
    job = (await member.http.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["progress"]["percent"], job["progress"]["phase"]) == ("complete", 100, None)
    assert job["images"] == [f"/jobs/{job_id}/images/{n}" for n in (1, 2, 3, 4)]
    assert {(await member.http.get(path)).status_code for path in job["images"]} == {200}
    began, ended = (datetime.fromisoformat(job[field]) for field in ("started_at", "completed_at"))
    assert datetime.fromisoformat(job["created_at"]) < began < ended
    kept = datetime.fromisoformat(job["expires_at"]) - datetime.fromisoformat(job["completed_at"])
    assert kept == timedelta(hours=720)


async def test_a_failed_job_says_why_and_what_to_do(service: Service, member: Person) -> None:
    job_id = await member.submit()
    held = await service.claim(job_id)
    async with service.transaction() as connection:
        await attempts.end_attempt(connection, held, ModelFailed, replace(RULES, max_attempts=1))
    job = (await member.http.get(f"/jobs/{job_id}")).json()
    assert (job["status"], job["images"], job["completed_at"] is None) == ("failed", [], False)
    assert job["error"] == {"code": "model_failed", "title": ModelFailed.title, "detail": ModelFailed.detail}


async def test_every_failure_a_worker_can_store_can_be_shown(service: Service, member: Person) -> None:
    for failure in [*JobFailure.__subclasses__()]:
        job_id = await member.submit()
        held = await service.claim(job_id)
        async with service.transaction() as connection:
            await attempts.end_attempt(connection, held, failure, replace(RULES, max_attempts=1))
        error = (await member.http.get(f"/jobs/{job_id}")).json()["error"]
        assert error == {"code": failure.code, "title": failure.title, "detail": failure.detail}


async def test_cancelling_ends_a_job_and_may_be_repeated(service: Service, member: Person) -> None:
    for claimed in (False, True):
        job_id = await member.submit()
        if claimed:
            await service.claim(job_id)
        first = await member.http.delete(f"/jobs/{job_id}")
        assert first.status_code == 200
        assert (first.json()["status"], first.json()["error"]["code"]) == ("failed", "cancelled")
        again = await member.http.delete(f"/jobs/{job_id}")
        assert (again.status_code, again.json()) == (200, first.json())
        assert (await member.http.get(f"/jobs/{job_id}")).json() == first.json()


async def test_cancelling_at_the_same_time_is_cancelling_once(member: Person) -> None:
    job_id = await member.submit()
    answers = await asyncio.gather(*(member.http.delete(f"/jobs/{job_id}") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


async def test_cancelling_a_complete_job_keeps_its_images(member: Person) -> None:
    job_id, _ = await member.complete()
    answer = await member.http.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "complete")
    assert (await member.http.get(f"/jobs/{job_id}/images/1")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/images/1"), ("GET", "/images/1?download=1")],
        *[("PUT", "/saved"), ("POST", "/question")],
    ],
)
async def test_a_job_whose_time_is_over_is_gone(member: Person, method: str, path: str) -> None:
    job_id = await member.expired()
    answer = await member.http.request(method, f"/jobs/{job_id}{path}")
    assert_problem(answer, 410, "job_expired")
    assert "a teapot" not in answer.text


async def test_a_known_etag_does_not_outlive_the_image(service: Service, member: Person) -> None:
    job_id, images = await member.complete()
    known = {"If-None-Match": f'"{images[0].sha256}"'}
    assert (await member.http.get(f"/jobs/{job_id}/images/1", headers=known)).status_code == 304
    await service.execute("update job set expires_at = now() where id = %s", job_id)
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1", headers=known), 410, "job_expired")


async def test_a_job_is_there_until_the_very_end_of_its_time(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    await service.execute("update job set expires_at = now() + interval '30 seconds' where id = %s", job_id)
    assert (await member.http.get(f"/jobs/{job_id}")).status_code == 200


async def test_an_unknown_job_is_not_found(member: Person) -> None:
    for method in ("GET", "DELETE"):
        assert_problem(await member.http.request(method, f"/jobs/{uuid4()}"), 404, "job_not_found")
