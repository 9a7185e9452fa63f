"""The question "Was this useful?", and usage counted by other routes: who signed in, and which images were saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier

from onbrand.api import middleware
from onbrand.config import Settings
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.api.service import Person, Service, assert_problem, running

CANARY = "a teapot canary7f3a91"


async def ask(person: Person, job_id: str, *, instead_of: str | None = None) -> bool:
    parameters = {} if instead_of is None else {"instead_of": instead_of}
    answer = await person.http.post(f"/jobs/{job_id}/question", params=parameters)
    assert answer.status_code == 200, answer.text
    granted: bool = answer.json()["ask"]
    return granted


async def answer(person: Person, job_id: str, **body: Any) -> httpx.Response:
    return await person.http.put(f"/jobs/{job_id}/answer", json=body)


async def kept(service: Service, job_id: str) -> tuple[bool | None, str | None]:
    (row,) = await service.execute("select useful, comment from question where job_id = %s", job_id)
    return row["useful"], row["comment"]


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_a_run_that_is_not_complete_is_not_asked_about(member: Person) -> None:
    job_id = await member.submit()
    assert not await ask(member, job_id)
    await member.http.delete(f"/jobs/{job_id}")
    assert not await ask(member, job_id)
    complete, _ = await member.complete()
    assert await ask(member, complete)


async def test_until_it_is_answered_the_same_run_is_asked_about_again_and_no_other(member: Person) -> None:
    (first, _), (second, _) = await member.complete(), await member.complete()
    assert [await ask(member, job_id) for job_id in (first, first, second, first)] == [True, True, False, True]
    assert (await answer(member, first, useful=True)).status_code == 204
    assert [await ask(member, job_id) for job_id in (first, second)] == [False, False]


async def test_a_question_that_was_closed_is_not_put_again(member: Person) -> None:
    job_id, _ = await member.complete()
    assert await ask(member, job_id)
    assert (await answer(member, job_id, useful=None)).status_code == 204
    assert not await ask(member, job_id)


async def test_of_twenty_tabs_that_ask_at_once_one_may(member: Person) -> None:
    jobs = [(await member.complete())[0] for _ in range(20)]
    granted = await asyncio.gather(*(ask(member, job_id) for job_id in jobs))
    assert granted.count(True) == 1
    again = await asyncio.gather(*(ask(member, job_id) for job_id in jobs))
    assert again == granted


async def test_a_question_without_an_answer_moves_to_a_newer_run(service: Service, member: Person) -> None:
    first, second, third = [(await member.complete())[0] for _ in range(3)]
    assert await ask(member, first)
    assert not await ask(member, third, instead_of=second)  # nobody was asked about that one
    assert await ask(member, second, instead_of=first)
    assert not await ask(member, first)
    assert_problem(await answer(member, first, useful=True), 409, "not_asked")
    assert (await answer(member, second, useful=True)).status_code == 204
    assert not await ask(member, third, instead_of=second)  # answered
    assert await kept(service, second) == (True, None)


async def test_somebody_elses_question_cannot_be_moved(service: Service, member: Person, stranger: Person) -> None:
    (mine, _), (theirs, _) = await member.complete(), await stranger.complete()
    assert await ask(member, mine)
    await ask(stranger, theirs, instead_of=mine)
    assert await kept(service, mine) == (None, None)
    assert (await answer(member, mine, useful=True)).status_code == 204


async def test_one_persons_question_is_not_anothers(member: Person, stranger: Person) -> None:
    (mine, _), (theirs, _) = await member.complete(), await stranger.complete()
    assert await ask(member, mine)
    assert await ask(stranger, theirs)


# --- answering -------------------------------------------------------------------------------------------------------


async def test_an_answer_is_kept_and_a_later_one_takes_its_place(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    first = await answer(member, job_id, useful=False, comment="  too\nblue ")
    assert (first.status_code, first.content) == (204, b"")
    assert await kept(service, job_id) == (False, "too blue")
    assert (await answer(member, job_id, useful=True)).status_code == 204
    assert await kept(service, job_id) == (True, None)


async def test_what_was_not_asked_cannot_be_answered(service: Service, member: Person) -> None:
    (asked, _), (other, _) = await member.complete(), await member.complete()
    await ask(member, asked)
    assert_problem(await answer(member, other, useful=True), 409, "not_asked")
    assert await service.execute("select 1 from question where job_id = %s", other) == []


async def test_somebody_elses_question_cannot_be_answered(service: Service, member: Person, stranger: Person) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    assert_problem(await answer(stranger, job_id, useful=False), 404, "job_not_found")
    assert_problem(await answer(stranger, str(uuid4()), useful=False), 404, "job_not_found")
    assert await kept(service, job_id) == (None, None)


async def test_an_answer_about_a_run_whose_time_is_over_is_too_late(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    await service.execute("update job set expires_at = now() where id = %s", job_id)
    assert_problem(await answer(member, job_id, useful=True), 410, "job_expired")


@pytest.mark.parametrize("comment", [None, "", " \n ", "\u200b"])
async def test_a_comment_that_shows_nothing_is_none(service: Service, member: Person, comment: str | None) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    assert (await answer(member, job_id, useful=True, comment=comment)).status_code == 204
    assert await kept(service, job_id) == (True, None)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ('{"useful": true, "comment": "' + "a" * 201 + '"}', 422, "comment_too_long"),
        ('{"useful": true, "comment": "' + "a" * 501 + '"}', 422, "comment_too_long"),
        (r'{"useful": true, "comment": "a\u0000"}', 422, "comment_invalid"),
        (r'{"useful": true, "comment": "\ud800"}', 422, "comment_invalid"),
        ("{}", 422, "request_invalid"),
        ('{"useful": "yes"}', 422, "request_invalid"),
        ('{"useful": 1}', 422, "request_invalid"),
        ('{"useful": true, "useful": false}', 422, "request_invalid"),
        ('{"useful": true, "comment": 7}', 422, "request_invalid"),
        ('{"useful": true, "prompt": "a"}', 422, "request_invalid"),
        ("useful", 400, "json_invalid"),
        ('{"useful": true}'.ljust(8193), 413, "body_too_large"),
    ],
)
async def test_an_answer_that_is_none_changes_nothing(
    service: Service, member: Person, body: str, status: int, code: str
) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    headers = {"Content-Type": "application/json"}
    refused = await member.http.put(f"/jobs/{job_id}/answer", content=body, headers=headers)
    problem = assert_problem(refused, status, code)
    assert code != "request_invalid" or '"useful"' in problem["detail"]
    assert await kept(service, job_id) == (None, None)


async def test_a_comment_may_have_200_code_points(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    await ask(member, job_id)
    assert (await answer(member, job_id, useful=False, comment="🫖" * 200)).status_code == 204
    assert await kept(service, job_id) == (False, "🫖" * 200)


# --- who came, and what was saved ------------------------------------------------------------------------------------


async def signed_in(service: Service, person: Person) -> int:
    return len(await service.execute("select 1 from sign_in_day where user_id = %s", person.owner.user_id))


async def test_a_person_signs_in_once_a_day_however_often_they_come(service: Service, member: Person) -> None:
    came = await asyncio.gather(*(member.http.get("/me") for _ in range(10)))
    assert {answer.status_code for answer in came} == {200}
    assert await signed_in(service, member) == 1


async def test_somebody_who_is_not_admitted_has_not_signed_in(service: Service) -> None:
    async with service.person(groups=[str(uuid4())]) as outsider:
        assert (await outsider.http.get("/me")).json()["may_generate"] is False
        assert await signed_in(service, outsider) == 0


async def is_saved(service: Service, job_id: str) -> bool:
    (row,) = await service.execute("select is_saved from job where id = %s", job_id)
    found: bool = row["is_saved"]
    return found


async def test_a_run_is_saved_once_a_picture_of_it_was_saved(service: Service, member: Person) -> None:
    job_id, images = await member.complete()
    for method, path in (("GET", "1"), ("HEAD", "1?download=1"), ("GET", "1?download=0"), ("GET", "9?download=1")):
        await member.http.request(method, f"/jobs/{job_id}/images/{path}")
    assert not await is_saved(service, job_id)
    for n in (2, 2, 3):
        assert (await member.http.get(f"/jobs/{job_id}/images/{n}?download=1")).status_code == 200
    assert await is_saved(service, job_id)
    known, _ = await member.complete()  # the picture came with the page, and is only saved now
    answer = await member.http.get(
        f"/jobs/{known}/images/1?download=1", headers={"If-None-Match": f'"{images[0].sha256}"'}
    )
    assert answer.status_code == 304
    assert await is_saved(service, known)


async def test_a_picture_that_is_saved_from_the_page_is_reported_by_it(service: Service, member: Person) -> None:
    job_id = await member.submit()
    assert_problem(await member.http.put(f"/jobs/{job_id}/saved"), 409, "image_not_ready")
    await service.publish(await service.claim(job_id))
    for _ in range(2):
        answer = await member.http.put(f"/jobs/{job_id}/saved")
        assert (answer.status_code, answer.content) == (204, b"")
    assert await is_saved(service, job_id)


async def test_a_picture_that_could_not_be_given_was_not_saved(service: Service, member: Person) -> None:
    job_id, _ = await member.complete()
    for path in service.settings.data_dir.glob(f"images/jobs/{job_id}/**/*.png"):
        path.write_bytes(b"damaged")
    assert_problem(await member.http.get(f"/jobs/{job_id}/images/1?download=1"), 500, "image_corrupt")
    assert not await is_saved(service, job_id)


async def test_what_cannot_be_noted_is_given_all_the_same(
    postgres: EmbeddedPostgres, database_url: str, make_settings: Callable[..., Settings]
) -> None:
    name = str(conninfo_to_dict(database_url)["dbname"])
    with running(make_settings(), database_url) as service, psycopg.connect(postgres.url, autocommit=True) as server:
        async with service.person() as person:
            job_id, _ = await person.complete()
            server.execute(SQL("alter database {} set default_transaction_read_only = on").format(Identifier(name)))
            server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
            async with asyncio.timeout(20):  # until the service has new connections
                while not (await person.http.get("/readyz")).json()["database"]:
                    pass
            assert (await person.http.get("/me")).status_code == 200
            assert (await person.http.get(f"/jobs/{job_id}/images/1?download=1")).status_code == 200
            assert_problem(await person.http.post(f"/jobs/{job_id}/question"), 503, "database_unavailable")


async def test_answers_without_end_are_refused(member: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "FLOOD_SECONDS", 0.0)
    job_id, _ = await member.complete()
    await ask(member, job_id)
    assert {(await answer(member, job_id, useful=True)).status_code for _ in range(30)} == {204, 429}


# --- no prompts ------------------------------------------------------------------------------------------------------


async def test_no_prompt_is_in_what_is_kept_of_usage(service: Service, member: Person) -> None:
    await member.http.get("/me")
    job_id, _ = await member.complete(CANARY)
    await ask(member, job_id)
    await answer(member, job_id, useful=True, comment="lovely")
    await member.http.get(f"/jobs/{job_id}/images/1?download=1")
    for relation in ("sign_in_day", "run", "past_run", "question"):
        rows = await service.execute(f"select * from {relation}")
        assert "canary7f3a91" not in str(rows)
        assert "prompt" not in str(list(rows[0])) if rows else relation == "past_run"
    (run,) = await service.execute("select * from run where id = %s", UUID(job_id))
    assert (run["outcome"], run["is_saved"], run["is_more"]) == ("complete", True, False)
