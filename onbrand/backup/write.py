"""Writing a backup, while everything runs: first the rows of one moment, then the pictures and packs.

In this order each row has its picture: a picture is stored before its row speaks of it, and nothing changes it later.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO

from onbrand import __version__
from onbrand.backup import objects
from onbrand.backup.archive import FORMAT, MANIFEST, Manifest, ObjectOf, TableOf, spool, table_path
from onbrand.config import Settings
from onbrand.database import dump
from onbrand.database.address import Address
from onbrand.errors import BackupUnusable
from onbrand.storage.failures import ObjectMissing
from onbrand.storage.object_store import ObjectStore, open_storage

Tell = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


@dataclass(frozen=True)
class Written:
    """What a backup holds: numbers of jobs, pictures and files of packs. Missing and damaged pictures are keys."""

    pictures: int
    pack_files: int
    missing: list[str]
    damaged: list[str]
    size: int  # bytes of the file


def write_backup(settings: Settings, address: Address, file: Path, tell: Tell) -> Written:
    """Write everything of this installation to `file`, which appears when it is whole. Only its owner may read it.

    Raises:
        BackupUnusable: the file is there already, or cannot be written.
        DatabaseNotReady, ObjectStoreUnreachable
    """
    if file.exists():
        raise BackupUnusable(f"{file} is there already, and a backup never replaces a file. Name another one.")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as name:
            folder, part = Path(name), Path(name) / "whole"
            with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                manifest = _write(settings, address, out, folder, tell)
                out.flush()
                os.fsync(out.fileno())
            os.link(part, file)
            pictures = sum(one.key.endswith(".png") for one in manifest.objects)
            packs = sum(one.key.startswith("packs/") for one in manifest.objects)
            return Written(pictures, packs, manifest.missing, manifest.damaged, file.stat().st_size)
    except OSError as error:
        raise BackupUnusable(f"{file} can't be written ({error.strerror or type(error).__name__}).") from None


def _write(settings: Settings, address: Address, out: IO[bytes], folder: Path, tell: Tell) -> Manifest:
    dumped, images = dump.write(address, folder, lambda name: tell(f"table {name}", 0, 0))
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for table in dumped.tables:
            tar.add(folder / f"{table.name}.csv", table_path(table.name), filter=_anonymous)
        added = _Added(tar, tell)
        asyncio.run(added.all(open_storage(settings.storage), images))
        manifest = Manifest(
            format=FORMAT,
            onbrand=__version__,
            written_at=datetime.now(UTC).isoformat(timespec="seconds"),
            schema_step=dumped.step,
            tables=[TableOf(**asdict(table) | {"columns": list(table.columns)}) for table in dumped.tables],
            sequences=dict(dumped.sequences),
            objects=added.objects,
            missing=added.missing,
            damaged=added.damaged,
        )
        text = manifest.model_dump_json(indent=2).encode()
        tar.addfile(_anonymous(_entry(MANIFEST, len(text))), BytesIO(text))
    return manifest


@dataclass
class _Added:
    """What was added of the object store."""

    tar: tarfile.TarFile
    tell: Tell
    objects: list[ObjectOf] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    async def all(self, store: ObjectStore, images: list[dump.PublishedImage]) -> None:
        published = {image.key: image for image in images}
        folders = {image.key.rpartition("/")[0] for image in images}
        # Beside a PNG there may be its smaller renditions.
        beside = {key async for key in objects.keys(store, "jobs") if key.rpartition("/")[0] in folders}
        pictures = sorted(published.keys() | beside)
        for done, key in enumerate(pictures):
            self.tell("pictures", done, len(pictures))
            await self._add(store, key, published)
        cards = sorted([key async for key in objects.keys(store, "reviews")])
        for done, key in enumerate(cards):
            self.tell("pictures of reviews", done, len(cards))
            await self._add(store, key, published)
        packs = sorted([key async for key in objects.keys(store, "packs")], key=lambda key: (_is_manifest(key), key))
        for done, key in enumerate(packs):
            self.tell("packs", done, len(packs))
            await self._add(store, key, published)

    async def _add(self, store: ObjectStore, key: str, published: Mapping[str, dump.PublishedImage]) -> None:
        image = published.get(key)
        with spool() as content:
            try:
                size, sha256 = await objects.copy(store, key, content)
            except ObjectMissing:
                if image is not None and image.expires_at > time.time():  # else its time was over meanwhile
                    self.missing.append(key)
                return
            content.seek(0)
            self.tar.addfile(_anonymous(_entry(key, size)), content)
        self.objects.append(ObjectOf(key=key, size=size, sha256=sha256))
        if image is not None and image.sha256 != sha256:
            self.damaged.append(key)


def _is_manifest(key: str) -> bool:
    return key.count("/") == 2 and key.endswith("/manifest.json")


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime = size, int(time.time())
    return entry


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names of this machine's users."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o600
    return entry
