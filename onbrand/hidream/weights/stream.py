"""Stream tensors from `.safetensors` files. Several files are read in parallel, and each is hashed while it is read.

No file is kept in memory as a whole, and at most `MAX_WAITING_BYTES` of tensors wait for the consumer. The checksum of
a file is known only at its end. Until the iteration has ended without an error, a consumer may copy the tensors, but
must not compute anything with them that is shown or stored. `load_state` decides which tensor belongs where.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from types import MappingProxyType

import torch
from torch import Tensor

from onbrand.errors import ChecksumMismatch, SafetensorsInvalid, TensorsMismatch
from onbrand.hidream.weights.buffers import Buffers
from onbrand.storage.files import REMEDY, ByteReader, Folder, ManifestFile
from onbrand.storage.safetensors_header import (
    LENGTH_BYTES,
    FormatError,
    TensorEntry,
    header_length,
    tensor_entries,
)

SUFFIX = ".safetensors"
DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "BOOL": torch.bool,
        "U8": torch.uint8,
        "I8": torch.int8,
        "F8_E4M3": torch.float8_e4m3fn,
        "F8_E5M2": torch.float8_e5m2,
        "I16": torch.int16,
        "U16": torch.uint16,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I32": torch.int32,
        "U32": torch.uint32,
        "F32": torch.float32,
        "I64": torch.int64,
        "U64": torch.uint64,
        "F64": torch.float64,
        "C64": torch.complex64,
    }
)
MAX_THREADS = 8  # one thread reads and hashes one file
MAX_WAITING_BYTES = 1024**3  # bytes of tensors that are being read or wait; a larger tensor waits alone
_STEP = 1024**2  # bytes to read, and then to hash while they are in the core's cache
_REPORT = 32 * 1024**2  # bytes after which the consumer wakes up to report them


def stream_tensors(
    folder: Folder, files: Sequence[ManifestFile], *, on_bytes: Callable[[int], None] = lambda _count: None
) -> Generator[tuple[str, Tensor]]:
    """Yield every tensor of the `.safetensors` files among `files`, on the CPU, as soon as its bytes have arrived.

    Reading begins with the first `next`, in the order of `files`. `on_bytes` is called in the consumer's thread with
    the number of bytes read since its last call. A generator that is not used up must be closed; that ends the threads.

    Raises:
        ChecksumMismatch: a file differs from its size or SHA-256.
        SafetensorsInvalid: a file does not follow the safetensors format.
        TensorsMismatch: two files have a tensor of the same name.
        FileUnreadable, FileChanged: a file cannot be read to its end.
        WeightsMissing: a file does not exist.
        ObjectStoreRefused: the object store refused access.
        ObjectStoreUnreachable: the object store did not answer.
    """
    stream = _Stream(folder, [file for file in files if file.path.endswith(SUFFIX)])
    try:
        yield from stream.arrivals(on_bytes)
    finally:
        stream.stop()


class _Stopped(Exception):
    """The consumer needs no more tensors."""


class _Differs(FormatError):
    """The file's size or SHA-256 is not the manifest's."""


class _NameRepeated(FormatError):
    """Another file has a tensor of the same name."""


_KINDS = {_Differs: ChecksumMismatch, _NameRepeated: TensorsMismatch}


class _Stream:
    """The state that the reading threads and the consumer share. The condition `_changed` protects it."""

    def __init__(self, folder: Folder, files: Sequence[ManifestFile]) -> None:
        self._folder = folder
        self._changed = threading.Condition()
        self._in_turn = threading.Lock()  # threads wait for room in turn; otherwise a large tensor might wait for ever
        self._buffers = Buffers(MAX_WAITING_BYTES)
        self._files = deque(files)
        self._names: set[str] = set()
        self._readers: set[ByteReader] = set()
        self._arrived: deque[tuple[str, Tensor]] = deque()
        self._waiting_bytes = 0
        self._unreported_bytes = 0
        self._failure: Exception | None = None
        self._is_stopped = False
        self._threads = [
            threading.Thread(target=self._work, name="weights", daemon=True)
            for _ in range(min(MAX_THREADS, len(files)))
        ]
        self._working = len(self._threads)
        # A daemon thread that returns from torch after the interpreter has ended aborts the process (SIGABRT).
        atexit.register(self.stop)
        for thread in self._threads:
            thread.start()

    def arrivals(self, on_bytes: Callable[[int], None]) -> Iterator[tuple[str, Tensor]]:
        """Yield what the threads have read, until all of it was yielded or a thread has failed."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_news)
                count, self._unreported_bytes = self._unreported_bytes, 0
                if self._failure is not None:
                    raise self._failure
                arrived = self._arrived.popleft() if self._arrived else None
                is_over = arrived is None and self._working == 0
            if count:
                on_bytes(count)
            if is_over:
                return
            if arrived is not None:
                size = arrived[1].nbytes
                yield arrived
                del arrived
                with self._changed:
                    self._waiting_bytes -= size
                    self._changed.notify_all()

    def _has_news(self) -> bool:
        return bool(self._arrived or self._failure or self._working == 0 or self._unreported_bytes >= _REPORT)

    def stop(self) -> None:
        """End the threads, including those that wait for the object store."""
        atexit.unregister(self.stop)
        with self._changed:
            self._is_stopped = True
            self._arrived.clear()
            readers = tuple(self._readers)
            self._changed.notify_all()
        for reader in readers:
            reader.close()
        for thread in self._threads:
            thread.join()
        self._buffers.close()

    def _work(self) -> None:
        try:
            while (file := self._next_file()) is not None:
                self._read_file(file)
        except _Stopped:
            pass
        except Exception as error:  # the consumer raises it again
            with self._changed:
                self._failure = self._failure or error
                self._is_stopped = True
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _next_file(self) -> ManifestFile | None:
        with self._changed:
            return self._files.popleft() if self._files and not self._is_stopped else None

    def _read_file(self, file: ManifestFile) -> None:
        try:
            with closing(self._folder.open(file.path)) as reader:
                with self._changed:
                    self._raise_if_stopped()
                    self._readers.add(reader)
                try:
                    self._read_tensors(_Source(reader, file, self._count))
                finally:
                    with self._changed:
                        self._readers.discard(reader)
        except FormatError as error:
            kind = _KINDS.get(type(error), SafetensorsInvalid)
            raise kind(f"The file {file.path} in {self._folder} can't be used: {error}; {REMEDY}.") from None

    def _read_tensors(self, source: _Source) -> None:
        for entry in source.tensor_entries():
            self._reserve(entry)
            raw = self._buffers.empty(entry.size)
            source.fill(raw.numpy().data)
            with self._changed:
                self._arrived.append((entry.name, raw.view(DTYPES[entry.dtype]).reshape(entry.shape)))
                self._changed.notify_all()
        source.finish()

    def _reserve(self, entry: TensorEntry) -> None:
        """Wait until there is room for the tensor. Threads are served in the order in which they ask."""
        with self._in_turn, self._changed:
            if entry.name in self._names:
                raise _NameRepeated("another file has a tensor of the same name")
            self._names.add(entry.name)
            most = max(0, MAX_WAITING_BYTES - entry.size)  # bytes that may wait besides this tensor
            self._changed.wait_for(lambda: self._is_stopped or self._waiting_bytes <= most)
            self._raise_if_stopped()
            self._waiting_bytes += entry.size

    def _count(self, count: int) -> None:
        with self._changed:
            self._raise_if_stopped()
            self._unreported_bytes += count
            if self._unreported_bytes >= _REPORT:
                self._changed.notify_all()

    def _raise_if_stopped(self) -> None:
        if self._is_stopped:
            raise _Stopped


