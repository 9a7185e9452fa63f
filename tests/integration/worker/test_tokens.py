"""A worker that opens the database with tokens of a managed identity: a rotation costs no job and no notification."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from onbrand.config import Settings
from onbrand.database.address import configured
from onbrand.jobs import queue
from tests.identity_endpoint import CLIENT_ID, IdentityEndpoint, identity_endpoint
from tests.integration.worker.harness import WorkerHarness, until


@pytest.fixture
def identity(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    with identity_endpoint(database_url, monkeypatch) as endpoint:
        yield endpoint


@pytest.fixture
def by_token(harness: WorkerHarness, identity: IdentityEndpoint) -> WorkerHarness:
    """The harness, whose workers have tokens only. The test itself looks at the database with its password."""
    settings = Settings(
        database_url=identity.url,  # type: ignore[arg-type]
        database_auth="entra",  # type: ignore[arg-type]
        database_client_id=CLIENT_ID,
    )
    harness.by_token = configured(settings)
    return harness


async def listening(harness: WorkerHarness, identity: IdentityEndpoint) -> int:
    """The process id of the connection that hears of new deliveries, once it is there."""

    async def look() -> int | None:
        rows = await harness.query(
            "select pid from pg_stat_activity where usename = %s and query ilike 'listen %%'", identity.role
        )
        return int(rows[0]["pid"]) if rows else None

    return await until(look)


async def test_a_rotation_while_a_worker_draws_costs_no_job_and_no_notification(
    by_token: WorkerHarness, identity: IdentityEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "POLL_SECONDS", 60.0)  # so that only a notification is in time
    async with by_token.worker() as worker:
        before = await listening(by_token, identity)
        job_id = await by_token.submit("slow")
        await by_token.drawing(job_id)
        identity.rotate()
        await asyncio.sleep(1.1)  # a younger token is not asked for again
        lost = "select pg_terminate_backend(pid) from pg_stat_activity where usename = %s"
        assert len(await by_token.query(lost, identity.role)) >= 2  # the pool's, and the one that listens
        await by_token.ended(job_id)

        async def listens_again() -> bool:
            return await listening(by_token, identity) != before

        await until(listens_again)
        following = await by_token.submit()
        await by_token.ended(following, seconds=10)
        assert not worker.working.done()
    await by_token.check_result(job_id, attempt=1)
    await by_token.check_result(following, attempt=1)
    assert len(identity.asked) == 2


async def test_a_worker_starts_when_the_endpoint_does(by_token: WorkerHarness, identity: IdentityEndpoint) -> None:
    identity.stop()
    job_id = await by_token.submit()
    async with by_token.worker():
        await asyncio.sleep(2)  # the worker waits, as for a database that is away
        identity.start()
        await by_token.ended(job_id)
    await by_token.check_result(job_id, attempt=1)
