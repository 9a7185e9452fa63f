"""Tensors out of `.safetensors` files: several files at once, each hashed while it is read into its tensors.

No file is held whole, and no more than `HELD` bytes of tensors wait for whoever takes them. A file's checksum is known
only at its end, so what is yielded may be used for nothing that shows until the iteration has ended without an error.
Which tensor belongs where is the business of `fill`.
"""

from __future__ import annotations

import atexit
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from torch import Tensor

from onbrand.errors import ChecksumMismatch, SafetensorsInvalid, TensorsMismatch
from onbrand.hidream.weights.buffers import Buffers
from onbrand.hidream.weights.header import LENGTH_BYTES, FormatError, TensorEntry, header_length, places
from onbrand.storage.files import REMEDY, ByteReader, Folder, ManifestFile

SUFFIX = ".safetensors"
AT_ONCE = 8  # files, each with a thread that reads and hashes
HELD = 1024**3  # bytes of tensors being read or waiting to be taken; a larger tensor comes alone
_STEP = 1024**2  # bytes read, then hashed while they are still in the core's cache
_REPORT = 32 * 1024**2  # bytes after which the consumer is woken to report them


def tensors(
    folder: Folder, files: Sequence[ManifestFile], *, on_bytes: Callable[[int], None] = lambda _count: None
) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the `.safetensors` among `files`, on the CPU, as soon as its bytes have arrived.

    Reading begins with the first `next`, in the order of `files`. `on_bytes` is called in the consumer's thread with
    how many more bytes were read. An iterator that is not used up should be closed: that ends the threads.

    Raises:
        ChecksumMismatch: a file differs from its size or SHA-256.
        SafetensorsInvalid: a file is no safetensors file.
        TensorsMismatch: two files have a tensor of the same name.
        FileUnreadable, FileChanged: a file cannot be read to its end.
        WeightsMissing: a file is not there.
        ObjectStoreRefused: the object store doesn't let us.
        ObjectStoreUnreachable: the object store did not answer.
    """
    stream = _Stream(folder, [file for file in files if file.path.endswith(SUFFIX)])
    try:
        yield from stream.arrivals(on_bytes)
    finally:
        stream.stop()


class _Stopped(Exception):
    """Nobody wants the rest."""


class _Differs(FormatError):
    """The file's size or SHA-256 is not the manifest's."""


class _NameRepeated(FormatError):
    """Another file has a tensor of the same name."""


_KINDS = {_Differs: ChecksumMismatch, _NameRepeated: TensorsMismatch}


class _Stream:
    """What the reading threads and the consumer share; all of it is guarded by `_changed`."""

    def __init__(self, folder: Folder, files: Sequence[ManifestFile]) -> None:
        self._folder = folder
        self._changed = threading.Condition()
        self._turn = threading.Lock()  # who waits for room, waits in a row: else a large tensor might wait for ever
        self._buffers = Buffers(HELD)
        self._files = deque(files)
        self._names: set[str] = set()
        self._readers: set[ByteReader] = set()
        self._arrived: deque[tuple[str, Tensor]] = deque()
        self._held = 0  # bytes
        self._read = 0  # bytes that were not reported yet
        self._failure: Exception | None = None
        self._is_stopped = False
        self._threads = [
            threading.Thread(target=self._work, name="weights", daemon=True) for _ in range(min(AT_ONCE, len(files)))
        ]
        self._working = len(self._threads)
        # A daemon thread that comes out of torch when the interpreter is gone takes the process down with SIGABRT.
        atexit.register(self.stop)
        for thread in self._threads:
            thread.start()

    def arrivals(self, on_bytes: Callable[[int], None]) -> Iterator[tuple[str, Tensor]]:
        """What the threads have read, until all of it was taken or one of them has failed."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_news)
                count, self._read = self._read, 0
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
                    self._held -= size
                    self._changed.notify_all()

    def _has_news(self) -> bool:
        return bool(self._arrived or self._failure or self._working == 0 or self._read >= _REPORT)

    def stop(self) -> None:
        """End the threads, also those that wait for the store."""
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
        except Exception as error:  # the consumer raises it
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
                    self._stop_if_told()
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
        for place in source.places():
            self._claim(place)
            raw = self._buffers.empty(place.size)
            source.fill(raw.numpy().data)
            with self._changed:
                self._arrived.append((place.name, raw.view(place.dtype).reshape(place.shape)))
                self._changed.notify_all()
        source.finish()

    def _claim(self, place: TensorEntry) -> None:
        """Wait until there is room for the tensor, in the order of asking."""
        with self._turn, self._changed:
            if place.name in self._names:
                raise _NameRepeated("another file has a tensor of the same name")
            self._names.add(place.name)
            self._changed.wait_for(lambda: self._is_stopped or self._held == 0 or self._held + place.size <= HELD)
            self._stop_if_told()
            self._held += place.size

    def _count(self, count: int) -> None:
        with self._changed:
            self._stop_if_told()
            self._read += count
            if self._read >= _REPORT:
                self._changed.notify_all()

    def _stop_if_told(self) -> None:
        if self._is_stopped:
            raise _Stopped


class _Source:
    """One file that is read to its end, hashed on the way; `on_read` hears of every few bytes and may raise."""

    def __init__(self, reader: ByteReader, file: ManifestFile, on_read: Callable[[int], None]) -> None:
        self._reader = reader
        self._file = file
        self._on_read = on_read
        self._digest = hashlib.sha256()

    def places(self) -> tuple[TensorEntry, ...]:
        """Read the header."""
        first = self._take(LENGTH_BYTES)
        length = header_length(first, self._file.size)
        return places(self._take(length), self._file.size - LENGTH_BYTES - length)

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
        """Compare the file with its line in the manifest, all tensors having been read."""
        if self._reader.readinto(memoryview(bytearray(1))):
            raise _Differs("it goes on after its end")
        if self._digest.hexdigest() != self._file.sha256:
            raise _Differs("it differs from its checksum")

    def _take(self, size: int) -> bytes:
        # Step by step: a length that is made up must cost no more memory than the file has bytes.
        taken = bytearray()
        while len(taken) < size:
            part = bytearray(min(_STEP, size - len(taken)))
            self.fill(memoryview(part))
            taken += part
        return bytes(taken)
