"""An image store in a test, and the place below it, where a test may store, damage or list objects directly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import obstore

from onbrand.config import Settings
from onbrand.images.keys import StoredKey
from onbrand.images.store import ImageStore
from onbrand.storage.object_store import ObjectStore, open_storage

JOB = UUID("c0ffee00-15bd-4abc-8def-1b0cad0fface")
PNG = b"\x89PNG" + os.urandom(100_000)
WEBP = b"RIFF" + os.urandom(10_000)


@dataclass(frozen=True)
class Place:
    """One store, as we see it and as anybody may."""

    images: ImageStore
    objects: ObjectStore
    folder: Path | None  # None: it is on Azurite

    @classmethod
    def of(cls, settings: Settings) -> Place:
        place = settings.storage
        return cls(ImageStore.open(settings), open_storage(place), place if isinstance(place, Path) else None)

    async def put(self, key: str, content: bytes = PNG) -> None:
        """Write, or overwrite, any object."""
        if self.folder is None:
            await obstore.put_async(self.objects.store, key, content)
        else:  # obstore would refuse the names that it keeps for itself
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).write_bytes(content)

    async def delete(self, key: str) -> None:
        await obstore.delete_async(self.objects.store, key)

    async def keys(self) -> set[str]:
        """Every object in the store; on disk every file, half-written ones too."""
        if self.folder is not None:
            return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if path.is_file()}
        return {one["path"] for one in await obstore.list(self.objects.store).collect_async()}

    async def stored(self) -> list[StoredKey]:
        """What `ImageStore.stored` finds in all."""
        return [key async for batch in self.images.stored() for key in batch]


async def put_job(images: ImageStore, job_id: UUID, attempt: int = 1) -> None:
    """Store the four images of an attempt."""
    for n in (1, 2, 3, 4):
        await images.put(job_id, attempt, n, PNG)


class Proxy:
    """Stands before a service: counts connections, and loses as many replies as `cut` says."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cut = 0
        self.most = 0  # connections ever open at once
        self._open = 0
        self._connections: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._behind = port

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for _ in range(3):
                await asyncio.sleep(0)  # a connection that was accepted just now reaches `_serve`
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            for writer in self._writers:  # a task that was cancelled before it began has closed none
                writer.transport.abort()
            await server.wait_closed()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._connections.append(asyncio.create_task(self._connect(reader, writer)))

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        self.most = max(self.most, self._open)
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind)
        self._writers.append(behind_writer)
        forth = asyncio.create_task(_pass_on(reader, behind_writer, lambda: False))
        back = asyncio.create_task(_pass_on(behind_reader, writer, self._loses))
        try:
            await asyncio.wait({forth, back}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open -= 1
            for task, end in ((forth, behind_writer), (back, writer)):
                task.cancel()
                end.close()
                with suppress(OSError):
                    await end.wait_closed()
            await asyncio.gather(forth, back, return_exceptions=True)

    def _loses(self) -> bool:
        if self.cut == 0:
            return False
        self.cut -= 1
        return True


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loses: Callable[[], bool]) -> None:
    while (data := await reader.read(65_536)) and not loses():
        writer.write(data)
        await writer.drain()
