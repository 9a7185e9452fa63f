"""Which brand pack is live: aliases that are moved from pack to pack, the sign-offs they need, and what was done.

A pack's files are on the shelf (`shelf`); nothing here reads them. Functions take the caller's connection, as in
`store`. Whoever moves an alias, and whoever claims a job, comes by one lock: a job that is claimed after a promotion
has been committed is drawn with the new pack.
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
    """The names that point to packs. `production` is what people get; `previous` is what it was before."""

    PRODUCTION = "production"
    PREVIOUS = "previous"
    CANDIDATE = "candidate"


class Verdict(StrEnum):
    """What a designer said of a pack."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class SignOff:
    """A designer's latest word about a pack."""

    verdict: Verdict
    reviewer: str
    signed_at: datetime


@dataclass(frozen=True)
class Registered:
    """What the database knows of a pack, be its files there or not."""

    name: str
    version: str
    base_model: str


@dataclass(frozen=True)
class Moved:
    """An alias, the pack it points to now, and the one before. Both the same: nothing was changed."""

    alias: Alias
    pack_id: str
    from_pack_id: str | None

    @property
    def is_change(self) -> bool:
        """Whether anything was changed."""
        return self.pack_id != self.from_pack_id


async def register(connection: Connection, pack_id: str, manifest: Manifest, *, by: str) -> None:
    """Have the database know a pack; one that it knows already stays as it is."""
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
    """Point `production` or `candidate` to a registered pack; what was production becomes `previous`.

    `model` is what the workers draw with (`ONBRAND_MODEL`); `bundled_id` the registered pack that is live while there
    is no production yet; `without_sign_off` the reason for doing without one, which is kept with the user's name.

    Raises:
        PackNotFound: the database does not know the pack.
        PackUnfit: it is for another model.
        NotSignedOff: it is to become production and the latest sign-off of exactly this pack is not an approval.
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
    """Swap `production` and `previous`. It needs no sign-off: that pack was live before.

    Raises:
        PackNotFound: there is no previous pack.
    """
    await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    pointed = await aliases(connection)
    live, previous = pointed.get(Alias.PRODUCTION), pointed.get(Alias.PREVIOUS)
    if live is None or previous is None:
        raise PackNotFound(
            "There is no previous pack to go back to: nothing was promoted to production in place of another yet."
        )
    await _point(connection, Alias.PRODUCTION, previous)
    await _point(connection, Alias.PREVIOUS, live)
    await _note(connection, "rollback", Alias.PRODUCTION, previous, live, by, None)
    return Moved(Alias.PRODUCTION, previous, live)


async def aliases(connection: Connection) -> dict[Alias, str]:
    """The ids that the aliases point to; one that points nowhere is left out."""
    cursor = await connection.execute("select name, pack_id from pack_alias")
    return {Alias(row["name"]): row["pack_id"] for row in await cursor.fetchall()}


async def resolve(connection: Connection, name: str) -> str | None:
    """The id that an alias points to; an id stands for itself. None: the alias points nowhere."""
    if name not in set(Alias):
        return name
    return (await aliases(connection)).get(Alias(name))


async def resolve_for_claim(connection: Connection, name: str) -> str | None:
    """As `resolve`, and until the caller's transaction ends no alias is moved."""
    await connection.execute("select pg_advisory_xact_lock_shared(%s)", [_LOCK])
    return await resolve(connection, name)


async def registered(connection: Connection) -> dict[str, Registered]:
    """All packs that the database knows, by their ids."""
    cursor = await connection.execute("select id, name, version, base_model from brand_pack")
    return {row["id"]: Registered(row["name"], row["version"], row["base_model"]) for row in await cursor.fetchall()}


async def sign_offs(connection: Connection) -> dict[str, SignOff]:
    """The latest sign-off of each pack that has one, by its id."""
    cursor = await connection.execute(
        "select distinct on (pack_id) pack_id, verdict, reviewer, signed_at from sign_off order by pack_id, id desc"
    )
    return {
        row["pack_id"]: SignOff(Verdict(row["verdict"]), row["reviewer"], row["signed_at"])
        for row in await cursor.fetchall()
    }


def short(pack_id: str) -> str:
    """The beginning of an id, as people are shown it and may type it."""
    return pack_id[:12]


async def _require_sign_off(connection: Connection, pack_id: str) -> None:
    signed = (await sign_offs(connection)).get(pack_id)
    if signed is not None and signed.verdict is Verdict.APPROVED:
        return
    found = "No designer has signed off" if signed is None else "A designer has rejected"
    raise NotSignedOff(
        f"{found} the pack {short(pack_id)}, so it can't become production. Signing off comes with `onbrand review`;"
        ' to do without, add --without-sign-off "REASON", which is kept with your name.'
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
