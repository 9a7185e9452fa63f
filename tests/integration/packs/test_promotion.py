"""Which pack is live: promotion needs a sign-off, is undone by a rollback, and never happens by halves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest

from onbrand.database.pool import Database
from onbrand.errors import NotSignedOff, PackNotFound, PackUnfit
from onbrand.packs import promotion
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved, Verdict
from tests.packs import SAMPLE, make_pack, register_packs, sign_pack

BY = "ada"


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "one", version="1")


@pytest.fixture
def other(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "two", version="2")


async def promote(database: Database, pack_id: str, to: Alias = Alias.PRODUCTION, **options: Any) -> Moved:
    async with database.transaction() as connection:
        return await promotion.promote(connection, pack_id, to=to, by=BY, **{"model": "mini"} | options)


async def rollback(database: Database) -> Moved:
    async with database.transaction() as connection:
        return await promotion.rollback(connection, by=BY)


async def aliases(database: Database) -> dict[Alias, str]:
    async with database.transaction() as connection:
        return await promotion.aliases(connection)


async def events(database: Database) -> list[tuple[str, str, str | None, str | None]]:
    async with database.transaction() as connection:
        cursor = await connection.execute(
            "select action, pack_id, from_pack_id, reason, by_user from pack_event where action <> 'add' order by id"
        )
        rows = await cursor.fetchall()
    assert {row["by_user"] for row in rows} <= {BY}
    return [(row["action"], row["pack_id"], row["from_pack_id"], row["reason"]) for row in rows]


@pytest.mark.parametrize("verdicts", [[], [Verdict.REJECTED], [Verdict.APPROVED, Verdict.REJECTED]])
async def test_a_pack_that_no_designer_approves_does_not_become_production(
    database: Database, pack: BrandPack, verdicts: list[Verdict]
) -> None:
    await register_packs(database, pack)
    for verdict in verdicts:
        await sign_pack(database, pack.id, verdict)
    with pytest.raises(NotSignedOff, match=r"onbrand review open.*--without-sign-off") as caught:
        await promote(database, pack.id)
    assert caught.value.message.startswith("Ada has rejected" if verdicts else "No designer has approved")
    assert (await aliases(database), await events(database)) == ({}, [])


async def test_the_approval_of_another_pack_does_not_count(
    database: Database, pack: BrandPack, other: BrandPack
) -> None:
    await register_packs(database, pack, other)
    await sign_pack(database, other.id, Verdict.APPROVED)
    with pytest.raises(NotSignedOff):
        await promote(database, pack.id)


async def test_the_latest_verdict_counts(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    await sign_pack(database, pack.id, Verdict.REJECTED)
    await sign_pack(database, pack.id, Verdict.APPROVED)
    assert await promote(database, pack.id) == Moved(Alias.PRODUCTION, pack.id, None)
    assert await aliases(database) == {Alias.PRODUCTION: pack.id}


async def test_a_promotion_without_a_sign_off_is_recorded_with_its_reason(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    await promote(database, pack.id, without_sign_off="the designer is on the phone")
    assert await events(database) == [("promote", pack.id, None, "the designer is on the phone")]


async def test_a_candidate_needs_no_sign_off_and_moves_nothing_else(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    await promote(database, pack.id, Alias.CANDIDATE)
    assert await aliases(database) == {Alias.CANDIDATE: pack.id}


async def test_the_former_production_becomes_previous_and_a_rollback_swaps_them(
    database: Database, pack: BrandPack, other: BrandPack
) -> None:
    await register_packs(database, pack, other)
    await promote(database, pack.id, without_sign_off="first")
    await promote(database, other.id, without_sign_off="second")
    assert await aliases(database) == {Alias.PRODUCTION: other.id, Alias.PREVIOUS: pack.id}
    assert await rollback(database) == Moved(Alias.PRODUCTION, pack.id, other.id)
    assert await aliases(database) == {Alias.PRODUCTION: pack.id, Alias.PREVIOUS: other.id}
    await rollback(database)
    assert await aliases(database) == {Alias.PRODUCTION: other.id, Alias.PREVIOUS: pack.id}
    assert [event[:3] for event in await events(database)] == [
        ("promote", pack.id, None),
        ("promote", other.id, pack.id),
        ("rollback", pack.id, other.id),
        ("rollback", other.id, pack.id),
    ]


async def test_the_bundled_pack_is_what_the_first_promotion_is_rolled_back_to(
    database: Database, pack: BrandPack
) -> None:
    await register_packs(database, pack, SAMPLE)
    moved = await promote(database, pack.id, bundled_id=SAMPLE.id, without_sign_off="first")
    assert moved.from_pack_id == SAMPLE.id
    await rollback(database)
    assert await aliases(database) == {Alias.PRODUCTION: SAMPLE.id, Alias.PREVIOUS: pack.id}


async def test_promoting_the_live_pack_changes_nothing(database: Database, pack: BrandPack, other: BrandPack) -> None:
    await register_packs(database, pack, other, SAMPLE)
    assert not (await promote(database, SAMPLE.id, bundled_id=SAMPLE.id)).is_change
    for one in (pack, other):
        await promote(database, one.id, without_sign_off="why not")
    before = await aliases(database), await events(database)
    assert await promote(database, other.id) == Moved(Alias.PRODUCTION, other.id, other.id)
    assert (await aliases(database), await events(database)) == before


async def test_without_a_previous_pack_there_is_nothing_to_go_back_to(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    with pytest.raises(PackNotFound, match="no previous pack"):
        await rollback(database)
    await promote(database, pack.id, without_sign_off="first")
    with pytest.raises(PackNotFound, match="no previous pack"):
        await rollback(database)


@pytest.mark.parametrize("to", [Alias.PRODUCTION, Alias.CANDIDATE])
async def test_a_pack_for_another_model_is_refused(database: Database, tmp_path: Path, to: Alias) -> None:
    pack = make_pack(tmp_path / "dev", model="hidream-i1-dev")
    await register_packs(database, pack)
    with pytest.raises(PackUnfit, match=r"for the model hidream-i1-dev, and the workers draw with mini\."):
        await promote(database, pack.id, to, without_sign_off="why not")


async def test_a_pack_that_nobody_added_is_refused(database: Database) -> None:
    with pytest.raises(PackNotFound, match="onbrand pack add"):
        await promote(database, "a" * 64, without_sign_off="why not")


async def test_simultaneous_promotions_are_done_one_after_the_other(database: Database, tmp_path: Path) -> None:
    packs = [make_pack(tmp_path / str(n), version=str(n)) for n in range(6)]
    await register_packs(database, *packs)
    moves = await asyncio.gather(*(promote(database, one.id, without_sign_off="at once") for one in packs))
    chain = {move.from_pack_id: move.pack_id for move in moves}
    assert len(chain) == len(packs)  # nobody stood on the same ground
    order = [last := chain[None]]
    while last in chain:
        order.append(last := chain[last])
    assert set(order) == {one.id for one in packs}
    assert await aliases(database) == {Alias.PRODUCTION: order[-1], Alias.PREVIOUS: order[-2]}
    assert [event[1] for event in await events(database)] == order


async def test_a_promotion_waits_until_a_claim_is_committed(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    async with database.transaction() as claiming:
        assert await promotion.resolve_for_claim(claiming, Alias.PRODUCTION) is None
        promoting = asyncio.create_task(promote(database, pack.id, without_sign_off="now"))
        done, _ = await asyncio.wait({promoting}, timeout=0.3)
        assert not done
        async with database.transaction() as other_claim:  # others may claim meanwhile, if they come before it
            assert await promotion.resolve(other_claim, Alias.PRODUCTION) is None
    await promoting
    async with database.transaction() as claiming:
        assert await promotion.resolve_for_claim(claiming, Alias.PRODUCTION) == pack.id


@pytest.mark.parametrize("table", ["sign_off", "pack_event"])
@pytest.mark.parametrize("change", ["delete from {}", "update {} set pack_id = pack_id", "truncate {}"])
async def test_sign_offs_and_events_can_only_be_added(
    database: Database, pack: BrandPack, table: str, change: str
) -> None:
    await register_packs(database, pack)
    await sign_pack(database, pack.id, Verdict.APPROVED)
    await promote(database, pack.id)
    with pytest.raises(psycopg.errors.RaiseException, match=f"{table} is only ever added to"):
        async with database.transaction() as connection:
            await connection.execute(change.format(table))


async def test_a_document_is_signed_once(database: Database, pack: BrandPack) -> None:
    await register_packs(database, pack)
    statement = (
        "insert into sign_off (pack_id, verdict, reviewer, document, digest) values (%s, 'approved', 'A', '{}', %s)"
    )
    async with database.transaction() as connection:
        await connection.execute(statement, [pack.id, "0" * 64])
    with pytest.raises(psycopg.errors.UniqueViolation):
        async with database.transaction() as connection:
            await connection.execute(statement, [pack.id, "0" * 64])
