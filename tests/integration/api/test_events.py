"""The stream of a job's changes has the same shape as polling, and ends when the job ends."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx
import pytest

from onbrand.api import watching
from onbrand.identity.tokens import LEEWAY_SECONDS
from onbrand.jobs import attempts
from onbrand.jobs import service as jobs_service
from onbrand.jobs.models import Phase, Progress
from tests.integration.api.service import Person, Service, assert_problem
from tests.system import wait_until


async def jobs_in(stream: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The jobs of a stream's `job` events."""
    name = ""
    async for line in stream.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            assert name == "job"
            yield json.loads(value)


async def test_a_stream_shows_each_change_and_ends_with_the_job(service: Service, member: Person) -> None:
    job_id = await member.submit()
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(10), member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-request-id"]
        async for job in jobs_in(stream):
            seen.append(job)
            match job["status"], job["progress"]["phase"]:
                case "queued", _:
                    held = await service.claim(job_id)
                case "processing", "encoding":
                    async with service.transaction() as connection:
                        await attempts.record_progress(
                            connection, held, Progress(Phase.DRAWING, 6, 12), lease_seconds=45
                        )
                case "processing", "drawing":
                    await service.publish(held)
    assert [job["status"] for job in seen] == ["queued", "processing", "processing", "complete"]
    assert seen[-1] == (await member.http.get(f"/jobs/{job_id}")).json()


async def test_a_stream_of_an_ended_job_shows_it_once(member: Person) -> None:
    job_id, _ = await member.complete()
    async with asyncio.timeout(5), member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert [job["status"] async for job in jobs_in(stream)] == ["complete"]


async def test_a_stream_ends_when_its_job_is_cancelled(member: Person) -> None:
    job_id = await member.submit()
    async with asyncio.timeout(5), member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        seen = []
        async for job in jobs_in(stream):
            seen.append(job["status"])
            await member.http.delete(f"/jobs/{job_id}")
    assert seen == ["queued", "failed"]


async def test_there_is_no_stream_of_what_is_not_there(service: Service, member: Person, stranger: Person) -> None:
    job_id = await member.submit()
    assert_problem(await member.http.get(f"/jobs/{uuid4()}/events"), 404, "job_not_found")
    assert_problem(await stranger.http.get(f"/jobs/{job_id}/events"), 404, "job_not_found")
    async with service.client() as nobody:
        assert_problem(await nobody.get(f"/jobs/{job_id}/events"), 401, "token_missing")


async def test_a_reader_who_leaves_ends_the_stream(member: Person, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="onbrand")

    job_id = await member.submit()
    async with member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        await anext(jobs_in(stream))
        caplog.clear()
        assert _answered(caplog) == 0
    wait_until(lambda: _answered(caplog) == 1, 5)


async def test_sixty_streams_of_a_job_look_at_it_together(member: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, find, versions = {"find": 0, "versions": 0}, jobs_service.find, jobs_service.versions

    async def counted_find(*arguments: Any) -> Any:
        looks["find"] += 1
        return await find(*arguments)

    async def counted_versions(*arguments: Any) -> Any:
        looks["versions"] += 1
        return await versions(*arguments)

    job_id = await member.submit()
    monkeypatch.setattr(jobs_service, "find", counted_find)
    monkeypatch.setattr(jobs_service, "versions", counted_versions)
    async with AsyncExitStack() as held:
        opening = [member.http.stream("GET", f"/jobs/{job_id}/events") for _ in range(60)]
        streams = await asyncio.gather(*[held.enter_async_context(stream) for stream in opening])
        seen = [jobs_in(stream) for stream in streams]
        for jobs in seen:
            assert (await anext(jobs))["status"] == "queued"
        assert looks["find"] < 30  # also while they were opened
        looks.update(find=0, versions=0)
        began = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: looks["versions"] > 8, 20)
        assert looks["find"] <= looks["versions"] + 1
        assert looks["versions"] - 2 <= (time.monotonic() - began) / watching._LOOK_SECONDS  # one task looks
        await member.http.delete(f"/jobs/{job_id}")
        for jobs in seen:
            assert [job["status"] async for job in jobs][-1] == "failed"


async def test_a_stream_ends_when_its_token_does_and_a_fresh_one_takes_it_up(service: Service, member: Person) -> None:
    job_id = await member.submit()
    now = int(time.time())
    claims = service.issuer.access_claims("member") | {"oid": str(member.owner.user_id)}
    token = service.issuer.sign(claims | {"iat": now - 100, "nbf": now - 100, "exp": now - LEEWAY_SECONDS + 3})
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(20), member.http.stream("GET", f"/jobs/{job_id}/events", headers=headers) as stream:
        assert [job["status"] async for job in jobs_in(stream)] == ["queued"]
    assert_problem(await member.http.get(f"/jobs/{job_id}", headers=headers), 401, "token_expired")
    async with asyncio.timeout(10), member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        assert (await anext(jobs_in(stream)))["status"] == "queued"


def _answered(caplog: pytest.LogCaptureFixture) -> int:
    return sum(getattr(line, "action", "") == "answer_request" for line in caplog.records)
