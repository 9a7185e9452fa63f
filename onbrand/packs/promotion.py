"""Which brand pack is live: aliases that point to packs, designers' sign-offs, and a record of every change.

The files of packs are in the pack store (`store`); this module does not read them. Each function runs in the caller's
transaction. Moving an alias takes an advisory lock, and claiming a job takes the same lock in shared mode. So a job
that is claimed after a promotion was committed is drawn with the new pack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.errors import NotSignedOff, PackNotFound, PackUnfit
from onbrand.jobs.models import Owner
from onbrand.packs.manifest import Manifest, canonical

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
class SigningReviewer:
    """Who signs a pack off: the person in Entra, the name that Entra told, and the review they answered."""

    person: Owner
    name: str
    review_id: UUID


@dataclass(frozen=True)
class TakenBack:
    """The pack that a designer rejected while it was live. Another one has been live since."""

    name: str
    version: str
    by: str  # the designer
    at: datetime


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
        NotSignedOff: a designer has rejected the previous pack.
    """
    await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    pointed = await aliases(connection)
    live, previous = pointed.get(Alias.PRODUCTION), pointed.get(Alias.PREVIOUS)
    if live is None or previous is None:
        raise PackNotFound("There is no previous pack to go back to: no pack has replaced another as production yet.")
    signed = (await sign_offs(connection)).get(previous)
    if signed is not None and signed.verdict is Verdict.REJECTED:
        raise NotSignedOff(
            f"{signed.reviewer} has rejected the previous pack, {short(previous)}, so nothing was changed. Promote"
            " another one with `onbrand pack promote ID`."
        )
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


async def sign_off(
    connection: Connection, pack_id: str, verdict: Verdict, by: SigningReviewer, document: Mapping[str, Any]
) -> Moved | None:
    """Store a designer's decision about a registered pack. If it rejects the live pack, the one before is live again.

    `document` is what the decision rests on. Returns how `production` was moved, and None if it was not.
    """
    await connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
    text = canonical(
        {"pack": pack_id, "verdict": verdict, "reviewer": str(by.person.user_id), "document": dict(document)}
    )
    await connection.execute(
        "insert into sign_off (pack_id, verdict, reviewer, document, digest, tenant_id, user_id, review_id)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            pack_id,
            verdict,
            by.name,
            text.decode(),
            hashlib.sha256(text).hexdigest(),
            by.person.tenant_id,
            by.person.user_id,
            by.review_id,
        ],
    )
    if verdict is Verdict.REJECTED and (await aliases(connection)).get(Alias.PRODUCTION) == pack_id:
        return await _take_back(connection, pack_id, by)
    return None


async def taken_back(connection: Connection) -> TakenBack | None:
    """The pack that was taken back last, if nobody has changed `production` since."""
    cursor = await connection.execute(
        "select event.action, event.by_user, event.at, pack.name, pack.version"
        " from pack_event as event left join brand_pack as pack on pack.id = event.from_pack_id"
        " where event.alias = 'production' order by event.id desc limit 1"
    )
    row = await cursor.fetchone()
    if row is None or row["action"] != "take_back":
        return None
    return TakenBack(row["name"], row["version"], row["by_user"], row["at"])


def short(pack_id: str) -> str:
    """The first 12 digits of a pack id, which are shown to people and which they may type."""
    return pack_id[:12]


async def _require_sign_off(connection: Connection, pack_id: str) -> None:
    signed = (await sign_offs(connection)).get(pack_id)
    if signed is not None and signed.verdict is Verdict.APPROVED:
        return
    found = "No designer has approved" if signed is None else f"{signed.reviewer} has rejected"
    raise NotSignedOff(
        f"{found} the pack {short(pack_id)}, so it can't become production. Open a review with `onbrand review open"
        f' {short(pack_id)}`. To promote the pack without one, add --without-sign-off "REASON"; the reason is stored'
        " with your name."
    )


async def _take_back(connection: Connection, pack_id: str, by: SigningReviewer) -> Moved | None:
    """Make the pack live again that was live before this one; None if there is none that could be."""
    cursor = await connection.execute(
        "select event.from_pack_id from pack_event as event"
        " join brand_pack as pack on pack.id = event.from_pack_id"
        " join brand_pack as live on live.id = %s and live.id <> pack.id and live.base = pack.base"
        " where event.alias = 'production' and not exists (select from sign_off"
        "  where sign_off.pack_id = pack.id and sign_off.verdict = 'rejected'"
        "  and sign_off.id = (select max(id) from sign_off as other where other.pack_id = pack.id))"
        " order by event.id desc limit 1",
        [pack_id],
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    before: str = row["from_pack_id"]
    await _point(connection, Alias.PRODUCTION, before)
    # A rollback must not bring the rejected pack back, nor swap the pack with itself.
    await connection.execute("delete from pack_alias where name = %s", [Alias.PREVIOUS])
    await _note(connection, "take_back", Alias.PRODUCTION, before, pack_id, by.name, f"review {by.review_id}")
    return Moved(Alias.PRODUCTION, before, pack_id)


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
