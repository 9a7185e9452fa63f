"""The form of a backup: a plain tar that `tar tf` lists and any program opens.

    tables/NAME.csv     the rows of each table at one moment
    jobs/…  packs/…     pictures and packs, under the keys that they have in the object store
    manifest.json       what is in it, with a SHA-256 for each file; the last one, so a file without it is not whole

It holds prompts and pictures, and no password or key.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from onbrand.errors import BackupUnusable

FORMAT = 1
MANIFEST = "manifest.json"
BLOCK_BYTES = 8 * 2**20
_IN_MEMORY_BYTES = 16 * 2**20
_KEY = re.compile(r"(jobs|packs|reviews)(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]+)+")


class TableOf(BaseModel):
    """A table: `tables/NAME.csv`."""

    model_config = ConfigDict(strict=True)

    name: str
    columns: list[str]
    sha256: str


class ObjectOf(BaseModel):
    """An object of the store, under its key."""

    model_config = ConfigDict(strict=True)

    key: str
    size: int  # bytes
    sha256: str


class Manifest(BaseModel):
    """What a backup holds. `missing` and `damaged` are keys of pictures that the store had lost or changed by then."""

    model_config = ConfigDict(strict=True)

    format: int
    onbrand: str  # the version that wrote it
    written_at: str  # ISO 8601, UTC
    schema_step: int
    tables: list[TableOf]  # in the order in which they can be loaded
    sequences: dict[str, int]
    objects: list[ObjectOf]  # in the order in which they can be stored: a pack's manifest after its files
    missing: list[str]
    damaged: list[str]


def table_path(name: str) -> str:
    """Where a table's rows are in the archive."""
    return f"tables/{name}.csv"


def is_key(text: str) -> bool:
    """Whether this is the key of an object that a backup may hold, such as `jobs/…/1/2.png`."""
    return _KEY.fullmatch(text) is not None


@contextmanager
def spool() -> Iterator[IO[bytes]]:
    """A file for one object on its way: in memory, and on disk once it is large."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
        yield file


class Archive:
    """A whole backup that is being read. A context manager."""

    def __init__(self, file: Path) -> None:
        unusable = f"{file} is not a whole backup of Onbrand. Use another one."
        try:
            self._tar = tarfile.open(file, "r:")  # noqa: SIM115  `__exit__` closes it
            self._members = {member.name: member for member in self._tar.getmembers()}
            content = self._tar.extractfile(self._members[MANIFEST])
            self.manifest = Manifest.model_validate_json(content.read() if content else b"")
        except OSError as error:
            raise BackupUnusable(f"{file} can't be read ({error.strerror or 'it is no backup'}).") from None
        except (tarfile.TarError, KeyError, ValidationError):
            raise BackupUnusable(unusable) from None
        names = [table_path(table.name) for table in self.manifest.tables]
        names += [one.key for one in self.manifest.objects]
        is_ours = all(is_key(one.key) for one in self.manifest.objects)
        if self.manifest.format != FORMAT or not is_ours or any(name not in self._members for name in names):
            raise BackupUnusable(unusable)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._tar.close()

    def extract(self, name: str, sha256: str, target: IO[bytes]) -> None:
        """Write a file of the archive to `target`, compared with its checksum.

        Raises:
            BackupUnusable: it is damaged.
        """
        digest = hashlib.sha256()
        try:
            content = self._tar.extractfile(self._members[name])
            while content is not None and (block := content.read(BLOCK_BYTES)):
                digest.update(block)
                target.write(block)
        except (tarfile.TarError, EOFError):
            pass  # the checksum tells
        if digest.hexdigest() != sha256:
            raise BackupUnusable(f"The backup is damaged: {name} is not what was written. Use another one.")
