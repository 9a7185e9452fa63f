"""`onbrand pack add`: stores a pack and adds it to the database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.cli.pack.database import pack_transaction, user
from onbrand.config import Settings, load_settings

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.packs.manifest import BrandPack


def add_command(directory: Annotated[Path, typer.Argument(metavar="DIR", help="The pack's folder.")]) -> None:
    """Put a pack into the pack store, which is in the object store."""
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import short

    silence_logs()
    settings = load_settings()
    pack = asyncio.run(add(settings, url_for_command(settings), directory))
    typer.echo(f"{pack.manifest.name}, version {pack.manifest.version}, is in the pack store as {pack.id}")
    typer.echo(f"next: onbrand pack promote {short(pack.id)}")


async def add(settings: Settings, address: Address, directory: Path) -> BrandPack:
    """Store a pack and add it to the database; errors as for `PackStore.add` and `database.pack_transaction`."""
    from onbrand.images.store import ImageStore
    from onbrand.packs import promotion
    from onbrand.packs.base import base_at_hand
    from onbrand.packs.store import PackStore

    # Whether database and object store answer is found out before gigabytes are copied.
    async with pack_transaction(address):
        pass
    await ImageStore.open(settings).check()
    pack = PackStore.open(settings).add(directory, base_at_hand(settings))
    async with pack_transaction(address) as connection:
        await promotion.register(connection, pack.id, pack.manifest, by=user())
    return pack
