"""The bad network itself: what the tests that use it rely on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg
import pytest

from tests.proxy import Proxy, closed


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that answers each line with itself in capitals."""

    talks: set[asyncio.Task[None] | None] = set()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        await closed(writer)

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with Proxy.before(*server.sockets[0].getsockname()[:2]) as proxy:
        yield proxy
    server.close()
    await asyncio.gather(*filter(None, talks))


class Client:
    """Somebody who talks through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, line: bytes) -> bytes:
        """The answer; what there is of it when the connection ends."""
        self._writer.write(line)
        return await self.hear()

    async def hear(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        await closed(writer)


async def test_it_passes_on_what_is_said_whole_and_both_ways(proxy: Proxy) -> None:
    async with client(proxy) as one:
        assert await one.say(b"hello\n") == b"HELLO\n"
        long = b"x" * 60_000 + b"\n"
        assert await one.say(long) == long.upper()
    assert proxy.cuts == 0


async def test_dropping_breaks_every_connection_until_it_passes_on_again(proxy: Proxy) -> None:
    async with client(proxy) as one:
        await one.say(b"hello\n")
        proxy.drop()
        assert await one.say(b"hello\n") == b""
    async with client(proxy) as new:
        assert await new.say(b"hello\n") == b""
    proxy.pass_on()
    async with client(proxy) as again:
        assert await again.say(b"hello\n") == b"HELLO\n"


async def test_stalling_keeps_connections_and_says_nothing(proxy: Proxy) -> None:
    async with client(proxy) as one:
        proxy.stall()
        waiting = asyncio.create_task(one.say(b"hello\n"))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        proxy.pass_on()
        assert await waiting == b"HELLO\n"


async def test_a_delay_counts_each_way(proxy: Proxy) -> None:
    async with client(proxy) as one:
        proxy.delay_seconds = 0.1
        started = time.monotonic()
        assert await one.say(b"hello\n") == b"HELLO\n"
        assert time.monotonic() - started >= 0.2


async def test_after_a_sequence_the_answer_is_lost_though_the_server_has_heard_all_of_it(proxy: Proxy) -> None:
    proxy.cut_after(b"insert", b"commit")
    async with client(proxy) as one:
        assert await one.say(b"commit\n") == b"COMMIT\n"  # not in this order
        assert await one.say(b"ins\n") == b"INS\n"
        assert await one.say(b"insert\n") == b"INSERT\n"
        assert await one.say(b"com\n") == b"COM\n"
        assert await one.say(b"commit\n") == b""
    async with client(proxy) as again:  # once is enough
        assert await again.say(b"insert\n") == b"INSERT\n"
        assert await again.say(b"commit\n") == b"COMMIT\n"
    assert proxy.cuts == 1


async def test_a_sequence_is_recognised_across_pieces(proxy: Proxy) -> None:
    proxy.cut_after(b"commit\n")
    async with client(proxy) as one:
        proxy.delay_seconds = 0.02
        for piece in (b"co", b"mm", b"it"):
            one._writer.write(piece)
            await asyncio.sleep(0.01)
        assert await one.say(b"\n") == b""


async def test_answers_are_cut_after_so_many_bytes(proxy: Proxy) -> None:
    proxy.cut_answers_after(8)
    async with client(proxy) as one:
        assert await one.say(b"hello\n") == b"HELLO\n"
        assert await one.say(b"hello\n") in (b"HE", b"")
    assert proxy.cuts == 1


async def test_a_database_is_reached_through_it(database_url: str) -> None:
    async with (
        Proxy.before_database(database_url) as (proxy, url),
        await psycopg.AsyncConnection.connect(url) as connection,
    ):
        assert await (await connection.execute("select 1")).fetchone() == (1,)
        proxy.cut_after(b"select 2")
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("select 2")
