"""Verdicts: stored once for each reviewer, and what they do to the live pack."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from onbrand.config import LOCAL_TENANT_ID
from onbrand.database.pool import Database
from onbrand.errors import NotSignedOff, ReviewAnswered, ReviewNotFound
from onbrand.jobs.models import Owner
from onbrand.packs import promotion
from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Alias, Moved
from onbrand.reviews import records
from onbrand.reviews.models import CardAnswer, Kind, Outcome, Review
from onbrand.reviews.pictures import CardStore
from onbrand.reviews.records import Given
from onbrand.storage.object_store import open_storage
from tests.packs import SAMPLE, make_pack, register_packs
from tests.reviews import AS_IS, COPY, NO, SMALL_FIX, answers, asides, open_review

ADA, BO = (Owner(LOCAL_TENANT_ID, uuid4()) for _ in range(2))
BAD = [NO] * 3 + [AS_IS] * 7


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "pack", version="2")


@pytest.fixture
def before(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "before", version="1")


@pytest.fixture
def store(tmp_path: Path) -> CardStore:
    return CardStore(open_storage(tmp_path / "store"))


async def find(database: Database, review_id: UUID) -> Review:
    async with database.transaction() as connection:
        return await records.find(connection, review_id)


async def give(
    database: Database,
    review: Review,
    pack: Sequence[CardAnswer] = (AS_IS,) * 10,
    *,
    by: Owner = ADA,
    originals: Sequence[CardAnswer] = (AS_IS,) * 3,
) -> Given:
    given = answers(review.cards, pack=pack, originals=originals)
    async with database.transaction() as connection:
        return await records.give_verdict(connection, review, by, "Ada" if by is ADA else "Bo", given)


async def promote(database: Database, pack: BrandPack, reason: str | None = None) -> Moved:
    async with database.transaction() as connection:
        return await promotion.promote(
            connection, pack.id, to=Alias.PRODUCTION, by="ops", model="mini", without_sign_off=reason
        )


async def aliases(database: Database) -> dict[Alias, str]:
    async with database.transaction() as connection:
        return await promotion.aliases(connection)


async def test_an_approval_lets_exactly_this_pack_become_production(
    database: Database, store: CardStore, pack: BrandPack, before: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    await register_packs(database, before)
    given = await give(database, review, [SMALL_FIX, NO, NO, *[AS_IS] * 7])
    assert (given.verdict.outcome, given.is_new, given.moved) == (Outcome.APPROVED, True, None)
    async with database.transaction() as connection:
        cursor = await connection.execute("select * from sign_off")
        (row,) = await cursor.fetchall()
    assert (row["pack_id"], row["verdict"], row["reviewer"]) == (pack.id, "approved", "Ada")
    assert (row["tenant_id"], row["user_id"], row["review_id"]) == (ADA.tenant_id, ADA.user_id, review.id)
    with pytest.raises(NotSignedOff):
        await promote(database, before)
    await promote(database, pack)
    assert await aliases(database) == {Alias.PRODUCTION: pack.id}


async def test_a_verdict_has_who_when_which_pack_and_each_answer(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    given = await give(database, review, [COPY, *[AS_IS] * 9])
    async with database.transaction() as connection:
        stored = await records.verdict_of(connection, review.id, ADA)
        cursor = await connection.execute("select now() - given_at as ago, pack_id from review_verdict")
        (row,) = await cursor.fetchall()
    assert stored == given.verdict
    assert (stored.reviewer, stored.user_id, stored.outcome) == ("Ada", ADA.user_id, Outcome.REJECTED)
    assert stored.answers == tuple(answers(review.cards, pack=[COPY, *[AS_IS] * 9]))
    assert row["pack_id"] == pack.id
    assert 0 <= row["ago"].total_seconds() < 300


async def test_the_same_answers_again_change_nothing_and_others_are_refused(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    first = await give(database, review, BAD)
    again = await give(database, review, BAD)
    assert (again.is_new, again.verdict) == (False, first.verdict)
    with pytest.raises(ReviewAnswered):
        await give(database, review)
    async with database.transaction() as connection:
        assert [one.outcome for one in await records.verdicts(connection, review.id)] == [Outcome.REJECTED]
        assert len(await (await connection.execute("select from sign_off")).fetchall()) == 1


async def test_one_person_who_sends_twice_at_once_has_one_verdict(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    both = await asyncio.gather(give(database, review), give(database, review, BAD), return_exceptions=True)
    assert {type(one) for one in both} == {Given, ReviewAnswered}
    async with database.transaction() as connection:
        assert len(await records.verdicts(connection, review.id)) == 1
        assert len(await (await connection.execute("select from sign_off")).fetchall()) == 1


async def test_two_reviewers_at_once_have_a_verdict_each_and_the_later_one_counts(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    both = await asyncio.gather(give(database, review), give(database, review, BAD, by=BO))
    assert [one.verdict.outcome for one in both] == [Outcome.APPROVED, Outcome.REJECTED]
    async with database.transaction() as connection:
        assert {one.reviewer for one in await records.verdicts(connection, review.id)} == {"Ada", "Bo"}
        cursor = await connection.execute("select verdict from sign_off order by id desc limit 1")
        (last,) = await cursor.fetchall()
        assert (await promotion.sign_offs(connection))[pack.id].verdict == last["verdict"]


async def test_answers_that_decide_nothing_are_kept_and_sign_nothing_off(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    await give(database, review, by=BO)
    await promote(database, pack)
    given = await give(database, review, [NO] * 10, originals=[NO] * 3)
    assert (given.verdict.outcome, given.moved) == (Outcome.UNDECIDED, None)
    async with database.transaction() as connection:
        assert (await promotion.sign_offs(connection))[pack.id].reviewer == "Bo"
    assert await aliases(database) == {Alias.PRODUCTION: pack.id}


async def live_after_another(database: Database, store: CardStore, pack: BrandPack, before: BrandPack) -> Review:
    """A pack that replaced another one, and a review of it."""
    review = await find(database, await open_review(store, database, pack))
    await register_packs(database, before)
    await promote(database, before, "the first")
    await promote(database, pack, "the launch is today")
    return review


async def test_a_rejection_takes_the_live_pack_back_to_the_one_before(
    database: Database, store: CardStore, pack: BrandPack, before: BrandPack
) -> None:
    review = await live_after_another(database, store, pack, before)
    given = await give(database, review, BAD)
    assert given.moved == Moved(Alias.PRODUCTION, before.id, pack.id)
    assert given.verdict.took_back
    assert await aliases(database) == {Alias.PRODUCTION: before.id}  # and no rollback brings the rejected one back
    async with database.transaction() as connection:
        taken = await promotion.taken_back(connection)
        cursor = await connection.execute("select * from pack_event order by id desc limit 1")
        (event,) = await cursor.fetchall()
    assert taken is not None
    assert (taken.name, taken.version, taken.by) == (pack.manifest.name, "2", "Ada")
    assert (event["action"], event["pack_id"], event["from_pack_id"]) == ("take_back", before.id, pack.id)
    assert (event["by_user"], event["reason"]) == ("Ada", f"review {review.id}")
    with pytest.raises(NotSignedOff, match=r"Ada has rejected the pack"):
        await promote(database, pack)


async def test_the_notice_ends_with_the_next_promotion(
    database: Database, store: CardStore, pack: BrandPack, before: BrandPack
) -> None:
    review = await live_after_another(database, store, pack, before)
    await give(database, review, BAD)
    await promote(database, pack, "we know better")
    async with database.transaction() as connection:
        assert await promotion.taken_back(connection) is None


async def test_a_rejected_pack_is_passed_over_when_another_is_taken_back(
    database: Database, store: CardStore, pack: BrandPack, before: BrandPack, tmp_path: Path
) -> None:
    first = make_pack(tmp_path / "first", version="0")
    await register_packs(database, first)
    await promote(database, first, "the first")
    review = await live_after_another(database, store, pack, before)
    of_before = await find(database, await open_review(store, database, before, seed=2))
    assert (await give(database, of_before, BAD)).moved is None  # it isn't live
    with pytest.raises(NotSignedOff, match="Ada has rejected the previous pack"):
        async with database.transaction() as connection:
            await promotion.rollback(connection, by="ops")
    assert (await give(database, review, BAD)).moved == Moved(Alias.PRODUCTION, first.id, pack.id)


async def test_a_pack_of_another_base_is_never_what_is_gone_back_to(
    database: Database, store: CardStore, pack: BrandPack, tmp_path: Path
) -> None:
    other = make_pack(tmp_path / "other", base="b" * 64)
    review = await live_after_another(database, store, pack, other)
    given = await give(database, review, BAD)
    assert (given.moved, given.verdict.took_back) == (None, False)
    assert (await aliases(database))[Alias.PRODUCTION] == pack.id


async def test_the_first_pack_stays_live_when_there_is_none_before(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    await promote(database, pack, "the first")
    given = await give(database, review, BAD)
    assert (given.moved, given.verdict.took_back) == (None, False)
    assert await aliases(database) == {Alias.PRODUCTION: pack.id}


async def test_the_bundled_pack_is_gone_back_to(database: Database, store: CardStore, pack: BrandPack) -> None:
    review = await find(database, await open_review(store, database, pack))
    await register_packs(database, SAMPLE)
    async with database.transaction() as connection:
        await promotion.promote(
            connection,
            pack.id,
            to=Alias.PRODUCTION,
            by="ops",
            model="mini",
            bundled_id=SAMPLE.id,
            without_sign_off="the first",
        )
    assert (await give(database, review, BAD)).moved == Moved(Alias.PRODUCTION, SAMPLE.id, pack.id)


async def test_a_rejection_waits_for_a_job_that_is_being_claimed(
    database: Database, store: CardStore, pack: BrandPack, before: BrandPack
) -> None:
    review = await live_after_another(database, store, pack, before)
    async with database.transaction() as claiming:
        assert await promotion.resolve_for_claim(claiming, Alias.PRODUCTION) == pack.id
        rejecting = asyncio.create_task(give(database, review, BAD))
        done, _ = await asyncio.wait({rejecting}, timeout=0.3)
        assert not done
    assert (await rejecting).moved is not None


@pytest.mark.parametrize("table", ["review", "review_card", "review_aside", "review_verdict"])
@pytest.mark.parametrize("change", ["delete from {}", "update {} set review_id = review_id", "truncate {} cascade"])
async def test_nothing_of_a_review_ever_changes(
    database: Database, store: CardStore, pack: BrandPack, table: str, change: str
) -> None:
    review = await find(database, await open_review(store, database, pack))
    await give(database, review)
    statement = change.format(table)
    if table == "review":
        statement = statement.replace("review_id", "id")
    with pytest.raises(psycopg.errors.RaiseException, match="is only ever added to"):
        async with database.transaction() as connection:
            await connection.execute(statement)


async def test_a_review_comes_back_with_what_its_cards_are_compared_with(
    database: Database, store: CardStore, pack: BrandPack
) -> None:
    review = await find(database, await open_review(store, database, pack))
    for card in review.cards:
        wanted = asides(card.n) if card.kind is Kind.PACK else ()
        assert [(one.place, one.kind, one.source, one.is_flagged, one.is_mirrored) for one in card.asides] == [
            (place, one.kind, one.source, one.is_flagged, one.is_mirrored) for place, one in enumerate(wanted, start=1)
        ]
        for one, given in zip(card.asides, wanted, strict=True):
            assert await store.get_aside(review.id, card.n, one, is_tile=False) == given.png
            assert await store.get_aside(review.id, card.n, one, is_tile=True) == given.tile


async def test_there_is_no_review_with_another_id(database: Database) -> None:
    with pytest.raises(ReviewNotFound):
        await find(database, uuid4())
