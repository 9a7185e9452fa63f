"""How fast a client takes its answer, measured over a real pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from onbrand.api.pace import Pace

PATIENCE = 15.0
SENT = 200_000


class Transport:
    """As much of asyncio's transport as is looked at: a socket, and what the kernel has not taken yet."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.waiting = b""

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def get_extra_info(self, _name: str) -> socket.socket:
        return self.connection

    def write(self, data: bytes) -> None:
        self.waiting += data
        try:
            while self.waiting:
                self.waiting = self.waiting[self.connection.send(self.waiting) :]
        except BlockingIOError:
            return


@pytest.fixture
def both() -> Iterator[tuple[Transport, socket.socket]]:
    """A server's end as a transport, and its client's end."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
        with server:
            server.setblocking(False)
            yield Transport(server), client


def measured(transport: Any) -> Pace:
    pace = Pace(transport, PATIENCE)
    transport.write(bytes(SENT))
    pace.add_sent(SENT)
    pace.sample(1, 1000)  # whatever was sent since the last sample has had no time yet
    assert pace.rate is None
    return pace


def test_who_takes_nothing_has_no_rate_and_loses_patience(both: tuple[Transport, socket.socket]) -> None:
    pace = measured(both[0])
    for _ in range(20):
        pace.sample(1, 1e9)
    assert pace.rate is not None
    assert pace.rate < 1000
    assert pace.patience < 0


def test_who_takes_all_keeps_patience(both: tuple[Transport, socket.socket]) -> None:
    transport, client = both
    pace = measured(transport)
    left = SENT
    while left:
        left -= len(client.recv(left))
        transport.write(b"")
    while pace.owed:
        transport.write(b"")
    pace.sample(1, 1e9)
    assert (pace.rate, pace.patience) == (None, PATIENCE)