class _Source:
    """One file that is read to its end and hashed. `on_read` is called after each part and may raise."""

    def __init__(self, reader: ByteReader, file: ManifestFile, on_read: Callable[[int], None]) -> None:
        self._reader = reader
        self._file = file
        self._on_read = on_read
        self._digest = hashlib.sha256()

    def tensor_entries(self) -> tuple[TensorEntry, ...]:
        """Read the header."""
        if self._file.size < LENGTH_BYTES:
            raise FormatError("it is too short for a header")
        first = self._take(LENGTH_BYTES)
        length = header_length(first, self._file.size)
        return tensor_entries(self._take(length), self._file.size - LENGTH_BYTES - length)

    def fill(self, room: memoryview) -> None:
        """Read the next bytes into `room`."""
        for start in range(0, len(room), _STEP):
            part = room[start : start + _STEP]
            count = self._reader.readinto(part)
            self._digest.update(part[:count])
            self._on_read(count)
            if count < len(part):
                raise _Differs("it ends too early")

    def finish(self) -> None:
        """Compare the file with its manifest entry, after all tensors have been read."""
        if self._reader.readinto(memoryview(bytearray(1))):
            raise _Differs("it has more bytes than it should")
        if self._digest.hexdigest() != self._file.sha256:
            raise _Differs("it differs from its checksum")

    def _take(self, size: int) -> bytes:
        # In parts, so that a false length in the header cannot take more memory than the file has bytes.
        taken = bytearray()
        while len(taken) < size:
            part = bytearray(min(_STEP, size - len(taken)))
            self.fill(memoryview(part))
            taken += part
        return bytes(taken)
