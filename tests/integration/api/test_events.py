"""The stream of a job's changes has the same shape as polling, and ends when the job ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from onbrand.jobs import attempts
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


def _answered(caplog: pytest.LogCaptureFixture) -> int:
    return sum(getattr(line, "action", "") == "answer_request" for line in caplog.records)
