"""Connections that are slow, silent or too many are closed after a time limit, and no other client waits for them."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from onbrand.api import app, protocol
from onbrand.config import Settings
from tests.integration.api.service import Answer, Person, Service, assert_problem, running

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGES = GOOD.replace(b"/healthz", b"/config.json")
BEGUN = b"GET /healthz HTTP/1.1\r\nHost: loc"
LARGE = 20_000_000  # more than the system takes on a connection's behalf


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second to send a head in."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 1.0)


def rest_of(connection: socket.socket) -> bytes:
    """All that still comes, until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.usefixtures("short_patience")
def test_three_hundred_half_open_connections_keep_nobody_waiting_and_are_closed(service: Service) -> None:
    with ExitStack() as held:
        silent = [held.enter_context(service.connection()) for _ in range(150)]
        begun = [held.enter_context(service.connection()) for _ in range(150)]
        for connection in begun:
            connection.sendall(BEGUN)
        since = time.monotonic()
        for _ in range(20):
            began = time.monotonic()
            assert service.exchange(GOOD).status_code == 200
            assert time.monotonic() - began < 0.5
        assert time.monotonic() - since < protocol.HEAD_SECONDS  # they were all still open
        assert {rest_of(connection) for connection in silent} == {b""}
        for connection in begun:
            answer = Answer.read(connection)
            assert_problem(answer, 408, "head_too_slow")
            assert answer.headers["connection"] == "close"
            assert rest_of(connection) == b""
        assert time.monotonic() - since < protocol.HEAD_SECONDS + 2


@pytest.mark.usefixtures("short_patience")
def test_a_head_that_drips_in_is_given_up_however_steadily_it_drips(service: Service) -> None:
    with service.connection() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        began = time.monotonic()
        while not select.select([connection], [], [], 0.05)[0]:
            connection.sendall(b"a")
            assert time.monotonic() - began < 5
        assert_problem(Answer.read(connection), 408, "head_too_slow")


@pytest.mark.usefixtures("short_patience")
@pytest.mark.parametrize("together", [True, False], ids=["with the first", "later"])
def test_the_next_request_on_a_connection_has_the_same_time(service: Service, together: bool) -> None:
    with service.connection() as connection:
        connection.sendall(GOOD + BEGUN if together else GOOD)
        assert Answer.read(connection).status_code == 200
        if not together:
            connection.sendall(BEGUN)
        assert_problem(Answer.read(connection), 408, "head_too_slow")
        assert rest_of(connection) == b""


@pytest.mark.usefixtures("short_patience")
def test_the_rest_of_a_body_that_was_answered_unread_is_not_waited_for(service: Service, member: Person) -> None:
    with service.connection() as connection:
        connection.sendall(member.head("Content-Length: 100").replace(member.token.encode(), b"x"))
        assert_problem(Answer.read(connection), 401, "token_invalid")
        connection.sendall(b"{")
        assert rest_of(connection) == b""


@pytest.mark.usefixtures("short_patience")
async def test_a_request_that_is_being_answered_is_not_held_to_that_time(
    member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    job_id = await member.submit()
    async with member.http.stream("GET", f"/jobs/{job_id}/events") as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "event: job"
        # Longer than that passes until the job ends, and the stream is still there to say so.
        began = time.monotonic()
        while time.monotonic() - began < 0.6:
            await member.http.get(f"/jobs/{job_id}")
        await member.http.delete(f"/jobs/{job_id}")
        assert [line async for line in lines if line.startswith("event")] == ["event: job"]


def test_an_idle_connection_is_kept_for_the_next_request_and_then_closed(
    service: Service, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "KEEP_ALIVE_SECONDS", 1)
    with running(make_settings(), service.database_url) as other, other.connection() as connection:
        for _ in range(3):
            connection.sendall(GOOD)
            assert Answer.read(connection).status_code == 200
        began = time.monotonic()
        assert rest_of(connection) == b""
        assert 0.5 < time.monotonic() - began < 3


def test_idle_connections_make_room_for_a_new_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 20)
    with ExitStack() as held:
        idle = [held.enter_context(service.connection()) for _ in range(20)]
        for connection in idle:
            connection.sendall(GOOD)
            assert Answer.read(connection).status_code == 200
        for _ in range(2):
            late = held.enter_context(service.connection())
            late.sendall(GOOD)
            assert Answer.read(late).status_code == 200
        assert [rest_of(connection) for connection in idle[:2]] == [b"", b""]  # those that had waited longest
        for connection in idle[2:]:
            connection.sendall(GOOD)
            assert Answer.read(connection).status_code == 200


async def test_one_request_too_many_at_a_time_is_told_to_come_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = []
    for _ in range(3):
        async with service.person() as person:
            heads.append(person.head(line=f"GET /jobs/{await person.submit()}/events HTTP/1.1"))
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 3)
    with ExitStack() as held:
        for head in heads:
            stream = held.enter_context(service.connection())
            stream.sendall(head)
            assert stream.recv(12) == b"HTTP/1.1 200"
        answer = service.exchange(PAGES)
        assert_problem(answer, 503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        with service.connection() as again:
            again.sendall(PAGES)
            assert Answer.read(again).status_code == 503
        assert service.exchange(GOOD).status_code == 200  # the process is alive, and whoever operates it must know


async def test_who_has_more_than_half_of_the_places_makes_room(
    service: Service, member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await member.submit()
    stream = member.head(line=f"GET /jobs/{job_id}/events HTTP/1.1")
    async with service.person() as person:
        theirs = person.head(line=f"GET /jobs/{await person.submit()}/events HTTP/1.1")
        await member.http.aclose()
        await person.http.aclose()
        monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 8)
        with ExitStack() as held:
            streams = [held.enter_context(service.connection()) for _ in range(8)]
            for connection, head in zip(streams, [theirs] * 3 + [stream] * 5, strict=True):
                connection.sendall(head)
                assert connection.recv(12) == b"HTTP/1.1 200"
            assert service.exchange(GOOD).status_code == 200
            with pytest.raises(ConnectionError):
                rest_of(streams[3])  # the oldest of whoever has five of eight


def test_of_the_files_that_may_be_open_connections_leave_some_for_the_rest(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (148, 148))
    with ExitStack() as held:
        idle = [held.enter_context(service.connection()) for _ in range(21)]
        assert rest_of(idle[0]) == b""
        assert service.exchange(GOOD).status_code == 200
