"""The host in a request: with the local sign-in only this machine's own names, and no host is ever trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from onbrand.config import LOCAL_TENANT_ID, Settings
from tests.integration.api.service import Person, Service, assert_problem, running

FORGED = {
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-User-Id": "{member}",
    "X-MS-CLIENT-PRINCIPAL-ID": "{member}",
    "X-MS-CLIENT-PRINCIPAL": "eyJ1c2VySWQiOiJ4In0=",
    "X-Request-Id": "evil7f3a91",
    "X-Original-URL": "/healthz",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": "host=evil.example;proto=https",
}


@pytest.fixture(scope="module")
def anywhere(service: Service, make_entra_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service whose sign-in is elsewhere, on the first one's database."""
    with running(make_entra_settings(), service.database_url) as anywhere:
        yield anywhere


def as_seen(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """An answer without what is new in each."""
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
    body = answer.json() if "json" in headers.get("content-type", "") else answer.text
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in ("request_id", "instance")}
    return answer.status_code, body, headers


async def test_headers_that_proxies_add_mean_nothing(anywhere: Service, member: Person, stranger: Person) -> None:
    forged = {name: value.format(member=member.owner.user_id) for name, value in FORGED.items()} | {
        "Host": "evil.example"
    }
    job_id = await member.submit()
    paths = ["/config.json", "/healthz", "/me", f"/jobs/{job_id}", f"/jobs/{job_id}/images/1", "/nowhere", "/jobs/x"]
    for person in (member, stranger, None):
        headers = {"Authorization": f"Bearer {person.token}"} if person else {}
        async with anywhere.client(headers) as client:
            for path in paths:
                answer = await client.get(path, headers=forged)
                assert as_seen(answer) == as_seen(await client.get(path)), path
                assert "evil" not in answer.text + str(answer.headers)
                assert answer.status_code not in (301, 302, 303, 307, 308)
    async with anywhere.client({"Authorization": f"Bearer {stranger.token}"}) as client:
        assert_problem(await client.get(f"/jobs/{job_id}", headers=forged), 404, "job_not_found")
        accepted = await client.post("/generate", json={"prompt": "a"}, headers=forged)
        assert accepted.headers["location"] == f"/jobs/{accepted.json()['job_id']}"
        job = (await client.get(accepted.headers["location"], headers=forged)).json()
        assert job["user_id"] == str(stranger.owner.user_id)


OTHER_NAMES = [
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.localhost"),
    *("0.0.0.0", "127.0.0.2", "127.1", "2130706433", "0x7f.0.0.1", "[::]", "[::ffff:127.0.0.1]", "192.168.0.2:8000"),
    *("localhost.", "localhost:", "localhost%00.evil.example"),
]


@pytest.mark.parametrize("host", OTHER_NAMES)
def test_the_local_sign_in_is_not_reached_by_another_name(service: Service, member: Person, host: str) -> None:
    # A page elsewhere whose name resolves to 127.0.0.1 would be of one origin with it, and could sign itself in.
    paths = ["/", "/config.json", "/metrics", "/healthz", "/me", f"/{LOCAL_TENANT_ID}/oauth2/v2.0/authorize"]
    for method, path in [*(("GET", path) for path in paths), ("POST", f"/{LOCAL_TENANT_ID}/oauth2/v2.0/token")]:
        head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {member.token}\r\n\r\n"
        answer = service.exchange(head.encode())
        assert_problem(answer, 421, "host_not_allowed")


def test_the_local_sign_in_is_not_reached_without_a_name(service: Service) -> None:
    assert_problem(service.exchange(b"GET /healthz HTTP/1.0\r\n\r\n"), 421, "host_not_allowed")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":{port}", ":5173"])
def test_the_local_sign_in_is_reached_by_this_machines_names_on_any_port(
    service: Service, host: str, port: str
) -> None:
    # Another port is a tunnel's or a development server's; no page elsewhere gains by it.
    head = f"GET /healthz HTTP/1.1\r\nHost: {host}{port.format(port=service.settings.port)}\r\n\r\n"
    assert service.exchange(head.encode()).status_code == 200


def test_an_address_in_the_first_line_is_no_way_round(service: Service) -> None:
    for line in ("GET http://evil.example/healthz", "GET http://localhost/healthz"):
        answer = service.exchange(f"{line} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert_problem(answer, 404, "not_found")
    answer = service.exchange(b"GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert_problem(answer, 421, "host_not_allowed")
