"""A stream of a job's changes over a connection that breaks again and again. A client that reconnects sees the end."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx

from onbrand.jobs import attempts
from onbrand.jobs.models import Phase, Progress
from tests.integration.api.service import Person, Service
from tests.proxy import Proxy

ONE_EVENT_OR_SO = 2000  # bytes, with the head of the answer
STEPS = 6


async def test_a_stream_that_is_cut_again_and_again_ends_as_the_job_does(service: Service, member: Person) -> None:
    job_id = await member.submit()
    seen: list[dict[str, Any]] = []
    held = await service.claim(job_id)

    async def draw() -> None:
        for step in range(STEPS + 1):
            async with service.transaction() as connection:
                progress = Progress(Phase.DRAWING, step, STEPS)
                await attempts.record_progress(connection, held, progress, lease_seconds=45)
            await asyncio.sleep(0.1)  # a step
        await service.publish(held)

    async with Proxy.before("127.0.0.1", service.settings.port) as proxy:
        proxy.cut_answers_after(ONE_EVENT_OR_SO)
        drawing = asyncio.create_task(draw())
        async with (
            asyncio.timeout(30),
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{proxy.port}", headers=dict(member.http.headers), verify=False
            ) as client,
        ):
            while not seen or seen[-1]["status"] != "complete":
                with suppress(httpx.TransportError):
                    async with client.stream("GET", f"/jobs/{job_id}/events") as stream:
                        async for line in stream.aiter_lines():
                            if line.startswith("data: ") and line.endswith("}"):
                                seen.append(json.loads(line.removeprefix("data: ")))
        await drawing
        assert proxy.cuts > 1
    assert seen[-1] == (await member.http.get(f"/jobs/{job_id}")).json()
    percents = [job["progress"]["percent"] for job in seen]
    assert percents == sorted(percents)
