"""`onbrand pack promote` and `onbrand pack rollback`: which pack is live."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.cli.pack.database import pack_transaction, user
from onbrand.cli.pack.options import PackId
from onbrand.config import Settings, load_settings

if TYPE_CHECKING:
    from onbrand.database.address import Address
    from onbrand.packs.promotion import Alias, Moved
    from onbrand.packs.store import StoredPack

_LONGEST_REASON = 200  # characters


class Target(StrEnum):
    """What a pack can be promoted to."""

    PRODUCTION = "production"
    CANDIDATE = "candidate"


def promote_command(
    pack: PackId,
    to: Annotated[Target, typer.Option(help="People get the pack that is production.")] = Target.PRODUCTION,
    without_sign_off: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote without a designer's sign-off. The reason is stored."),
    ] = None,
) -> None:
    """Make a pack live. Workers change to it before their next job."""
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import Alias, short

    if without_sign_off is not None and not 1 <= len(without_sign_off.strip()) <= _LONGEST_REASON:
        hint = "--without-sign-off"
        raise typer.BadParameter(f"give the reason, in at most {_LONGEST_REASON} characters", param_hint=hint)
    silence_logs()
    settings = load_settings()
    found, moved = asyncio.run(promote(settings, url_for_command(settings), pack, Alias(to), without_sign_off))
    if moved.is_change:
        before = f"; before it was {short(moved.from_pack_id)}" if moved.from_pack_id else ""
        typer.echo(f"{to} is {short(found.id)} from now on{before}")
    else:
        typer.echo(f"nothing to do: {to} is {short(found.id)} already")


def rollback_command() -> None:
    """Make the previous pack live again. A second rollback undoes the first."""
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import short

    silence_logs()
    moved = asyncio.run(rollback(url_for_command(load_settings())))
    typer.echo(f"production is {short(moved.pack_id)} again; previous is {short(moved.from_pack_id or '')}")


async def promote(
    settings: Settings, address: Address, beginning: str, to: Alias, without_sign_off: str | None
) -> tuple[StoredPack, Moved]:
    """Read every byte of a stored pack and its LoRA, then move the alias to it. After an error nothing was moved.

    Raises:
        PackNotFound, PackUnfit, NotSignedOff: as for `promotion.promote`.
        WeightsMissing, WeightsUnusable: the pack or the base is damaged, or the LoRA cannot be used.
        DatabaseNotReady, DatabaseUnavailable: as for `database.pack_transaction`.
        ObjectStoreRefused, ObjectStoreUnreachable: the object store refuses us, or does not answer.
    """
    from onbrand.packs import promotion
    from onbrand.packs.base import base_at_hand
    from onbrand.packs.store import PackStore

    store, by = PackStore.open(settings), user()
    found = store.find(beginning)
    base = base_at_hand(settings)  # this machine need not have the weights: each worker compares again
    manifest = store.verify(found.id, base)
    if base is not None:
        base.require_fit(manifest)
    if store.bundled is not None:
        # A later version may bundle another pack; this one can still be `previous` then.
        store.add(store.bundled.directory)
    async with pack_transaction(address) as connection:
        if store.bundled is not None:
            await promotion.register(connection, store.bundled.id, store.bundled.manifest, by=by)
        await promotion.register(connection, found.id, manifest, by=by)
        moved = await promotion.promote(
            connection,
            found.id,
            to=to,
            by=by,
            model=settings.model,
            bundled_id=store.bundled.id if store.bundled is not None else None,
            without_sign_off=without_sign_off,
        )
    return found, moved


async def rollback(address: Address) -> Moved:
    """Swap production and previous; errors as for `promotion.rollback` and `database.pack_transaction`."""
    from onbrand.packs import promotion

    async with pack_transaction(address) as connection:
        return await promotion.rollback(connection, by=user())
