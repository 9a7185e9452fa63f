"""A bad network on demand: a TCP proxy in front of a server that passes bytes on until a test tells it to do worse.

It knows only bytes, so it works for PostgreSQL, Azurite and Onbrand's API. It runs in the test's event loop: code that
blocks the loop also stalls the proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_CHUNK = 64 * 1024


@dataclass(eq=False)
class _Link:
    """A client's connection to the proxy, and the proxy's connection to the server for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    heard: bytes = b""  # the client's last bytes, in which the sequence is searched
    matched: int = 0  # parts of the sequence found so far
    answered: int = 0  # bytes sent back to the client
    is_deaf: bool = False  # the server's next answer is dropped, and the connection is cut

    def cut(self) -> None:
        """Break both connections: both ends see a reset or an end of the stream."""
        self.client.transport.abort()
        self.server.transport.abort()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, also one that is already broken."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


class Proxy:
    """One proxy; `before` starts it. Clients connect to `port`; `cuts` counts the connections it has broken."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_open = True
        self._sequence: tuple[bytes, ...] = ()
        self._answer_bytes: int | None = None
        self.delay_seconds = 0.0  # before each piece, each way
        self.port = 0
        self.cuts = 0

    @classmethod
    @asynccontextmanager
    async def before(cls, host: str, port: int) -> AsyncIterator[Proxy]:
        """A proxy in front of that server, on a free port of this machine."""
        proxy = cls(host, port)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.drop()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)
            await server.wait_closed()

    @classmethod
    @asynccontextmanager
    async def before_database(cls, url: str) -> AsyncIterator[tuple[Proxy, str]]:
        """A proxy in front of a PostgreSQL server, and the database's address through the proxy."""
        parts = conninfo_to_dict(url)
        async with cls.before(str(parts["host"]), int(str(parts["port"]))) as proxy:
            yield proxy, make_conninfo(url, host="127.0.0.1", port=proxy.port)

    def pass_on(self) -> None:
        """Be a good network again. Bytes that were held back are sent on."""
        self._is_open = True
        self._sequence, self._answer_bytes, self.delay_seconds = (), None, 0.0
        self._flows.set()

    def drop(self) -> None:
        """Break all connections, and every new one."""
        self._is_open = False
        self._flows.set()
        for link in [*self._links]:
            self._cut(link)

    def stall(self) -> None:
        """Hold back all bytes. Connections stay open, and new ones are accepted."""
        self._flows.clear()

    def cut_after(self, *sequence: bytes) -> None:
        """Break the first connection whose client sends these in this order, when the server answers the last one.

        The server has then done what the client asked for, and the client does not know it.
        """
        self._sequence = sequence

    def cut_answers_after(self, size: int) -> None:
        """Break each connection once it has carried so many bytes back to the client."""
        self._answer_bytes = size

    def _cut(self, link: _Link) -> None:
        if link in self._links:
            self._links.remove(link)
            self.cuts += 1
            link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if not self._is_open:
                return
            await self._flows.wait()
            with suppress(OSError):
                from_server, to_server = await asyncio.open_connection(*self._target)
                link = _Link(writer, to_server)
                self._links.add(link)
                try:
                    await self._carry(link, reader, from_server)
                finally:
                    self._links.discard(link)
                    await closed(to_server)
        finally:
            await closed(writer)

    async def _carry(self, link: _Link, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        ways = {
            asyncio.create_task(self._requests(link, from_client)),
            asyncio.create_task(self._answers(link, from_server)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(_CHUNK):
            await self._hold()
            self._listen(link, piece)
            link.server.write(piece)
            await link.server.drain()

    async def _answers(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(_CHUNK):
            await self._hold()
            if link.is_deaf:
                return self._cut(link)
            if self._answer_bytes is not None:
                piece = piece[: max(0, self._answer_bytes - link.answered)]
            link.answered += len(piece)
            link.client.write(piece)
            await link.client.drain()
            if self._answer_bytes is not None and link.answered >= self._answer_bytes:
                return self._cut(link)

    async def _hold(self) -> None:
        await self._flows.wait()
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)

    def _listen(self, link: _Link, piece: bytes) -> None:
        link.heard += piece
        while link.matched < len(self._sequence):
            before, found, rest = link.heard.partition(self._sequence[link.matched])
            if not found:
                link.heard = before[-200:]  # the next part of the sequence may begin in these bytes
                return
            link.heard, link.matched = rest, link.matched + 1
        if self._sequence:
            self._sequence, link.is_deaf = (), True
        link.heard, link.matched = b"", 0
