"""Nobody can learn that another person's job exists, and an address has one form."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.integration.api.service import Person, Service, assert_problem

ROUTES = [
    ("GET", "/jobs/{id}"),
    ("DELETE", "/jobs/{id}"),
    ("GET", "/jobs/{id}/events"),
    ("GET", "/jobs/{id}/images/1"),
    ("HEAD", "/jobs/{id}/images/1"),
    ("GET", "/jobs/{id}/images/1?download=1"),
    ("GET", "/jobs/{id}/images/1?size=512"),
    ("PUT", "/jobs/{id}/saved"),
    ("POST", "/jobs/{id}/question"),
]


def seen(answer: httpx.Response, job_id: str) -> tuple[int, bytes, dict[str, str]]:
    """All a caller can see of an answer, but for what is new in each."""
    request_id = answer.headers["x-request-id"]
    headers = {name: value for name, value in answer.headers.items() if name not in ("x-request-id", "date")}
    assert job_id not in answer.text + str(headers)
    return answer.status_code, answer.content.replace(request_id.encode(), b""), headers


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("state", ["queued", "complete", "expired", "failed"])
async def test_somebody_elses_job_cannot_be_told_from_none(
    member: Person, stranger: Person, method: str, path: str, state: str
) -> None:
    match state:
        case "complete":
            job_id, _ = await member.complete()
        case "expired":
            job_id = await member.expired()
        case _:
            job_id = await member.submit()
            if state == "failed":
                await member.http.delete(f"/jobs/{job_id}")
    unknown = str(uuid4())
    theirs = await stranger.http.request(method, path.format(id=job_id))
    nobodys = await stranger.http.request(method, path.format(id=unknown))
    assert seen(theirs, job_id) == seen(nobodys, unknown)
    assert theirs.status_code == 404
    if method != "HEAD":
        assert_problem(theirs, 404, "job_not_found")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_known_etag_does_not_open_somebody_elses_image(member: Person, stranger: Person, method: str) -> None:
    job_id, images = await member.complete()
    for headers in (
        {"If-None-Match": f'"{images[0].sha256}"'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"Range": "bytes=0-9"},
    ):
        answer = await stranger.http.request(method, f"/jobs/{job_id}/images/1", headers=headers)
        assert answer.status_code == 404
        assert "etag" not in answer.headers


async def test_cancelling_somebody_elses_job_leaves_it_alone(member: Person, stranger: Person) -> None:
    job_id = await member.submit()
    assert_problem(await stranger.http.delete(f"/jobs/{job_id}"), 404, "job_not_found")
    assert (await member.http.get(f"/jobs/{job_id}")).json()["status"] == "queued"


async def test_the_same_person_in_another_tenant_is_somebody_else(service: Service, member: Person) -> None:
    job_id = await member.submit()
    await service.execute("update job set tenant_id = %s where id = %s", uuid4(), job_id)
    assert_problem(await member.http.get(f"/jobs/{job_id}"), 404, "job_not_found")


async def test_a_job_has_one_address(service: Service, member: Person) -> None:
    job_id = await member.submit()
    hexadecimal = job_id.replace("-", "")
    for form in (
        job_id.upper(),
        hexadecimal,
        f"{{{job_id}}}",
        f"%7B{job_id}%7D",
        f"urn:uuid:{job_id}",
        f"{job_id}%20",
        f"%20{job_id}",
        f"{job_id}%0A",
        f"{job_id}%00",
        f"{job_id}/",
        f"/{job_id}",
        f"./{job_id}",
        f"{job_id}.json",
        f"{job_id};a=b",
        "１" + job_id[1:],
        "null",
        "%00",
        "9" * 5000,
    ):
        answer = service.exchange(member.head(line=f"GET /jobs/{form.encode().decode('latin-1')} HTTP/1.1"))
        if "１" in form:  # not even an address
            assert_problem(answer, 400, "http_invalid")
        else:
            assert answer.status_code == 404, form
            assert_problem(answer, 404, answer.json()["code"])
    for line in (
        f"GET /jobs%2F{job_id}",
        f"GET /jobs%2f{job_id}",
        f"GET //jobs/{job_id}",
        f"GET /jobs/../jobs/{job_id}",
    ):
        assert_problem(service.exchange(member.head(line=f"{line} HTTP/1.1")), 404, "not_found")


@pytest.mark.parametrize(
    "number",
    [
        *("-1", "0", "5", "00", "01", "+1", "1.0", "%201", "1%20", "1_0", "0x1", "NaN", "true", "", "9" * 5000),
        *("%EF%BC%91", "%D9%A1", "1%00", "1%0A", "1;a", "1.png", "1/", "1/2", "..%2f..%2f1", "..%5c1", "%2e%2e/1"),
    ],
)
async def test_an_image_has_one_address(service: Service, member: Person, number: str) -> None:
    job_id, _ = await member.complete()
    answer = service.exchange(member.head(line=f"GET /jobs/{job_id}/images/{number} HTTP/1.1"))
    assert_problem(answer, 404, "not_found")


async def test_no_address_leads_to_anything_else_in_the_store(service: Service, member: Person) -> None:
    (service.settings.data_dir / "images" / "secret.png").write_bytes(b"secret")
    job_id, _ = await member.complete()
    for path in ("../../../secret", "%2e%2e%2f%2e%2e%2fsecret.png", "1/../../../secret.png", "..%5c..%5csecret.png"):
        answer = service.exchange(member.head(line=f"GET /jobs/{job_id}/images/{path} HTTP/1.1"))
        assert answer.status_code == 404
        assert b"secret" not in answer.content
