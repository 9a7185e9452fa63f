"""Which brand pack is live: aliases that point to packs, designers' sign-offs, and a record of every change.

The files of packs are in the pack store (`store`); this module does not read them. Each function runs in the caller's
transaction. Moving an alias takes an advisory lock, and claiming a job takes the same lock in shared mode. So a job
that is claimed after a promotion was committed is drawn with the new pack.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from onbrand.database.pool import Connection
from onbrand.errors import NotSignedOff, PackNotFound, PackUnfit
from onbrand.packs.manifest import Manifest

_LOCK = 0x7061636B73  # "packs"


class Alias(StrEnum):
    """The names that point to packs. People get `production`. `previous` is the pack that was production before."""

    PRODUCTION = "production"
    PREVIOUS = "previous"
    CANDIDATE = "candidate"


class Verdict(StrEnum):
    """What a designer decided about a pack."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class SignOff:
    """The latest decision of a designer about a pack."""

    verdict: Verdict
    reviewer: str
    signed_at: datetime


@dataclass(frozen=True)
class Registered:
    """What the database knows about a pack, whether or not its files are still stored."""

    name: str
    version: str
    base_model: str


@dataclass(frozen=True)
class Moved:
    """An alias, the pack that it points to now, and the pack before. If they are equal, nothing was changed."""

    alias: Alias
    pack_id: str
    from_pack_id: str | None

    @property
    def is_change(self) -> bool:
        """Whether anything was changed."""
        return self.pack_id != self.from_pack_id


async def register(connection: Connection, pack_id: str, manifest: Manifest, *, by: str) -> None:
    """Add a pack to the database. A pack that the database knows already is not changed."""
    cursor = await connection.execute(
        "insert into brand_pack (id, name, version, base_model, base) values (%s, %s, %s, %s, %s)"
        " on conflict (id) do nothing",
        [pack_id, manifest.name, manifest.version, manifest.base_model, manifest.base],
    )
    if cursor.rowcount == 1:
        await _note(connection, "add", None, pack_id, None, by, None)


async def promote(
    connection: Connection,
    pack_id: str,
    *,
    to: Alias,
    by: str,
    model: str,
    bundled_id: str | None = None,
    without_sign_off: str | None = None,
) -> Moved:
    """Point `production` or `candidate` to a registered pack. The pack that was production becomes `previous`.

    `model` is the model of the workers (`ONBRAND_MODEL`). `bundled_id` is the registered pack that is live as long as
    `production` points to no pack. `without_sign_off` is the reason for promoting without a sign-off; it is stored with
    the user's name.

    Raises:
        PackNotFound: the database does not know the pack.
        PackUnfit: it is for another model.
        NotSignedOff: it would become production, and the latest sign-off of exactly this pack is not an approval.
    """
    await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    cursor = await connection.execute("select base_model from brand_pack where id = %s", [pack_id])
    row = await cursor.fetchone()
    if row is None:
        raise PackNotFound(f"The database doesn't know the pack {short(pack_id)}. Add it with `onbrand pack add DIR`.")
    before = (await aliases(connection)).get(to, bundled_id if to is Alias.PRODUCTION else None)
    if before == pack_id:
        return Moved(to, pack_id, pack_id)
    if row["base_model"] != model:
        raise PackUnfit(
            f"The pack {short(pack_id)} is for the model {row['base_model']}, and the workers draw with {model}."
            " Choose another pack, or set ONBRAND_MODEL."
        )
    if to is Alias.PRODUCTION:
        if without_sign_off is None:
            await _require_sign_off(connection, pack_id)
        if before is not None:
            await _point(connection, Alias.PREVIOUS, before)
    await _point(connection, to, pack_id)
    await _note(connection, "promote", to, pack_id, before, by, without_sign_off)
    return Moved(to, pack_id, before)


async def rollback(connection: Connection, *, by: str) -> Moved:
    """Swap `production` and `previous`. This needs no sign-off, because `previous` was live before.

    Raises:
        PackNotFound: there is no previous pack.
    """
    await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    pointed = await aliases(connection)
    live, previous = pointed.get(Alias.PRODUCTION), pointed.get(Alias.PREVIOUS)
    if live is None or previous is None:
        raise PackNotFound("There is no previous pack to go back to: no pack has replaced another as production yet.")
    await _point(connection, Alias.PRODUCTION, previous)
    await _point(connection, Alias.PREVIOUS, live)
    await _note(connection, "rollback", Alias.PRODUCTION, previous, live, by, None)
    return Moved(Alias.PRODUCTION, previous, live)


async def aliases(connection: Connection) -> dict[Alias, str]:
    """The pack ids that the aliases point to, without aliases that point to no pack."""
    cursor = await connection.execute("select name, pack_id from pack_alias")
    return {Alias(row["name"]): row["pack_id"] for row in await cursor.fetchall()}


async def resolve(connection: Connection, name: str) -> str | None:
    """The pack id that an alias points to, or None if it points to no pack. An id instead of an alias is returned."""
    if name not in set(Alias):
        return name
    return (await aliases(connection)).get(Alias(name))


async def resolve_for_claim(connection: Connection, name: str) -> str | None:
    """As `resolve`. No alias can be moved until the caller's transaction ends."""
    await connection.execute("select pg_advisory_xact_lock_shared(%s)", [_LOCK])
    return await resolve(connection, name)


async def registered(connection: Connection) -> dict[str, Registered]:
    """All packs that the database knows, by id."""
    cursor = await connection.execute("select id, name, version, base_model from brand_pack")
    return {row["id"]: Registered(row["name"], row["version"], row["base_model"]) for row in await cursor.fetchall()}


async def sign_offs(connection: Connection) -> dict[str, SignOff]:
    """The latest sign-off of each pack that has one, by pack id."""
    cursor = await connection.execute(
        "select distinct on (pack_id) pack_id, verdict, reviewer, signed_at from sign_off order by pack_id, id desc"
    )
    return {
        row["pack_id"]: SignOff(Verdict(row["verdict"]), row["reviewer"], row["signed_at"])
        for row in await cursor.fetchall()
    }


def short(pack_id: str) -> str:
    """The first 12 digits of a pack id, which are shown to people and which they may type."""
    return pack_id[:12]


async def _require_sign_off(connection: Connection, pack_id: str) -> None:
    signed = (await sign_offs(connection)).get(pack_id)
    if signed is not None and signed.verdict is Verdict.APPROVED:
        return
    found = "No designer has signed off" if signed is None else "A designer has rejected"
    raise NotSignedOff(
        f"{found} the pack {short(pack_id)}, so it can't become production. This version has no command for sign-offs"
        ' yet. To promote the pack without one, add --without-sign-off "REASON"; the reason is stored with your name.'
    )


async def _point(connection: Connection, alias: Alias, pack_id: str) -> None:
    await connection.execute(
        "insert into pack_alias (name, pack_id) values (%s, %s)"
        " on conflict (name) do update set pack_id = excluded.pack_id, moved_at = now()",
        [alias, pack_id],
    )


async def _note(
    connection: Connection,
    action: str,
    alias: Alias | None,
    pack_id: str,
    from_pack_id: str | None,
    by: str,
    reason: str | None,
) -> None:
    await connection.execute(
        "insert into pack_event (action, alias, pack_id, from_pack_id, by_user, reason)"
        " values (%s, %s, %s, %s, %s, %s)",
        [action, alias, pack_id, from_pack_id, by, reason],
    )
