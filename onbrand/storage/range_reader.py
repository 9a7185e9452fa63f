"""Reading one object of the store in order, while several of its ranges are requested at the same time.

One connection to Azure carries some tens of megabytes a second. Many connections together carry what the machine's
network does. How often a request is repeated, and how long it may take, is set in `object_store.Patience`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

from onbrand.errors import FileChanged, ObjectStoreRefused, ObjectStoreUnreachable, SetupError, WeightsMissing
from onbrand.storage.failures import ContainerMissing, ObjectMissing, StoreFailed
from onbrand.storage.object_store import PART_BYTES, ObjectStore

if TYPE_CHECKING:
    from obstore import Bytes

AHEAD = 8  # parts that are requested or wait to be read, and so 64 MiB of memory
_BEYOND_THE_END = "416"
Answer = TypeVar("Answer")


class RangeReader:
    """A `files.ByteReader` over one object. `name` is what an operator calls the folder in which the object is."""

    def __init__(self, objects: ObjectStore, key: str, name: str) -> None:
        self._objects = objects
        self._key = key
        self._name = name
        self._size: int | None = None
        self._requested = 0  # bytes, from the beginning
        self._coming: deque[tuple[int, Future[Bytes]]] = deque()
        self._block = memoryview(b"")
        self._is_closed = False
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        # A daemon thread, so that a process that ends does not wait for an answer from the store.
        self._thread = threading.Thread(target=self._serve, name="ranges", daemon=True)
        self._thread.start()

    def readinto(self, room: memoryview) -> int:
        """Fill `room`; see `files.ByteReader.readinto`."""
        filled = 0
        try:
            while filled < len(room) and (self._block or self._next_block()):
                count = min(len(room) - filled, len(self._block))
                room[filled : filled + count] = self._block[:count]
                self._block = self._block[count:]
                filled += count
        except CancelledError:
            return filled
        except (ObjectMissing, ContainerMissing):
            raise WeightsMissing(
                f"The file {self._key} is missing in {self._name}: upload it, or set ONBRAND_MODEL_PATH to a complete"
                " model."
            ) from None
        except StoreFailed as failed:
            raise self._error(failed) from None
        return filled

    def _next_block(self) -> bool:
        if self._size is None:
            self._size = self._run(self._objects.size(self._key)).result()
        while self._requested < self._size and len(self._coming) < AHEAD:
            end = min(self._requested + PART_BYTES, self._size)
            part = self._run(self._objects.get_range(self._key, self._requested, end))
            self._coming.append((end - self._requested, part))
            self._requested = end
        if not self._coming:
            return False
        size, coming = self._coming.popleft()
        self._block = memoryview(coming.result())
        if len(self._block) != size:
            raise self._changed()
        return True

    def _run(self, call: Coroutine[Any, Any, Answer]) -> Future[Answer]:
        with self._closing:
            if self._is_closed:
                call.close()
                raise CancelledError
            return asyncio.run_coroutine_threadsafe(call, self._loop)

    def _error(self, failed: StoreFailed) -> SetupError:
        if failed.reason.startswith(_BEYOND_THE_END):
            return self._changed()
        return weights_error(failed, self._name)

    def _changed(self) -> FileChanged:
        return FileChanged(f"The file {self._key} in {self._name} was changed while it was read: start again.")

    def close(self) -> None:
        """Cancel what was requested. A `readinto` that waits for it returns."""
        with self._closing:
            if not self._is_closed:
                self._is_closed = True
                asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop)
        self._thread.join()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # an answer that came in this turn of the loop is handed over in the next one
        self._loop.stop()

    def _serve(self) -> None:
        self._loop.run_forever()
        self._loop.close()


def weights_error(failed: StoreFailed, name: str) -> SetupError:
    """The sentence for an operator whose weights, in the folder `name`, cannot be read or written."""
    why = failed.reason
    if failed.is_denied:
        return ObjectStoreRefused(
            f"Azure refuses the weights in {name} ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT and _KEY, or give the"
            " managed identity the role Storage Blob Data Reader on the container (Contributor, to prepare weights)."
        )
    return ObjectStoreUnreachable(
        f"The weights in {name} can't be reached ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT and _ENDPOINT and the way"
        " out to Azure, then start again."
    )
