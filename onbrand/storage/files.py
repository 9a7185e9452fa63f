"""A folder with the files of a model or of a brand pack: a directory of this machine, or a part of the object store.

This module reads and compares bytes; `packs` and `hidream` know what the bytes mean. obstore is imported only for a
folder in the object store, because the import takes 30 ms.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol

from pydantic import AfterValidator, ConfigDict, Field

from onbrand.config import Settings
from onbrand.errors import ChecksumMismatch, DataDirUnwritable, FileUnreadable, WeightsMissing

if TYPE_CHECKING:
    from onbrand.storage.object_store import ObjectStore

REMEDY = (
    "restore it (for what ships with Onbrand: `git checkout -- models/mini`) or set ONBRAND_MODEL_PATH to a"
    " complete model"
)
DERIVED = "derived"  # a folder of the data directory, and of the object store
STRICT = ConfigDict(extra="forbid", strict=True)
_BLOCK = 1024 * 1024  # fits the cache of a core, so the hash reads these bytes from the cache and not from memory


def _stays_inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path or "\0" in path:
        raise ValueError("use a relative path with forward slashes that stays inside the pack")
    return path


RelativePath = Annotated[str, Field(max_length=200), AfterValidator(_stays_inside)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class ManifestFile:
    """One file in a manifest, with its size in bytes and its SHA-256 in hexadecimal."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    path: RelativePath
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class ByteReader(Protocol):
    """One file's bytes, in order."""

    def readinto(self, room: memoryview) -> int:
        """Fill `room` (bytes), and return how many bytes were read. Fewer than its size only at the end of the file.

        Raises:
            WeightsMissing: the file does not exist.
            FileUnreadable: the operating system cannot read it.
            FileChanged: the object changed while it was read.
            ObjectStoreRefused: the object store does not allow it.
            ObjectStoreUnreachable: the object store did not answer within the time of `object_store.FOR_WEIGHTS`.
        """
        ...

    def close(self) -> None:
        """Close the file. Another thread may call this: a `readinto` that waits for the store then returns."""
        ...


