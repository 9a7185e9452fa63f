"""One object of the store, read in order while several of its ranges are on their way; or written likewise.

One connection to Azure carries some tens of megabytes a second, many together what the machine's network does. How
often a request is repeated, and how long one may take, is the store's own matter (`storage.Patience`).
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from onbrand.errors import FileChanged, ObjectStoreRefused, ObjectStoreUnreachable, SetupError, WeightsMissing
from onbrand.storage import object_store

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import ObjectStore

RANGE = 8 * 1024 * 1024  # bytes
AHEAD = 8  # ranges on their way or waiting, and so 64 MiB of memory
_REFUSED = re.compile(r"40[13]\b")
_BEYOND_THE_END = "416"
Answer = TypeVar("Answer")


class RangeReader:
    """A `folder.Reader` over an object; `name` is what an operator calls the folder it lies in."""

    def __init__(self, objects: ObjectStore, path: str, name: str) -> None:
        self._objects = objects
        self._path = path
        self._name = name
        self._size: int | None = None
        self._asked = 0  # bytes, from the beginning
        self._coming: deque[tuple[int, Future[Bytes]]] = deque()
        self._block = memoryview(b"")
        self._is_closed = False
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        # A daemon: a process that ends waits for no answer from the store.
        self._thread = threading.Thread(target=self._serve, name="ranges", daemon=True)
        self._thread.start()

    def readinto(self, room: memoryview) -> int:
        """Fill `room`, as `folder.Reader` says it."""
        filled = 0
        try:
            while filled < len(room) and (self._block or self._next_block()):
                count = min(len(room) - filled, len(self._block))
                room[filled : filled + count] = self._block[:count]
                self._block = self._block[count:]
                filled += count
        except CancelledError:
            return filled
        except FileNotFoundError:
            raise WeightsMissing(
                f"The file {self._path} is missing in {self._name}: upload it, or set ONBRAND_MODEL_PATH to a complete"
                " model."
            ) from None
        except (BaseError, OSError) as error:
            raise self._failure(error) from None  # its text has addresses in it
        return filled

    def _next_block(self) -> bool:
        if self._size is None:
            self._size = self._run(self._head()).result()
        while self._asked < self._size and len(self._coming) < AHEAD:
            end = min(self._asked + RANGE, self._size)
            self._coming.append((end - self._asked, self._run(self._get(self._asked, end))))
            self._asked = end
        if not self._coming:
            return False
        size, coming = self._coming.popleft()
        self._block = memoryview(coming.result())
        if len(self._block) != size:
            raise self._changed()
        return True

    async def _get(self, start: int, end: int) -> Bytes:
        return await self._objects.get_range_async(self._path, start=start, end=end)

    async def _head(self) -> int:
        return (await self._objects.head_async(self._path))["size"]

    def _run(self, call: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        with self._closing:
            if self._is_closed:
                call.close()
                raise CancelledError
            return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _failure(self, error: Exception) -> SetupError:
        is_shorter = object_store.reason(error).startswith(_BEYOND_THE_END)
        return self._changed() if is_shorter else _unreached(error, self._name)

    def _changed(self) -> FileChanged:
        return FileChanged(f"The file {self._path} in {self._name} was changed while it was read: start again.")

    def close(self) -> None:
        """Give up what is on its way; a `readinto` that waits for it returns."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                asyncio.run_coroutine_threadsafe(self._give_up(), self._loop)
        self._thread.join()

    async def _give_up(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        self._loop.stop()

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()


def send(objects: ObjectStore, path: str, source: Path, name: str) -> None:
    """Copy a file of this machine to an object, several ranges at once; whole or not at all.

    Raises:
        ObjectStoreRefused, ObjectStoreUnreachable: the store of the folder `name` doesn't take it.
    """
    try:
        obstore.put(objects, path, source, chunk_size=RANGE, max_concurrency=AHEAD)
    except (BaseError, OSError) as error:
        raise _unreached(error, name) from None


def _unreached(error: Exception, name: str) -> SetupError:
    why = object_store.reason(error)
    if _REFUSED.match(why) or isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return ObjectStoreRefused(
            f"Azure refuses the weights in {name} ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT and _KEY, or give the"
            " managed identity the role Storage Blob Data Reader on the container (Contributor, to prepare weights)."
        )
    return ObjectStoreUnreachable(
        f"The weights in {name} can't be reached ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT and _ENDPOINT and the way"
        " out to Azure, then start again."
    )
