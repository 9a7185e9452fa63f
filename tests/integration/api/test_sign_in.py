"""Every route with a person's data needs a member's token. tests/integration/identity tests the token check itself."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest

from onbrand.config import Settings
from onbrand.errors import AccessRevoked, GroupOverage, GuestRefused, NotInGroup
from tests.integration.api.service import Person, Service, assert_problem, running

_JOB = "/jobs/5f0c2a57-9c1e-4f0b-8d55-0a6d3c3f9b11"  # fixed: processes that share the tests compare their names
_REVIEW = "/reviews/5f0c2a57-9c1e-4f0b-8d55-0a6d3c3f9b11"
MEMBERS_ROUTES = [
    ("POST", "/generate"),
    ("POST", "/warm"),
    ("GET", "/style/limits"),
    ("GET", "/style/pictures"),
    ("GET", f"/style/pictures/{'a' * 64}/1"),
    ("GET", _JOB),
    ("DELETE", _JOB),
    ("GET", f"{_JOB}/events"),
    ("GET", f"{_JOB}/images/1"),
    ("PUT", f"{_JOB}/saved"),
    ("POST", f"{_JOB}/question"),
    ("PUT", f"{_JOB}/answer"),
    # Of these, a member who is no reviewer sees nothing either: `test_reviews.py`.
    ("GET", _REVIEW),
    ("GET", f"{_REVIEW}/cards/1"),
    ("GET", f"{_REVIEW}/cards/1/asides/1"),
    ("PUT", f"{_REVIEW}/verdict"),
    # What is wrong with a request is only said to those who may make it.
    ("GET", "/jobs/x"),
    ("GET", f"{_JOB}/images/9"),
]
PUBLIC = {"/config.json", "/healthz", "/readyz"}


async def test_every_documented_route_is_either_public_or_a_members(service: Service) -> None:
    async with service.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path, operations in paths.items():
            for method, operation in operations.items():
                answer = await client.request(
                    method, path.format(job_id=uuid4(), review_id=uuid4(), pack_id="a" * 64, n=1, place=1)
                )
                if path in PUBLIC:
                    assert answer.status_code == 200
                    assert "security" not in operation
                else:
                    assert_problem(answer, 401, "token_missing")
                    assert operation["security"] == [{"bearer": []}]


@pytest.mark.parametrize(("method", "path"), MEMBERS_ROUTES)
async def test_a_members_route_answers_nobody_else(service: Service, method: str, path: str) -> None:
    async with service.client() as client:
        answer = await client.request(method, path)
        assert_problem(answer, 401, "token_missing")
        assert answer.headers["www-authenticate"] == "Bearer"
        for person, refusal in (("outsider", NotInGroup), ("guest", GuestRefused), ("overage", GroupOverage)):
            token = service.issuer.token_for(person)
            answer = await client.request(method, path, headers={"Authorization": f"Bearer {token}"})
            assert_problem(answer, 403, refusal.code)


async def test_who_is_denied_is_refused_from_the_next_start_whatever_their_token_says(
    service: Service, make_entra_settings: Callable[..., Settings], member: Person, stranger: Person
) -> None:
    assert (await member.http.post("/warm")).status_code == 204
    settings = make_entra_settings(denied_users=(uuid4(), member.owner.user_id))
    with running(settings, service.database_url) as after:
        async with after.client({"Authorization": f"Bearer {member.token}"}) as client:
            for method, path in MEMBERS_ROUTES:
                assert_problem(await client.request(method, path), 403, "access_revoked")
            me = (await client.get("/me")).json()
            assert (me["may_generate"], me["refusal"]["code"]) == (False, AccessRevoked.code)
        async with after.client({"Authorization": f"Bearer {stranger.token}"}) as client:
            assert (await client.post("/warm")).status_code == 204


def test_two_tokens_are_none(service: Service, member: Person) -> None:
    answer = service.exchange(member.head(f"Authorization: Bearer {member.token}", line="GET /me HTTP/1.1"))
    assert_problem(answer, 401, "token_missing")


@pytest.mark.parametrize(
    "credentials", ["Basic YTpi", "Bearer", "Bearer ", "{token}", "Bearer: {token}", "DPoP {token}"]
)
async def test_another_scheme_is_none(service: Service, member: Person, credentials: str) -> None:
    value = credentials.format(token=member.token)
    answer = service.exchange(f"GET /me HTTP/1.1\r\nHost: localhost\r\nAuthorization: {value}\r\n\r\n".encode())
    assert_problem(answer, 401, "token_missing")


async def test_a_token_elsewhere_is_none(service: Service, member: Person) -> None:
    async with service.client() as client:
        assert_problem(await client.get("/me", params={"access_token": member.token}), 401, "token_missing")
        cookie = {"Cookie": f"access_token={member.token}"}
        assert_problem(await client.get("/me", headers=cookie), 401, "token_missing")


@pytest.mark.parametrize("token", ["canary7f3a91", "canary7f3a91.a.b", "e30.e30.canary7f3a91", "ä.b.c"])
async def test_a_bad_token_is_not_repeated(service: Service, token: str) -> None:
    head = f"GET /me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    answer = service.exchange(head.encode("latin-1"))
    assert_problem(answer, 401, "token_invalid")
    assert "canary" not in answer.content.decode() + str(answer.headers)


async def test_me_says_who_is_signed_in_and_whether_they_may_generate(service: Service, member: Person) -> None:
    me = (await member.http.get("/me")).json()
    assert me == {
        "name": "Studio member",
        "username": "member@studio.example",
        "may_generate": True,
        "refusal": None,
        "style": None,
        "is_ready": False,
        "usual_seconds": me["usual_seconds"],
        "may_review": False,
        "budget": None,
        "taken_back": None,
    }
    for key, refusal in (("outsider", NotInGroup), ("guest", GuestRefused), ("overage", GroupOverage)):
        async with service.client({"Authorization": f"Bearer {service.issuer.token_for(key)}"}) as client:
            me = (await client.get("/me")).json()
        assert (me["may_generate"], me["style"]) == (False, None)
        assert me["refusal"] == {"code": refusal.code, "title": refusal.title, "detail": refusal.detail}


async def test_a_name_that_no_answer_could_carry_is_no_failure(service: Service) -> None:
    async with service.person(name="\ud800 a\x00b", preferred_username="x" * 10_000) as person:
        answer = await person.http.get("/me")
    assert answer.status_code == 200
    assert len(answer.json()["username"]) <= 256
