"""The brand packs as an operator sees them: what is on the shelf, and what the database says of each."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from onbrand.config import Settings
from onbrand.database import migrations
from onbrand.database.pool import Connection, Database
from onbrand.errors import WeightsMissing
from onbrand.images.store import ImageStore
from onbrand.packs import promotion
from onbrand.packs.base import configured_base
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved, SignOff, short
from onbrand.packs.store import PackStore, StoredPack

_UNKNOWN = "?"
_COLUMNS = ("Name", "Version", "Id", "Model", "Alias", "Sign-off", "Where")


@dataclass(frozen=True)
class Entry:
    """One pack. `where` is `bundled`, `shelf`, `damaged` (there, but not usable) or `missing` (only known)."""

    id: str
    name: str
    version: str
    base_model: str
    aliases: tuple[str, ...]
    verdict: str | None
    reviewer: str | None
    signed_at: datetime | None
    where: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The table's columns."""
        signed = "none" if self.verdict is None else f"{self.verdict} by {self.reviewer}, {self.signed_at:%Y-%m-%d}"
        return self.name, self.version, short(self.id), self.base_model, " ".join(self.aliases), signed, self.where


@dataclass(frozen=True)
class Catalogue:
    """All packs, ready to be shown."""

    entries: tuple[Entry, ...]

    def as_json(self) -> str:
        """One document for a script."""
        return json.dumps([asdict(entry) for entry in self.entries], indent=2, ensure_ascii=False, default=str)

    def show(self, console: Console) -> None:
        """A table; names are never read as markup."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in _COLUMNS:
            table.add_column(column, no_wrap=column == "Id")
        for entry in self.entries:
            table.add_row(*(Text(cell) for cell in entry.cells))
        console.print(table if self.entries else "There is no brand pack yet. Add one with `onbrand pack add DIR`.")


async def catalogue(settings: Settings, database_url: str) -> Catalogue:
    """Everything on the shelf, and what is known without being there.

    Raises:
        DatabaseNotReady, DatabaseUnavailable: the database's schema is older, or it does not answer.
        ObjectStoreRefused, ObjectStoreUnreachable: the object store does not answer, or not to us.
    """
    shelf = PackStore.open(settings)
    shelved = {pack.id: pack for pack in shelf.list()}
    async with _transaction(database_url) as connection:
        pointed = await promotion.aliases(connection)
        known = await promotion.registered(connection)
        signed = await promotion.sign_offs(connection)
    if shelf.bundled is not None:
        pointed.setdefault(Alias.PRODUCTION, shelf.bundled.id)
    entries = []
    for pack_id in [*shelved, *sorted(known.keys() - shelved.keys())]:
        named = tuple(alias for alias in Alias if pointed.get(alias) == pack_id)
        name, version, model = _described(shelved.get(pack_id), known.get(pack_id))
        entries.append(
            Entry(pack_id, name, version, model, named, *_verdict(signed.get(pack_id)), _where(shelved.get(pack_id)))
        )
    return Catalogue(tuple(entries))


async def add(settings: Settings, database_url: str, directory: Path) -> BrandPack:
    """Put a pack on the shelf and have the database know it; errors as for `PackStore.add` and `catalogue`."""
    async with _transaction(database_url):
        pass  # whether both are there is found out before anything is copied
    await ImageStore.open(settings).check()
    pack = PackStore.open(settings).add(directory)
    async with _transaction(database_url) as connection:
        await promotion.register(connection, pack.id, pack.manifest, by=_user())
    return pack


async def promote(
    settings: Settings, database_url: str, beginning: str, to: Alias, without_sign_off: str | None
) -> tuple[StoredPack, Moved]:
    """Verify every byte of a pack on the shelf, then move the alias to it.

    Raises:
        PackNotFound, PackUnfit, NotSignedOff, WeightsMissing, WeightsUnusable: nothing was moved.
        DatabaseNotReady, DatabaseUnavailable, ObjectStoreRefused, ObjectStoreUnreachable: as for `catalogue`.
    """
    shelf, by = PackStore.open(settings), _user()
    found = shelf.find(beginning)
    manifest = shelf.verify(found.id)
    with suppress(WeightsMissing):  # whoever promotes need not have the weights; a worker compares again
        configured_base(settings).require_fit(manifest)
    if shelf.bundled is not None:
        shelf.add(shelf.bundled.directory)  # a later version may ship with another, and this one stays `previous`
    async with _transaction(database_url) as connection:
        if shelf.bundled is not None:
            await promotion.register(connection, shelf.bundled.id, shelf.bundled.manifest, by=by)
        await promotion.register(connection, found.id, manifest, by=by)
        moved = await promotion.promote(
            connection,
            found.id,
            to=to,
            by=by,
            model=settings.model,
            bundled_id=shelf.bundled.id if shelf.bundled is not None else None,
            without_sign_off=without_sign_off,
        )
    return found, moved


async def rollback(database_url: str) -> Moved:
    """Swap production and previous; errors as for `promotion.rollback` and `catalogue`."""
    async with _transaction(database_url) as connection:
        return await promotion.rollback(connection, by=_user())


@asynccontextmanager
async def _transaction(database_url: str) -> AsyncIterator[Connection]:
    database = Database(database_url, application_name="onbrand pack", max_connections=1)
    await database.open()
    try:
        async with database.transaction() as connection:
            await migrations.require_current(connection)
            yield connection
    finally:
        await database.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in a container whose user has no name
        return f"uid {os.getuid()}"


def _described(shelved: StoredPack | None, known: promotion.Registered | None) -> tuple[str, str, str]:
    source = shelved.manifest if shelved is not None and shelved.manifest is not None else known
    return (source.name, source.version, source.base_model) if source is not None else (_UNKNOWN,) * 3


def _verdict(signed: SignOff | None) -> tuple[str | None, str | None, datetime | None]:
    return (None, None, None) if signed is None else (signed.verdict, signed.reviewer, signed.signed_at)


def _where(shelved: StoredPack | None) -> str:
    if shelved is None:
        return "missing"
    if shelved.manifest is None:
        return "damaged"
    return "bundled" if shelved.is_bundled else "shelf"
