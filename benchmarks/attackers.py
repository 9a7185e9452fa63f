"""Clients that mean no good, for `attack`. Each function runs in a process of its own until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from typing import Any

SCRIPT = "/assets/index.js"
_READ = 65_536
_FROM = "127.0.0.2"  # visitors are counted by address, and others have another


@dataclass(frozen=True)
class Crowd:
    """So many clients, the port they all attack, and how many bytes each of them reads in a second."""

    port: int
    size: int
    bytes_per_second: float = 0.0


def read_slowly(crowd: Crowd, stop: Event, told: Any) -> None:
    """Ask for the page's script ten times over each connection, and read little of it. Who is closed comes again."""

    async def attack(counted: Counter[str]) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.bind((_FROM, 0))
            await loop.sock_connect(connection, ("127.0.0.1", crowd.port))
            counted["connections"] += 1
            await loop.sock_sendall(connection, _request("GET", SCRIPT) * 10)
            while part := await loop.sock_recv(connection, max(1, round(crowd.bytes_per_second))):
                counted["bytes"] += len(part)
                await asyncio.sleep(1)

    asyncio.run(_again_and_again(crowd, attack, stop, told))


def flood(crowd: Crowd, method: str, path: str, stop: Event, told: Any) -> None:
    """Send one request after the other over each connection."""

    async def attack(counted: Counter[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", crowd.port, local_addr=(_FROM, 0))
        try:
            while True:
                writer.write(_request(method, path))
                head = await reader.readuntil(b"\r\n\r\n")
                counted[head[9:12].decode()] += 1
                lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                await reader.readexactly(int(lengths[0].split(b":")[1]))
        finally:
            writer.close()

    asyncio.run(_again_and_again(crowd, attack, stop, told))


def watch(crowd: Crowd, streams: list[tuple[str, str]], stop: Event, told: Any) -> None:
    """Follow jobs through event streams; each is a token and a job's id."""
    left = iter(streams * 1000)

    async def attack(counted: Counter[str]) -> None:
        token, job_id = next(left)
        reader, writer = await asyncio.open_connection("127.0.0.1", crowd.port, local_addr=(_FROM, 0))
        try:
            writer.write(_request("GET", f"/jobs/{job_id}/events", f"Authorization: Bearer {token}\r\n"))
            head = await reader.readuntil(b"\r\n\r\n")
            counted[head[9:12].decode()] += 1
            while part := await reader.read(_READ):
                counted["events"] += part.count(b"event: job")
        finally:
            writer.close()

    asyncio.run(_again_and_again(crowd, attack, stop, told))


async def _again_and_again(
    crowd: Crowd, attack: Callable[[Counter[str]], Awaitable[None]], stop: Event, told: Any
) -> None:
    counted: Counter[str] = Counter()

    async def one() -> None:
        while True:
            try:
                await attack(counted)
            except (OSError, asyncio.IncompleteReadError):
                counted["closed"] += 1
            await asyncio.sleep(0.1)

    everybody = [asyncio.create_task(one()) for _ in range(crowd.size)]
    await asyncio.to_thread(stop.wait)
    for task in everybody:
        task.cancel()
    await asyncio.gather(*everybody, return_exceptions=True)
    told.put(dict(counted))


def _request(method: str, path: str, headers: str = "") -> bytes:
    length = "Content-Length: 0\r\n" if method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n".encode()
