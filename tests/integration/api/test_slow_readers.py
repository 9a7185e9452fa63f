"""Clients that take what they asked for slowly, or not at all: their connections cost little, and keep nobody out."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from onbrand.api import protocol
from onbrand.config import Settings
from tests.integration.api.service import Service, running
from tests.system import wait_until

GOOD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 20_000_000  # more than the system takes on a connection's behalf


def rest_of(connection: socket.socket) -> bytes:
    """All that still comes, until the service closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.fixture
def with_large_file(
    service: Service, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Service]:
    """A service with a large file to fetch, and less than half a second's patience."""
    settings = make_settings()
    page: Path = settings.data_dir / "page"
    (page / "assets").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>")
    (page / "assets" / "large.js").write_bytes(b"x" * LARGE)
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 0.4)
    monkeypatch.setattr(protocol, "SAMPLE_SECONDS", 0.1)
    with running(settings, service.database_url, web_dir=page) as other:
        yield other


@contextmanager
def asking_for_the_large_file(service: Service, times: int = 1) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", service.settings.port))
        connection.sendall(b"GET /assets/large.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * times)
        yield connection


def open_connections(service: Service) -> int:
    text = httpx.get(f"{service.url}/metrics").text
    return int(float(text.partition("\nonbrand_http_connections ")[2].partition("\n")[0]))


def test_a_client_that_takes_nothing_of_its_answer_is_given_up(with_large_file: Service) -> None:
    with asking_for_the_large_file(with_large_file) as connection:
        assert connection.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: open_connections(with_large_file) == 1, 5)  # the one that asks
        with pytest.raises(ConnectionError):
            rest_of(connection)


def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(with_large_file: Service) -> None:
    taken, began = 0, time.monotonic()
    with asking_for_the_large_file(with_large_file) as connection:
        while taken < LARGE and time.monotonic() - began < 2:  # five times as long as a stalled one is waited for
            taken += len(connection.recv(65_536))
            select.select([], [], [], 0.01)
        assert taken < LARGE
        while part := connection.recv(1_000_000):
            taken += len(part)
            if taken >= LARGE:
                break
    assert taken >= LARGE


@contextmanager
def a_crowd_that_reads_slowly(service: Service, size: int) -> Iterator[list[int]]:
    """So many connections that each ask ten times for the large file and take little of it; who is closed comes again.

    Yields how often a connection was closed, in a list of one number.
    """
    closed, leaving = [0], threading.Event()

    def read_slowly() -> None:
        with ExitStack() as held:
            crowd = [held.enter_context(asking_for_the_large_file(service, times=10)) for _ in range(size)]
            while not leaving.wait(0.02):
                for place, connection in enumerate(crowd):
                    try:
                        gone = bool(select.select([connection], [], [], 0)[0]) and not connection.recv(200)
                    except ConnectionError:
                        gone = True
                    if gone:
                        closed[0] += 1
                        crowd[place] = held.enter_context(asking_for_the_large_file(service, times=10))

    thread = threading.Thread(target=read_slowly, name="crowd")
    thread.start()
    try:
        yield closed
    finally:
        leaving.set()
        thread.join()


async def test_a_crowd_that_reads_slowly_keeps_nobody_out(
    with_large_file: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 20)
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 600.0)  # so that only the table's limit closes anything
    with a_crowd_that_reads_slowly(with_large_file, 24) as closed:
        wait_until(lambda: closed[0] > 4, 20)
        async with with_large_file.person() as person:
            for _ in range(40):
                assert with_large_file.exchange(GOOD).status_code == 200
                assert (await person.http.get("/me", headers={"Connection": "close"})).status_code == 200


def test_who_reads_slower_than_the_others_makes_room(with_large_file: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 600.0)
    monkeypatch.setattr(protocol, "LEAST_RATE", 1e-9)  # both are quick enough, and one is slower
    with asking_for_the_large_file(with_large_file) as slow, asking_for_the_large_file(with_large_file) as quick:
        taken, began = 0, time.monotonic()
        while time.monotonic() - began < 1:  # ten samples
            taken += len(quick.recv(16_384))
            slow.recv(500)
            select.select([], [], [], 0.01)
        assert taken < LARGE
        assert with_large_file.exchange(GOOD).status_code == 200
        while taken < LARGE and (part := quick.recv(1_000_000)):
            taken += len(part)
        assert taken >= LARGE
        with pytest.raises(ConnectionError):
            rest_of(slow)


def test_who_asks_to_be_closed_and_reads_nothing_keeps_its_place_no_longer(
    with_large_file: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 20)
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 600.0)
    assets = with_large_file.settings.data_dir / "page" / "assets"
    with ExitStack() as held:
        for number in range(60):
            # The ends of some of these answers wait in the process when everything else is in the kernel.
            (assets / f"{number}.js").write_bytes(bytes(200_000 + 15_000 * number))
            head = f"GET /assets/{number}.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            connection = held.enter_context(with_large_file.connection())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            connection.sendall(head.encode())
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert open_connections(with_large_file) <= 21


def test_a_visitor_keeps_its_place_for_no_longer_than_a_usual_line_needs(
    with_large_file: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LEAST_RATE", 1e9)  # more than anybody takes
    with asking_for_the_large_file(with_large_file) as connection, pytest.raises(ConnectionError):
        take_slowly(connection, seconds=20)


def take_slowly(connection: socket.socket, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and connection.recv(1_000):
        select.select([], [], [], 0.01)
