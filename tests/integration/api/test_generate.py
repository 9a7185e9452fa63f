"""`POST /generate`: which requests are accepted, which are refused, and what is stored."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import pytest

from onbrand.config import REPOSITORY
from tests.integration.api.service import Person, Service, assert_problem

VECTORS: list[dict[str, str]] = json.loads((REPOSITORY / "tests" / "vectors" / "prompts.json").read_text())
CANARY = "canary7f3a91"


def ids(vector: dict[str, str]) -> str:
    return vector["name"]


async def post(person: Person, body: bytes, content_type: str = "application/json") -> Any:
    return await person.http.post("/generate", content=body, headers={"Content-Type": content_type})


async def test_a_generation_is_accepted_with_its_address_and_is_on_disk(member: Person) -> None:
    async with member.service.unswept():
        answer = await member.http.post("/generate", json={"prompt": "  a red\nbackpack "})
        assert answer.status_code == 202
        accepted = answer.json()
        queued = await member.service.execute(
            "select args from procrastinate_jobs where args ->> 'job_id' = %s", accepted["job_id"]
        )
    assert accepted == {"job_id": accepted["job_id"], "estimated_seconds": None, "prompt_truncated": None}
    assert answer.headers["location"] == f"/jobs/{UUID(accepted['job_id'])}"
    rows = await member.service.execute(
        "select tenant_id, user_id, prompt, status, seed, seeds from job where id = %s", accepted["job_id"]
    )
    assert [(row["tenant_id"], row["user_id"], row["prompt"], row["status"]) for row in rows] == [
        (member.owner.tenant_id, member.owner.user_id, "a red backpack", "queued")
    ]
    assert len(set(rows[0]["seeds"])) == 4
    assert [row["args"] for row in queued] == [{"job_id": accepted["job_id"]}]  # and not the prompt


@pytest.mark.parametrize("vector", VECTORS, ids=ids)
async def test_a_prompt_is_normalised_or_refused_as_the_page_does_it(service: Service, vector: dict[str, str]) -> None:
    async with service.person() as person:
        for body in (json.dumps({"prompt": vector["input"]}).encode(), _utf8({"prompt": vector["input"]})):
            if body is None:  # a lone surrogate only exists as an escape
                continue
            answer = await post(person, body)
            if "error" in vector:
                problem = assert_problem(answer, 422, vector["error"])
                assert len(vector["input"]) < 3 or vector["input"] not in json.dumps(problem, ensure_ascii=False)
            else:
                assert answer.status_code == 202
                job = (await person.http.get(answer.headers["location"])).json()
                assert job["prompt"] == vector["normalised"]


def _utf8(body: dict[str, str]) -> bytes | None:
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None


@pytest.mark.parametrize(
    "prompt",
    [
        "<img src=x onerror=alert(1)>",
        '"><svg onload=alert(1)>',
        "javascript:alert(1)",
        "{{7*7}} ${jndi:ldap://x} %s %n %(prompt)s",
        "'; drop table job; --",
        "**bold** [a](javascript:b)",
        "../../etc/passwd",
        "\\u0000 \\x1b[31m as text",
    ],
)
async def test_what_looks_like_code_is_stored_and_shown_as_text(member: Person, prompt: str) -> None:
    job_id = await member.submit(prompt)
    answer = await member.http.get(f"/jobs/{job_id}")
    assert answer.json()["prompt"] == prompt
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "json_invalid"),
        (b"{", 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}"'.encode(), 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}"}} x'.encode(), 400, "json_invalid"),
        (f"{{'prompt': '{CANARY}'}}".encode(), 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}\xff"}}'.encode("latin-1"), 400, "json_invalid"),
        (f'\ufeff{{"prompt": "{CANARY}"}}'.encode(), 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}"}}'.encode("utf-16"), 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}"}}'.encode("utf-16-le"), 400, "json_invalid"),
        (f'{{"prompt": "{CANARY}"}}'.encode("utf-32-be"), 400, "json_invalid"),
        (b'{"prompt": "raw\ncontrol"}', 400, "json_invalid"),
        (b"[" * 8000, 400, "json_invalid"),
        (b'{"prompt": ' + b"9" * 5000 + b"}", 400, "json_invalid"),
        (b'{"prompt": NaN}', 422, "request_invalid"),
        (b'{"prompt": Infinity}', 422, "request_invalid"),
        (b'{"prompt": -Infinity}', 422, "request_invalid"),
        (b'{"prompt": 1e999}', 422, "request_invalid"),
        (b"null", 422, "request_invalid"),
        (b"{}", 422, "request_invalid"),
        (f'"{CANARY}"'.encode(), 422, "request_invalid"),
        (f'["{CANARY}"]'.encode(), 422, "request_invalid"),
        (f'{{"prompt": ["{CANARY}"]}}'.encode(), 422, "request_invalid"),
        (b'{"prompt": 7}', 422, "request_invalid"),
        (b'{"prompt": true}', 422, "request_invalid"),
        (b'{"prompt": null}', 422, "request_invalid"),
        (f'{{"Prompt": "{CANARY}"}}'.encode(), 422, "request_invalid"),
        (f'{{"prompt": "a", "prompt": "{CANARY}"}}'.encode(), 422, "request_invalid"),
        (f'{{"prompt": "a", "user_id": "{CANARY}"}}'.encode(), 422, "request_invalid"),
        (f'{{"prompt": "a", "{CANARY}": 1}}'.encode(), 422, "request_invalid"),
        (b'{"prompt": "a", "seed": 7}', 422, "request_invalid"),
        (b'{"prompt": "a", "lora": "x", "status": "complete"}', 422, "request_invalid"),
        (b'{"prompt": "a", "\\ud800": 1}', 422, "request_invalid"),
        (b'{"prompt": "a\\ud800b"}', 422, "prompt_invalid"),
        (b'{"prompt": "a\\u0000b"}', 422, "prompt_invalid"),
    ],
    ids=lambda value: ascii(value)[:40],
)
async def test_a_wrong_body_is_refused_by_name_and_never_repeated(
    member: Person, body: bytes, status: int, code: str
) -> None:
    answer = await post(member, body)
    assert_problem(answer, status, code)
    assert CANARY not in answer.text + str(answer.headers)
    assert await member.service.execute("select id from job where user_id = %s", member.owner.user_id) == []


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/json; charset=",
        "application/json; charset*=utf-16''x",
        "application/json;1*1*;1*",
        "application/json;charset*0=u;charset*=x",
        "application/jsonx",
        "text/json",
        "application/problem+json",
        "application/json, text/plain",
        "/",
        "",
    ],
)
async def test_only_json_in_utf8_is_taken(member: Person, content_type: str) -> None:
    assert_problem(await post(member, b'{"prompt": "a teapot"}', content_type), 415, "media_type_unsupported")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=UTF-8", 'application/json;charset="utf-8"'],
)
async def test_json_may_be_declared_in_its_usual_ways(member: Person, content_type: str) -> None:
    assert (await post(member, b'{"prompt": "a teapot"}', content_type)).status_code == 202


def test_a_body_without_or_with_two_content_types_is_not_taken(service: Service, member: Person) -> None:
    for lines in (b"", b"Content-Type: application/json\r\nContent-Type: text/plain\r\n"):
        answer = service.exchange(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
            + member.token.encode()
            + b"\r\n"
            + lines,
            b'Content-Length: 22\r\n\r\n{"prompt": "a teapot"}',
        )
        assert_problem(answer, 415, "media_type_unsupported")


async def test_a_compressed_body_is_not_unpacked(member: Person) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await member.http.post("/generate", content=b"\x1f\x8b\x08", headers=headers)
    assert_problem(answer, 415, "media_type_unsupported")


async def test_a_cut_prompt_is_reported_once_the_encoders_have_read_it(member: Person) -> None:
    job_id = await member.submit("絵" * 500)
    assert (await member.http.get(f"/jobs/{job_id}")).json()["prompt_truncated"] is None
    await member.service.publish(await member.service.claim(job_id), prompt_ignored=7)
    job = (await member.http.get(f"/jobs/{job_id}")).json()
    assert (job["prompt_truncated"], job["prompt_ignored"]) == (True, 7)


async def test_one_person_may_only_have_so_many_unfinished_jobs(
    service: Service, member: Person, stranger: Person
) -> None:
    jobs = [await member.submit() for _ in range(service.settings.max_queued_per_user)]
    answer = await member.http.post("/generate", json={"prompt": "one more"})
    assert_problem(answer, 429, "too_many_queued")
    assert int(answer.headers["retry-after"]) > 0
    assert (await stranger.http.post("/generate", json={"prompt": "mine"})).status_code == 202
    await member.http.delete(f"/jobs/{jobs[0]}")
    assert (await member.http.post("/generate", json={"prompt": "one more"})).status_code == 202


async def test_the_limit_holds_against_submissions_at_the_same_time(service: Service, member: Person) -> None:
    answers = await asyncio.gather(*(member.http.post("/generate", json={"prompt": "a"}) for _ in range(20)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [202] * service.settings.max_queued_per_user + [429] * (20 - service.settings.max_queued_per_user)
