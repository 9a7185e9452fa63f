"""Reuse the memory of a freed tensor for the next tensor of the same size.

New memory costs more than reading a file into it, because the system fills each page with zeros first: 0.4 s of one
core for each gigabyte on the machine of benchmarks/README.md.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import torch
from torch import Tensor

_MIN_BYTES = 64 * 1024  # smaller tensors are not worth it


class Buffers:
    """Keeps at most `limit` bytes of memory that no tensor uses, until `close`. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free: dict[int, list[Any]] = {}
        # Reentrant: a thread that has the lock can free a tensor, and then `_take_back` takes the lock again.
        self._lock = threading.RLock()

    def empty(self, size: int) -> Tensor:
        """A `(size,)` uint8 tensor of any content. Its memory is reused when neither it nor a view of it exists."""
        if size < _MIN_BYTES:
            return torch.empty(size, dtype=torch.uint8)
        with self._lock:
            free = self._free.get(size)
            memory = free.pop() if free else None
        if memory is None:
            memory = torch.empty(size, dtype=torch.uint8).numpy()
        # Only the tensor's storage refers to this view. When the view is freed, the last tensor has been freed too.
        view = memoryview(memory.data)
        weakref.finalize(view, self._take_back, memory).atexit = False
        return torch.frombuffer(view, dtype=torch.uint8)

    @property
    def kept(self) -> int:
        """Bytes of kept memory that no tensor uses."""
        with self._lock:
            return sum(size * len(free) for size, free in self._free.items())

    def _take_back(self, memory: Any) -> None:
        with self._lock:
            if self.kept + memory.nbytes > self._limit:
                self._free.clear()  # their sizes seem to be needed no more
            if memory.nbytes <= self._limit:
                self._free.setdefault(memory.nbytes, []).append(memory)

    def close(self) -> None:
        """Free all kept memory. Memory that a tensor still uses is freed together with that tensor."""
        with self._lock:
            self._limit = 0
            self._free.clear()
