"""Memory for tensors that come and go: what one tensor has left is used for the next of the same size.

Fresh memory costs more than reading a file into it, because the system clears each of its pages: 0.4 s of a core for
each gigabyte on the machine of benchmarks/README.md.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import Tensor

_SMALLEST = 64 * 1024  # bytes; below this nothing is gained


class Buffers:
    """Keeps at most `limit` bytes that no tensor uses any more, until `close`. Any thread may use it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free: dict[int, list[Any]] = {}
        # Taken again by the thread that has it, if that lets go of a tensor meanwhile.
        self._lock = threading.RLock()

    def empty(self, size: int) -> Tensor:
        """Bytes `(size,)` of any content, which belong to whoever holds the tensor or a view of it."""
        if size < _SMALLEST:
            return torch.empty(size, dtype=torch.uint8)
        with self._lock:
            free = self._free.get(size)
            memory = free.pop() if free else None
        if memory is None:
            memory = torch.empty(size, dtype=torch.uint8).numpy()
        # The tensor's storage holds this view, and nothing else does: when the view is gone, so is the last tensor.
        view = memoryview(memory.data)
        weakref.finalize(view, self._take_back, memory).atexit = False
        return torch.frombuffer(view, dtype=torch.uint8)

    @property
    def kept(self) -> int:
        """Bytes that no tensor uses."""
        with self._lock:
            return sum(size * len(free) for size, free in self._free.items())

    def _take_back(self, memory: Any) -> None:
        with self._lock:
            if self.kept + memory.nbytes > self._limit:
                self._free.clear()  # of sizes that seem to come no more
            if memory.nbytes <= self._limit:
                self._free.setdefault(memory.nbytes, []).append(memory)

    def close(self) -> None:
        """Free what no tensor uses, now and from now on."""
        with self._lock:
            self._limit = 0
            self._free.clear()