class Folder(ABC):
    """The files of a folder, wherever it is. `str()` names the folder for an operator, without any secret."""

    @abstractmethod
    def open(self, path: str) -> ByteReader:
        """Begin to read a file. If something is wrong with it, the first `readinto` raises."""

    def read(self, path: str) -> bytes:
        """All bytes of a small file. Errors as for `ByteReader.readinto`."""
        return b"".join(bytes(block) for block in self.blocks(path))

    def blocks(self, path: str) -> Iterator[memoryview]:
        """A file's bytes in order. Each block is overwritten by the next. Errors as for `ByteReader.readinto`."""
        room = memoryview(bytearray(_BLOCK))
        with closing(self.open(path)) as reader:
            while count := reader.readinto(room):
                yield room[:count]


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A directory of this machine."""

    directory: Path

    def __str__(self) -> str:
        return str(self.directory)

    def open(self, path: str) -> ByteReader:
        """Begin to read a file."""
        return _LocalReader(self, path)


class _LocalReader:
    def __init__(self, folder: LocalFolder, path: str) -> None:
        self._folder = folder
        self._path = path
        self._file: FileIO | None = None
        self._reading = (
            Lock()
        )  # so that `close` waits for a read; otherwise the read could use a descriptor that is another file's by then

    def readinto(self, room: memoryview) -> int:
        filled = 0
        try:
            with self._reading:
                if self._file is None:
                    path = self._folder.directory / self._path
                    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
                        raise IsADirectoryError
                    self._file = path.open("rb", buffering=0)
                while filled < len(room) and (count := self._file.readinto(room[filled:])):
                    filled += count
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise WeightsMissing(f"The file {self._path} is missing in {self._folder}: {REMEDY}.") from None
        except OSError as error:
            raise FileUnreadable(
                f"The file {self._path} in {self._folder} can't be read ({error.strerror}): {REMEDY}."
            ) from error
        return filled

    def close(self) -> None:
        with self._reading:
            if self._file is not None:
                self._file.close()


@dataclass(frozen=True)
class ObjectStoreFolder(Folder):
    """A part of an object store. All keys of `objects` are below this folder. `name` is what an operator calls it."""

    objects: ObjectStore = field(compare=False)
    name: str

    def __str__(self) -> str:
        return self.name

    def open(self, path: str) -> ByteReader:
        """Begin to read an object. Several ranges are requested ahead."""
        from onbrand.storage.range_reader import RangeReader

        return RangeReader(self.objects, path, self.name)

    def put(self, path: str, source: Path) -> None:
        """Copy a file of this machine into this folder, in parts; whole or not at all.

        Raises:
            ObjectStoreRefused: the object store does not allow it.
            ObjectStoreUnreachable: it does not answer.
        """
        from onbrand.storage.failures import StoreFailed
        from onbrand.storage.range_reader import AHEAD, weights_error

        try:
            self.objects.upload(path, source, at_once=AHEAD)
        except StoreFailed as failed:
            raise weights_error(failed, self.name) from None


def open_folder(settings: Settings, place: str) -> Folder:
    """The folder at a path of this machine or at `az://CONTAINER/PREFIX`. The store is not asked anything yet.

    Raises:
        ConfigError: the address is wrong, or the settings for Azure are.
    """
    where = settings.place(place)
    if isinstance(where, Path):
        return LocalFolder(where)
    from onbrand.storage.object_store import FOR_WEIGHTS, open_container

    return ObjectStoreFolder(open_container(where, FOR_WEIGHTS), place.rstrip("/"))


def derived_folder(settings: Settings) -> Folder:
    """The folder of prequantized weights: beside the images in Azure, otherwise in the data directory.

    Raises:
        ConfigError: the settings for Azure make no address.
    """
    place = settings.storage
    if isinstance(place, Path):
        return LocalFolder(settings.data_dir / DERIVED)
    from onbrand.storage.object_store import FOR_WEIGHTS, open_container

    prefix = f"{place.prefix}/{DERIVED}" if place.prefix else DERIVED
    within = replace(place, prefix=prefix)
    return ObjectStoreFolder(open_container(within, FOR_WEIGHTS), f"az://{place.name}/{prefix}")


def is_whole(folder: Folder, file: ManifestFile) -> bool:
    """Read a file to its end, and return whether its size and SHA-256 are those of the manifest.

    Errors as for `ByteReader.readinto`.
    """
    size, digest = 0, hashlib.sha256()
    for block in folder.blocks(file.path):
        size += len(block)
        if size > file.size:
            return False
        digest.update(block)
    return size == file.size and digest.hexdigest() == file.sha256


def fetch(folder: Folder, files: Sequence[ManifestFile], destination: Path) -> None:
    """Copy small files to a directory of this machine, each whole or not at all. Correct copies are kept.

    For configurations and tokenizers, because the libraries that read them want a directory.

    Raises:
        ChecksumMismatch: a file differs from its size or SHA-256. Also what `ByteReader.readinto` raises.
        DataDirUnwritable: the directory cannot be written.
    """
    there = LocalFolder(destination)
    for file in files:
        with suppress(WeightsMissing, FileUnreadable):
            if is_whole(there, file):
                continue
        _copy(folder, file, destination / file.path)


def _copy(folder: Folder, file: ManifestFile, target: Path) -> None:
    size, digest = 0, hashlib.sha256()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as part:
            try:
                for block in folder.blocks(file.path):
                    size += part.write(block)
                    digest.update(block)
                if size != file.size or digest.hexdigest() != file.sha256:
                    raise ChecksumMismatch(f"The file {file.path} in {folder} differs from its checksum: {REMEDY}.")
                part.flush()
                os.fsync(part.fileno())
                Path(part.name).replace(target)
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise DataDirUnwritable(
            f"The folder {target.parent} can't be written ({error.strerror}). Make it writable, or choose another."
        ) from None
