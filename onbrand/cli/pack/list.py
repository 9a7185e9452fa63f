"""`onbrand pack list`: all packs, which one is live, and who signed it off."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from onbrand.cli.output import AsJson, silence_logs
from onbrand.cli.pack.database import pack_transaction
from onbrand.config import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from onbrand.database.address import Address
    from onbrand.packs.promotion import Registered, SignOff
    from onbrand.packs.store import StoredPack

_UNKNOWN = "?"
_COLUMNS = ("Name", "Version", "Id", "Model", "Alias", "Sign-off", "Where")
_PIPED_WIDTH = 200  # columns: wide enough for one line per pack, for grep


def list_command(as_json: AsJson = False) -> None:
    """Show all packs, which one is live, and who signed it off."""
    from rich.console import Console

    from onbrand.local.database_url import url_for_command

    silence_logs()
    settings = load_settings()
    found = asyncio.run(list_packs(settings, url_for_command(settings)))
    if as_json:
        typer.echo(found.as_json())
    else:
        screen = Console()
        found.show(screen if screen.is_terminal else Console(width=_PIPED_WIDTH))


@dataclass(frozen=True)
class Entry:
    """One pack. `where` is `bundled`, `shelf` (in the pack store), `damaged` (there, but not usable) or `missing`."""

    id: str
    name: str
    version: str
    base_model: str
    aliases: tuple[str, ...]
    verdict: str | None
    reviewer: str | None
    signed_at: datetime | None
    where: str
    refused_by: int = 0  # live workers that should draw with it and can't use it
    refused_because: str | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The columns of the table."""
        from onbrand.packs.promotion import short

        signed = "none" if self.verdict is None else f"{self.verdict} by {self.reviewer}, {self.signed_at:%Y-%m-%d}"
        where = "store" if self.where == "shelf" else self.where
        return self.name, self.version, short(self.id), self.base_model, " ".join(self.aliases), signed, where

    @property
    def refusal(self) -> str:
        """A line for below the table."""
        from onbrand.packs.promotion import short

        who = "A worker can't use" if self.refused_by == 1 else f"{self.refused_by} workers can't use"
        draws = "draws" if self.refused_by == 1 else "draw"
        return f"{who} {short(self.id)} and {draws} on with the pack before: {self.refused_because}"


@dataclass(frozen=True)
class PackList:
    """All packs, ready to be shown."""

    entries: tuple[Entry, ...]

    def as_json(self) -> str:
        """One JSON document for a script."""
        return json.dumps([asdict(entry) for entry in self.entries], indent=2, ensure_ascii=False, default=str)

    def show(self, console: Console) -> None:
        """Print a table. Square brackets in names are not read as rich's markup."""
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in _COLUMNS:
            table.add_column(column, no_wrap=column == "Id")
        for entry in self.entries:
            table.add_row(*(Text(cell) for cell in entry.cells))
        console.print(table if self.entries else "There is no brand pack yet. Add one with `onbrand pack add DIR`.")
        for entry in self.entries:
            if entry.refused_by:
                console.print(Text(entry.refusal), soft_wrap=True)


async def list_packs(settings: Settings, address: Address) -> PackList:
    """All packs in the pack store, and those that only the database knows.

    Raises:
        DatabaseNotReady, DatabaseUnavailable: as for `database.pack_transaction`.
        ObjectStoreRefused: the object store refuses us.
        ObjectStoreUnreachable: the object store does not answer.
    """
    from onbrand.jobs import workers
    from onbrand.packs import promotion
    from onbrand.packs.promotion import Alias
    from onbrand.packs.store import PackStore

    store = PackStore.open(settings)
    stored = {pack.id: pack for pack in store.list()}
    async with pack_transaction(address) as connection:
        pointed = await promotion.aliases(connection)
        known = await promotion.registered(connection)
        signed = await promotion.sign_offs(connection)
        refused = await workers.refused_packs(connection)
    if store.bundled is not None:
        pointed.setdefault(Alias.PRODUCTION, store.bundled.id)
    entries = []
    for pack_id in [*stored, *sorted(known.keys() - stored.keys())]:
        aliases = tuple(alias for alias in Alias if pointed.get(alias) == pack_id)
        entry = _entry(pack_id, aliases, stored.get(pack_id), known.get(pack_id), signed.get(pack_id))
        if (no := refused.get(pack_id)) is not None:
            entry = replace(entry, refused_by=no.workers, refused_because=no.because)
        entries.append(entry)
    return PackList(tuple(entries))


def _entry(
    pack_id: str,
    aliases: tuple[str, ...],
    stored: StoredPack | None,
    known: Registered | None,
    signed: SignOff | None,
) -> Entry:
    source = stored.manifest if stored is not None and stored.manifest is not None else known
    name, version, model = (source.name, source.version, source.base_model) if source is not None else (_UNKNOWN,) * 3
    entry = Entry(pack_id, name, version, model, aliases, None, None, None, _where(stored))
    if signed is None:
        return entry
    return replace(entry, verdict=signed.verdict, reviewer=signed.reviewer, signed_at=signed.signed_at)


def _where(stored: StoredPack | None) -> str:
    if stored is None:
        return "missing"
    if stored.manifest is None:
        return "damaged"
    return "bundled" if stored.is_bundled else "shelf"  # a word that scripts may rely on
