"""Restoring a backup where nothing is yet. Rows come last, in one transaction: until then nobody sees any of it.

With the embedded database, all of it is made in a folder beside the data directory, which gets its name when it is
whole.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from onbrand.backup import objects
from onbrand.backup.archive import Archive, ObjectOf, spool, table_path
from onbrand.backup.write import Tell
from onbrand.config import AzureContainer, Settings
from onbrand.database import dump
from onbrand.database.address import Address, configured
from onbrand.errors import DataDirUnwritable, RestoreRefused
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.storage.check import check
from onbrand.storage.object_store import ObjectStore, open_storage


@dataclass(frozen=True)
class Restored:
    """What was restored. Missing and damaged pictures were so when the backup was written."""

    written_at: str
    pictures: int
    pack_files: int
    missing: list[str]
    damaged: list[str]


def restore_backup(settings: Settings, file: Path, tell: Tell) -> Restored:
    """Restore `file` into the empty data directory, or into the database and the store that the settings name.

    Raises:
        BackupUnusable: the file is no whole backup, is damaged, or is of a newer version.
        RestoreRefused: something is there already.
        DataDirUnwritable, DatabaseServerFailed, DatabaseNotReady, ObjectStoreUnreachable
    """
    with Archive(file) as archive:
        address = configured(settings)
        if address is not None:
            dump.require_unused(address)
            _fill(archive, settings.storage, address, tell)
        else:
            _make_data_dir(settings, archive, tell)
        manifest = archive.manifest
        pictures = sum(one.key.endswith(".png") for one in manifest.objects)
        packs = sum(one.key.startswith("packs/") for one in manifest.objects)
        return Restored(manifest.written_at, pictures, packs, manifest.missing, manifest.damaged)


def _make_data_dir(settings: Settings, archive: Archive, tell: Tell) -> None:
    target = settings.data_dir.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RestoreRefused(
            f"The data directory {settings.data_dir} holds something already. Nothing was changed. Move it away, or set"
            " ONBRAND_DATA_DIR to a folder that is empty or isn't there."
        )
    workshop = target.with_name(f".{target.name}.restore-{os.getpid()}")
    try:
        workshop.mkdir(parents=True)
        storage = settings.storage if settings.storage_url is not None else workshop / "images"
        with EmbeddedPostgres(workshop) as server:
            _fill(archive, storage, server.url, tell)
        workshop.rename(target)
    except OSError as error:
        raise DataDirUnwritable(
            f"The data directory {settings.data_dir} can't be made ({error.strerror}). Nothing was changed."
        ) from None
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _fill(archive: Archive, storage: Path | AzureContainer, address: Address, tell: Tell) -> None:
    manifest = archive.manifest
    with tempfile.TemporaryDirectory(prefix="onbrand-restore-") as name:
        for table in manifest.tables:
            with (Path(name) / f"{table.name}.csv").open("wb") as file:
                archive.extract(table_path(table.name), table.sha256, file)
        asyncio.run(_put_objects(archive, open_storage(storage), tell))
        tables = tuple(dump.Table(table.name, tuple(table.columns), table.sha256) for table in manifest.tables)
        dumped = dump.Dump(manifest.schema_step, tables, manifest.sequences)
        dump.load(address, Path(name), dumped, lambda table_name: tell(f"table {table_name}", 0, 0))


async def _put_objects(archive: Archive, store: ObjectStore, tell: Tell) -> None:
    await check(store)
    present = {key for folder in ("jobs", "packs", "reviews") async for key in objects.keys(store, folder)}
    for done, one in enumerate(archive.manifest.objects):
        tell("pictures and packs", done, len(archive.manifest.objects))
        if one.key in present:
            await _require_same(store, one)
            continue
        with spool() as content:
            archive.extract(one.key, one.sha256, content)
            objects.put(store, one.key, content)


async def _require_same(store: ObjectStore, one: ObjectOf) -> None:
    with spool() as content:
        _, sha256 = await objects.copy(store, one.key, content)
    if sha256 != one.sha256:
        raise RestoreRefused(
            f"The image store holds something else under {one.key} already. It was not replaced. Name an empty store."
        )
