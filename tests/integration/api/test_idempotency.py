"""A repeated request: a double click, a proxy's retry or a lost reply makes four images, not eight."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.api.service import Person, Service, assert_problem

PROMPT = {"prompt": "a teapot"}


async def jobs_of(person: Person) -> int:
    return len(await person.service.execute("select id from job where user_id = %s", person.owner.user_id))


async def test_the_same_key_and_prompt_are_the_same_job(member: Person) -> None:
    first = await member.submit("a teapot", **{"Idempotency-Key": "k"})
    # What counts is the prompt as it is drawn.
    assert await member.submit(" a teapot\n", **{"Idempotency-Key": "k"}) == first
    assert await jobs_of(member) == 1


async def test_a_repetition_finds_the_job_that_has_ended_meanwhile(service: Service, member: Person) -> None:
    first = await member.submit(**{"Idempotency-Key": "k"})
    await service.publish(await service.claim(first))
    assert await member.submit(**{"Idempotency-Key": "k"}) == first


async def test_twenty_repetitions_at_the_same_time_are_one_job(member: Person) -> None:
    headers = {"Idempotency-Key": "k"}
    async with member.service.unswept():
        answers = await asyncio.gather(
            *(member.http.post("/generate", json=PROMPT, headers=headers) for _ in range(20))
        )
        queued = await member.service.execute(
            "select id from procrastinate_jobs where args ->> 'job_id' = %s", answers[0].json()["job_id"]
        )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert await jobs_of(member) == 1
    assert len(queued) == 1


async def test_the_same_key_with_another_prompt_is_refused(member: Person) -> None:
    await member.submit(**{"Idempotency-Key": "k"})
    answer = await member.http.post("/generate", json={"prompt": "another"}, headers={"Idempotency-Key": "k"})
    assert_problem(answer, 409, "idempotency_key_reused")
    assert await jobs_of(member) == 1


async def test_a_key_is_its_owners_alone(member: Person, stranger: Person) -> None:
    first = await member.submit("mine", **{"Idempotency-Key": "k"})
    second = await stranger.submit("yours", **{"Idempotency-Key": "k"})
    assert first != second


async def test_a_repetition_is_not_held_against_the_limit(service: Service, member: Person) -> None:
    first = await member.submit(**{"Idempotency-Key": "k"})
    for _ in range(service.settings.max_queued_per_user - 1):
        await member.submit()
    assert await member.submit(**{"Idempotency-Key": "k"}) == first


@pytest.mark.parametrize("key", ["k" * 128, "!", "~", "8e03978e-40d5-43e8-bc93-6894a57f9324"])
async def test_a_key_has_up_to_128_visible_ascii_characters(member: Person, key: str) -> None:
    assert await member.submit(**{"Idempotency-Key": key})


@pytest.mark.parametrize("key", ["k" * 129, "k" * 1024, "", "a b", "a\tb", "\u00e4", "canary\u00ff"])
async def test_any_other_key_is_refused(service: Service, member: Person, key: str) -> None:
    answer = service.exchange(member.head(f"Idempotency-Key: {key}", "Content-Length: 15"), b'{"prompt": "a"}')
    assert_problem(answer, 422, "idempotency_key_invalid")
    assert b"canary" not in answer.content
    assert await jobs_of(member) == 0


async def test_two_keys_are_refused_since_either_could_be_meant(service: Service, member: Person) -> None:
    head = member.head("Idempotency-Key: a", "Idempotency-Key: b", "Content-Length: 15")
    assert_problem(service.exchange(head, b'{"prompt": "a"}'), 422, "idempotency_key_invalid")
