"""What a waiting person sees over HTTP: previews of their own images, and how long a job usually takes."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode, b64encode

import pytest

from onbrand.jobs import attempts, workers
from onbrand.jobs.models import Phase, Progress
from tests.integration.api.service import PACK, Person, Service, assert_problem

PREVIEWS = tuple(b"\xff\xd8\xff" + bytes([n]) * 4000 + b"\xff\xd9" for n in range(4))  # larger than any so far


async def drawing(service: Service, member: Person) -> str:
    """A job of theirs with previews."""
    job_id = await member.submit()
    held = await service.claim(job_id)
    async with service.transaction() as connection:
        progress = Progress(Phase.DRAWING, 3, 12, PREVIEWS)
        assert await attempts.record_progress(connection, held, progress, lease_seconds=45)
    return job_id


async def test_a_running_job_shows_its_pictures_as_they_are_now_to_its_owner_alone(
    service: Service, member: Person, stranger: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    job_id = await drawing(service, member)
    answer = await member.http.get(f"/jobs/{job_id}")
    assert tuple(b64decode(preview) for preview in answer.json()["progress"]["previews"]) == PREVIEWS
    assert len(answer.content) < 32 * 1024
    assert answer.headers["cache-control"] == "private, no-store"
    for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/events"):
        refused = await stranger.http.get(path)
        assert_problem(refused, 404, "job_not_found")
    assert b64encode(PREVIEWS[1]).decode()[:40] not in caplog.text
    assert repr(PREVIEWS[1])[:40] not in caplog.text


async def test_the_stream_carries_them_until_the_job_ends(service: Service, member: Person) -> None:
    job_id = await drawing(service, member)
    counts = []
    async with asyncio.timeout(10), member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                counts.append(len(json.loads(line.removeprefix("data: "))["progress"]["previews"]))
                await member.http.delete(f"/jobs/{job_id}")
    assert counts == [4, 0]


async def test_me_tells_whether_a_model_is_ready_and_how_long_drawing_takes(service: Service, member: Person) -> None:
    await service.execute("delete from job")  # others' waiting jobs would make these a crowd
    await service.execute("delete from worker")
    me = (await member.http.get("/me")).json()
    assert (me["is_ready"], me["usual_seconds"]) == (False, None)
    for seconds in range(1, 12):
        job_id, _ = await member.complete()
        await service.execute(
            "update job set started_at = completed_at - make_interval(secs => %s) where id = %s", seconds, job_id
        )
    try:
        for state, is_ready in (("loading", False), ("ready", True)):
            async with service.transaction() as connection:
                await workers.announce(connection, "a worker", state, PACK)  # type: ignore[arg-type]
            me = (await member.http.get("/me")).json()
            assert (me["is_ready"], me["usual_seconds"]) == (is_ready, {"typical": 8, "slow": 10})
        async with service.client({"Authorization": f"Bearer {service.issuer.token_for('outsider')}"}) as outsider:
            me = (await outsider.get("/me")).json()
        assert (me["is_ready"], me["usual_seconds"]) == (False, None)
    finally:
        await service.execute("delete from worker")


async def test_what_was_forecast_at_the_beginning_is_kept(service: Service, member: Person) -> None:
    await service.execute("delete from job")
    job_id, _ = await member.complete()
    await service.execute("update job set started_at = completed_at - interval '7 seconds' where id = %s", job_id)
    try:
        async with service.transaction() as connection:
            await workers.announce(connection, "a worker", "ready", PACK)
        answer = (
            await member.http.post("/generate", json={"prompt": "a cup"}, headers={"Idempotency-Key": "k1"})
        ).json()
        assert answer["estimated_seconds"] == 7
        await service.execute("update job set started_at = completed_at - interval '9 seconds' where id = %s", job_id)
        again = await member.http.post("/generate", json={"prompt": "a cup"}, headers={"Idempotency-Key": "k1"})
        assert again.json() == answer | {"estimated_seconds": 9}
        rows = await service.execute("select forecast_seconds from job where id = %s", answer["job_id"])
        assert [row["forecast_seconds"] for row in rows] == [7]
    finally:
        await service.execute("delete from worker")
