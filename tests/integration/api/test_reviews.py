"""Blind reviews over HTTP: only for reviewers, the key only after the verdict, and answers once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from onbrand.config import LOCAL_REVIEWER_ROLE, Settings
from onbrand.database.pool import Database
from onbrand.packs.manifest import BrandPack
from onbrand.reviews import records
from onbrand.reviews.models import Kind, Review
from onbrand.reviews.pictures import CardStore
from tests.integration.api.service import Person, Service, assert_problem, running
from tests.packs import make_pack
from tests.reviews import AS_IS, COPY, NO, THINGS, answers, as_body, aside_bytes, card_bytes, open_review

REVIEWER = {"roles": [LOCAL_REVIEWER_ROLE]}
# Words that would say what is on a card.
TELLING = ("original", '"base"', '"pack"', "seed", "source", "kind", ".png", "sha256", "aside", "training")


@pytest.fixture
async def designer(service: Service) -> AsyncIterator[Person]:
    async with service.person(name="Ada Designer", **REVIEWER) as person:
        yield person


@pytest.fixture
async def second(service: Service) -> AsyncIterator[Person]:
    async with service.person(name="Bo Designer", **REVIEWER) as person:
        yield person


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "pack", name="Harbour", version="3")


@pytest.fixture
async def review(service: Service, pack: BrandPack) -> Review:
    """A review that nobody has answered."""
    database = Database(service.database_url, application_name="test", max_connections=1)
    await database.open()
    review_id = await open_review(CardStore.open(service.settings), database, pack)
    await database.close()
    async with service.transaction() as connection:
        return await records.find(connection, review_id)


def stored(service: Service, review: Review, n: int) -> Path:
    return service.settings.data_dir / "images" / "reviews" / str(review.id) / f"{n}.png"


def body(review: Review, **given: Any) -> dict[str, object]:
    return as_body(answers(review.cards, **given))


async def put(person: Person, review: Review, **given: Any) -> httpx.Response:
    return await person.http.put(f"/reviews/{review.id}/verdict", json=body(review, **given))


async def test_a_reviewer_sees_sixteen_cards_and_nothing_of_what_they_show(
    designer: Person, review: Review, pack: BrandPack
) -> None:
    answer = await designer.http.get(f"/reviews/{review.id}")
    shown = answer.json()
    assert (shown["pack_id"], shown["pack_name"], shown["pack_version"]) == (pack.id, "Harbour", "3")
    assert [card["n"] for card in shown["cards"]] == list(range(1, 17))
    assert {card["prompt"] for card in shown["cards"]} == set(THINGS)
    assert {key for card in shown["cards"] for key in card} == {"n", "prompt", "picture"}
    assert shown["verdict"] is None
    assert len(shown["rule"]) == 4
    cards_only = str(shown["cards"])
    assert not [word for word in TELLING if word in cards_only]
    for n in (1, 16):
        picture = await designer.http.get(f"/reviews/{review.id}/cards/{n}")
        assert picture.content == card_bytes(n)
        assert picture.headers["content-type"] == "image/png"


async def test_all_that_a_picture_comes_with_follows_from_its_place_alone(designer: Person, review: Review) -> None:
    seen = []
    for n in range(1, 17):
        picture = await designer.http.get(f"/reviews/{review.id}/cards/{n}")
        headers = {name: value for name, value in picture.headers.items() if name not in ("x-request-id", "date")}
        assert headers.pop("etag") == f'"{review.id}-{n}"'
        assert "last-modified" not in headers
        assert "content-disposition" not in headers
        seen.append(headers)
    assert all(headers == seen[0] for headers in seen)


async def test_a_picture_that_the_browser_has_is_not_sent_again(designer: Person, review: Review) -> None:
    address = f"/reviews/{review.id}/cards/5"
    etag = (await designer.http.get(address)).headers["etag"]
    again = await designer.http.get(address, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_key_comes_with_the_own_verdict_and_not_with_anybody_elses(
    designer: Person, second: Person, review: Review
) -> None:
    given = await put(designer, review, pack=[COPY, *[AS_IS] * 9])
    assert given.status_code == 200
    verdict = given.json()
    assert (verdict["outcome"], verdict["usable"], verdict["reviewer"]) == ("rejected", 9, "Ada Designer")
    assert verdict["interval"] == pytest.approx({"low": 0.5958, "high": 0.9821}, abs=1e-3)
    assert [card["kind"] for card in verdict["cards"]] == [card.kind for card in review.cards]
    assert [card["seed"] for card in verdict["cards"]] == [card.seed for card in review.cards]
    assert [(one["reason"], one["count"]) for one in verdict["changes"]] == [("copy", 1)]
    assert (await designer.http.get(f"/reviews/{review.id}")).json()["verdict"] == verdict
    others = (await second.http.get(f"/reviews/{review.id}")).json()
    assert others["verdict"] is None
    assert not [word for word in TELLING if word in str(others["cards"])]


async def test_what_a_card_is_compared_with_comes_with_the_own_verdict_and_not_before(
    designer: Person, second: Person, review: Review
) -> None:
    drawn = next(card.n for card in review.cards if card.kind is Kind.PACK)
    addresses = [f"/reviews/{review.id}/cards/{n}/asides/{place}" for n in range(1, 17) for place in (1, 2, 3)]

    async def unseen(person: Person) -> set[bytes]:
        answers = [await person.http.get(address) for address in addresses]
        tile = await person.http.get(f"/reviews/{review.id}/cards/{drawn}/asides/1?size=512")
        for answer in (*answers, tile):
            assert_problem(answer, 404, "not_found")
        return {_without_ids(answer).replace(answer.request.url.path.encode(), b"") for answer in (*answers, tile)}

    assert len(await unseen(designer)) == 1  # nothing tells which cards have any
    verdict = (await put(designer, review)).json()
    for card in verdict["cards"]:
        kinds = ["base", "training", "training"] if card["kind"] == "pack" else []
        assert [one["kind"] for one in card["asides"]] == kinds
        for place, one in enumerate(card["asides"], start=1):
            assert one["picture"] == f"/reviews/{review.id}/cards/{card['n']}/asides/{place}"
            assert one["source"] == (None if place == 1 else f"mug {place}.png")
            assert one["is_flagged"] is one["is_mirrored"] is (place == 2)
    for is_tile, query, media_type in ((False, "", "image/png"), (True, "?size=512", "image/webp")):
        address = f"/reviews/{review.id}/cards/{drawn}/asides/3{query}"
        picture = await designer.http.get(address)
        assert (picture.status_code, picture.headers["content-type"]) == (200, media_type)
        assert picture.content == aside_bytes(drawn, 3, is_tile=is_tile)
        again = await designer.http.get(address, headers={"If-None-Match": picture.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        # A tag that somebody else was told is no way around the verdict.
        others = await second.http.get(address, headers={"If-None-Match": picture.headers["etag"]})
        assert_problem(others, 404, "not_found")
    assert len(await unseen(second)) == 1
    shown = next(card.n for card in review.cards if card.kind is not Kind.PACK)
    assert_problem(await designer.http.get(f"/reviews/{review.id}/cards/{shown}/asides/1"), 404, "not_found")


@pytest.mark.parametrize("place", ["0", "4", "01", "-1", "x", "%EF%BC%91"])
async def test_what_a_card_is_compared_with_has_one_address(designer: Person, review: Review, place: str) -> None:
    await put(designer, review)
    drawn = next(card.n for card in review.cards if card.kind is Kind.PACK)
    assert_problem(await designer.http.get(f"/reviews/{review.id}/cards/{drawn}/asides/{place}"), 404, "not_found")


@pytest.mark.parametrize("damage", ["altered", "missing"])
async def test_a_damaged_picture_for_comparison_is_not_shown_and_the_verdict_stays(
    service: Service, designer: Person, second: Person, review: Review, damage: str
) -> None:
    first = await put(designer, review)
    drawn = next(card.n for card in review.cards if card.kind is Kind.PACK)
    for ending, query in ((".png", ""), (".webp", "?size=512")):
        path = stored(service, review, drawn).parent / "asides" / f"{drawn}-2{ending}"
        content = path.read_bytes()
        path.unlink()
        if damage == "altered":
            path.write_bytes(content[:-1] + b"\xff")
        answer = await designer.http.get(f"/reviews/{review.id}/cards/{drawn}/asides/2{query}")
        assert_problem(answer, 500, "aside_damaged")
    assert (await designer.http.get(f"/reviews/{review.id}")).json()["verdict"] == first.json()
    assert (await put(second, review)).status_code == 200


async def test_answers_may_be_sent_again_and_never_changed(service: Service, designer: Person, review: Review) -> None:
    first = await put(designer, review)
    again = await put(designer, review)
    assert (again.status_code, again.json()) == (200, first.json())
    assert_problem(await put(designer, review, pack=[NO] * 10), 409, "review_answered")
    rows = await service.execute("select outcome from review_verdict where review_id = %s", review.id)
    assert [row["outcome"] for row in rows] == ["approved"]


async def test_two_reviewers_who_answer_at_once_are_both_heard(
    service: Service, designer: Person, second: Person, review: Review
) -> None:
    both = await asyncio.gather(put(designer, review), put(second, review, pack=[NO] * 10))
    assert [one.json()["outcome"] for one in both] == ["approved", "rejected"]
    rows = await service.execute("select reviewer, user_id from review_verdict where review_id = %s", review.id)
    assert {(row["reviewer"], row["user_id"]) for row in rows} == {
        ("Ada Designer", designer.owner.user_id),
        ("Bo Designer", second.owner.user_id),
    }


WRONG: list[Callable[[list[Any]], object]] = [
    lambda sent: {"answers": sent[:15]},
    lambda sent: {"answers": [*sent, sent[0]]},
    lambda _: {"answers": []},
    lambda _: {"answers": None},
    lambda _: {},
    lambda sent: {"answers": sent, "reviewer": "Bo"},
    lambda sent: {"answers": [{"answer": "yes", "reasons": []}, *sent[1:]]},
    lambda sent: {"answers": [{"answer": "no"}, *sent[1:]]},
    lambda sent: {"answers": [{"answer": "no", "reasons": ["ugly"]}, *sent[1:]]},
    lambda sent: {"answers": [{"answer": "no", "reasons": ["copy", "copy"]}, *sent[1:]]},
    lambda sent: {"answers": [{"answer": "no", "reasons": "copy"}, *sent[1:]]},
    lambda sent: {"answers": [{"answer": "no", "reasons": [], "n": 1}, *sent[1:]]},
    lambda sent: {"answers": [None, *sent[1:]]},
    lambda sent: sent,
]


@pytest.mark.parametrize("make", WRONG, ids=range(len(WRONG)))
async def test_answers_that_are_not_sixteen_whole_ones_are_refused(
    service: Service, designer: Person, review: Review, make: Callable[[list[Any]], object]
) -> None:
    sent = body(review)["answers"]
    assert isinstance(sent, list)
    answer = await designer.http.put(f"/reviews/{review.id}/verdict", json=make(sent))
    assert_problem(answer, 422, "request_invalid")
    assert await service.execute("select from review_verdict where review_id = %s", review.id) == []


async def test_the_longest_answers_fit_into_a_request(designer: Person, review: Review) -> None:
    everything = ["artefact", "background", "colour", "composition", "copy", "line", "shading", "wrong_object"]
    sent = {"answers": [{"answer": "small_fix", "reasons": everything} for _ in range(16)]}
    assert (await designer.http.put(f"/reviews/{review.id}/verdict", json=sent)).json()["outcome"] == "undecided"


@pytest.mark.parametrize("n", [1, 9, 16])
@pytest.mark.parametrize("damage", ["altered", "shortened", "missing"])
async def test_a_damaged_picture_is_not_shown_and_no_verdict_rests_on_it(
    service: Service, designer: Person, review: Review, damage: str, n: int
) -> None:
    path = stored(service, review, n)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-1] + (b"" if damage == "shortened" else b"\0"))
    assert_problem(await designer.http.get(f"/reviews/{review.id}/cards/{n}"), 500, "card_damaged")
    assert_problem(await put(designer, review), 500, "card_damaged")
    assert await service.execute("select from review_verdict where review_id = %s", review.id) == []
    path.write_bytes(content)
    assert (await put(designer, review)).status_code == 200


async def test_a_verdict_that_was_given_stays_although_a_picture_is_damaged_later(
    service: Service, designer: Person, review: Review
) -> None:
    first = await put(designer, review)
    stored(service, review, 4).write_bytes(b"something else")
    assert (await put(designer, review)).json() == first.json()


ROUTES = [("GET", ""), ("GET", "/cards/1"), ("GET", "/cards/99"), ("PUT", "/verdict"), ("GET", "/cards/1/asides/1")]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_member_without_the_role_learns_nothing_of_a_review(
    member: Person, review: Review, method: str, path: str
) -> None:
    answers = [
        await member.http.request(method, f"/reviews/{review_id}{path}") for review_id in (review.id, uuid4(), "x")
    ]
    for answer in answers:
        assert_problem(answer, 403, "not_reviewer")
    assert len({hashlib.sha256(_without_ids(answer)).hexdigest() for answer in answers}) == 1


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_the_role_alone_admits_nobody_who_is_no_member(
    service: Service, review: Review, method: str, path: str
) -> None:
    async with service.person(groups=[str(uuid4())], **REVIEWER) as outsider:
        assert_problem(await outsider.http.request(method, f"/reviews/{review.id}{path}"), 403, "not_in_group")
    async with service.client() as nobody:
        assert_problem(await nobody.request(method, f"/reviews/{review.id}{path}"), 401, "token_missing")


@pytest.mark.parametrize("roles", [["onbrand.review"], [""], [], "Onbrand.Review", None, ["Onbrand.Review", 1]])
async def test_another_role_is_not_the_reviewers(service: Service, review: Review, roles: object) -> None:
    async with service.person(roles=roles) as person:
        assert_problem(await person.http.get(f"/reviews/{review.id}"), 403, "not_reviewer")
        assert (await person.http.get("/me")).json()["may_review"] is False


async def test_without_a_configured_role_nobody_may_review(
    service: Service, designer: Person, review: Review, make_entra_settings: Callable[..., Settings]
) -> None:
    assert (await designer.http.get("/me")).json()["may_review"] is True
    for role, status in ((None, 403), ("Style.Review", 403), (LOCAL_REVIEWER_ROLE, 200)):
        settings = make_entra_settings(
            entra_reviewer_role=role, storage_url=(service.settings.data_dir / "images").resolve().as_uri()
        )
        with running(settings, service.database_url) as other:
            async with other.client({"Authorization": f"Bearer {designer.token}"}) as client:
                assert (await client.get(f"/reviews/{review.id}")).status_code == status


async def test_a_review_that_is_not_there_is_a_404(designer: Person) -> None:
    for review_id in (uuid4(), "x", str(uuid4()).upper()):
        for method, path in ROUTES[:2]:
            assert_problem(await designer.http.request(method, f"/reviews/{review_id}{path}"), 404, "review_not_found")


@pytest.mark.parametrize("n", ["0", "17", "01", "1.0", "-1", "%EF%BC%91", "100"])
async def test_a_card_has_one_address(designer: Person, review: Review, n: str) -> None:
    assert_problem(await designer.http.get(f"/reviews/{review.id}/cards/{n}"), 404, "not_found")


async def test_the_style_says_who_approved_it_and_when(
    service: Service, designer: Person, review: Review, pack: BrandPack
) -> None:
    async with service.transaction() as connection:
        await connection.execute(
            "insert into worker (id, state, pack_id, pack_name, pack_version)"
            " values ('w', 'ready', %s, 'Harbour', '3')",
            [pack.id],
        )
    try:
        style = (await designer.http.get("/me")).json()["style"]
        assert (style["reviewed"], style["signed_by"], style["signed_at"]) == (False, None, None)
        given = (await put(designer, review)).json()
        style = (await designer.http.get("/me")).json()["style"]
        assert (style["reviewed"], style["signed_by"]) == (True, "Ada Designer")
        assert style["signed_at"] == given["given_at"]
    finally:
        await service.execute("delete from worker where id = 'w'")


def _without_ids(answer: httpx.Response) -> bytes:
    return answer.content.replace(answer.headers["x-request-id"].encode(), b"")
