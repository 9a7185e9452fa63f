"""Whoever makes too many requests is refused before the database is asked, and nobody else notices."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from onbrand.api import middleware, protocol
from onbrand.config import Settings
from onbrand.database.pool import Connection
from onbrand.jobs import workers
from tests.integration.api.service import Service, assert_problem, running
from tests.system import wait_until

REQUESTS = 60


@pytest.fixture
def limited(
    service: Service, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A service that answers few requests."""
    monkeypatch.setattr(middleware, "FLOOD_SECONDS", 0.01)
    with running(make_settings(max_requests_per_second=1), service.database_url) as other:
        yield other


async def test_a_person_who_makes_too_many_is_refused_and_others_are_not(limited: Service) -> None:
    async with limited.person() as person, limited.person() as other:
        answers = [await person.http.put("/jobs/x/answer") for _ in range(REQUESTS)]
        assert {answer.status_code for answer in answers} == {404, 429}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert_problem(refused, 429, "too_many_requests")
        assert int(refused.headers["retry-after"]) > 0
        assert (await other.http.get("/me")).status_code == 200


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}], ids=["no token", "a wrong token"])
async def test_a_flood_without_a_token_is_refused_and_health_and_members_are_answered(
    limited: Service, headers: dict[str, str]
) -> None:
    async with limited.client(headers) as nobody, limited.person() as person:
        answers = [await nobody.post("/generate") for _ in range(REQUESTS)]
        assert {answer.status_code for answer in answers} == {401, 429}
        assert_problem(answers[-1], 429, "too_many_requests")
        assert (await person.http.get("/me")).status_code == 200
        for path in ("/healthz", "/readyz"):
            assert {(await nobody.get(path)).status_code for _ in range(REQUESTS)} == {200}


async def test_a_header_that_nobody_reads_does_not_excuse_a_flood(limited: Service) -> None:
    async with limited.client({"Authorization": "Bearer x"}) as nobody:
        answers = [await nobody.get("/config.json") for _ in range(REQUESTS)]
        assert {answer.status_code for answer in answers} == {200, 429}


async def test_a_flood_of_readiness_shares_looks_at_the_database(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, ready_workers = [0], workers.ready_workers

    async def counted(connection: Connection) -> int:
        looks[0] += 1
        return await ready_workers(connection)

    monkeypatch.setattr(workers, "ready_workers", counted)
    async with service.client() as nobody:
        answers = await asyncio.gather(*[nobody.get("/readyz") for _ in range(REQUESTS)])
    assert {answer.status_code for answer in answers} == {200}
    assert looks[0] < REQUESTS / 2


async def test_what_is_too_much_is_answered_later(limited: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "FLOOD_SECONDS", 0.5)
    async with limited.client() as nobody:
        answers = await asyncio.gather(*[nobody.get("/config.json") for _ in range(REQUESTS)])
    assert min(answer.elapsed.total_seconds() for answer in answers if answer.status_code == 429) >= 0.5


async def test_a_floods_requests_make_room_for_others(limited: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "FLOOD_SECONDS", 600.0)
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", REQUESTS)
    head = b"GET /config.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as held:
        flood = [held.enter_context(limited.connection()) for _ in range(REQUESTS)]
        for connection in flood:
            connection.sendall(head * 20)
        # Some are answered. From then on each connection waits with one of its requests.
        await asyncio.to_thread(wait_until, lambda: select.select(flood, [], [], 0)[0], 20)
        for _ in range(5):
            async with limited.person() as person:
                assert (await person.http.get("/me")).status_code == 200
