"""HTTP itself: methods, addresses, bytes that are no HTTP, and headers that have no effect here."""

from __future__ import annotations

import contextlib
import re
import socket
from uuid import uuid4

import pytest

from onbrand.config import LOCAL_TENANT_ID
from tests.integration.api.service import Answer, Person, Service, assert_problem

ROUTES = {
    "/generate": "POST",
    "/jobs/{id}": "GET, DELETE",
    "/jobs/{id}/events": "GET",
    "/jobs/{id}/images/1": "GET, HEAD",
    "/jobs/{id}/saved": "PUT",
    "/jobs/{id}/question": "POST",
    "/jobs/{id}/answer": "PUT",
    "/warm": "POST",
    "/me": "GET",
    "/config.json": "GET",
    "/healthz": "GET",
    "/readyz": "GET",
    "/metrics": "GET",
    "/": "GET, HEAD",
    "/auth.html": "GET, HEAD",
    "/assets/app-0123abcd.js": "GET, HEAD",
    f"/{LOCAL_TENANT_ID}/discovery/v2.0/keys": "GET",
}


METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_route_takes_its_methods_and_names_them_to_any_other(member: Person, path: str) -> None:
    address = path.format(id=await member.submit())
    for method in sorted(set(METHODS) - set(ROUTES[path].split(", "))):
        answer = await member.http.request(method, address)
        assert answer.headers["allow"] == ROUTES[path], method
        assert answer.status_code == 405
        assert member.token not in answer.text + str(answer.headers)  # TRACE would echo it
        if method != "HEAD":
            assert_problem(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere", "/jobs", "/jobs/", "/generate/", "/healthz/", "/config.json/", "//", "/GENERATE", "/index.html"),
        *("/assets", "/assets/", "/assets/none.js", "/assets/../index.html", "/assets/%2e%2e/index.html"),
        *("/assets//etc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd", "/assets/%00", "/assets/%ff"),
        *("/assets/" + "a" * 300, "/assets/app-0123abcd.js/x", "/docs", "/redoc", "/docs/oauth2-redirect"),
        *("/.env", "/openapi.yaml", "/canary7f3a91", "/%0d%0aX:%20y"),
    ],
)
async def test_what_is_not_there_is_not_found_without_a_redirect(service: Service, path: str) -> None:
    answer = service.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert_problem(answer, 404, "not_found")
    assert "canary7f3a91" not in answer.content.decode() + str(answer.headers)
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    "sent",
    [
        b"canary\x00\x01\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\xc3\xbc HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e1\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n{}",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n{}",
    ],
)
def test_what_is_no_http_is_a_problem_too_and_the_last_of_its_connection(service: Service, sent: bytes) -> None:
    with service.connection() as connection:
        connection.sendall(sent)
        answer = Answer.read(connection)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
    assert_problem(answer, 400, "http_invalid")
    assert answer.headers["connection"] == "close"
    assert b"canary" not in answer.content


@pytest.mark.parametrize("size", [17_000, 40_000, 200_000, 5_000_000])
def test_a_flood_of_headers_is_cut_off(service: Service, size: int) -> None:
    for flood in (b"X: " + b"a" * size, b"\r\n".join(b"X-%05d: 1" % n for n in range(size // 12))):
        answer = service.exchange(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + flood + b"\r\n\r\n")
        assert_problem(answer, 431, "headers_too_large")


def test_an_address_of_any_length_is_cut_off(service: Service) -> None:
    answer = service.exchange(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert_problem(answer, 431, "headers_too_large")


def test_requests_sent_in_a_row_are_answered_in_a_row(service: Service) -> None:
    with service.connection() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"404"]


async def test_each_answer_has_an_id_of_its_own(member: Person) -> None:
    answers = [await member.http.get(f"/jobs/{uuid4()}") for _ in range(5)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 5


@pytest.mark.parametrize("requested", ["bytes=0-4", "bytes=9999-", "bytes=x", "bytes=5-1"])
@pytest.mark.parametrize("path", ["/", "/assets/app-0123abcd.js"])
async def test_a_page_is_sent_whole_whatever_part_is_asked_for(service: Service, path: str, requested: str) -> None:
    async with service.client({"Range": requested}) as client:
        answer = await client.get(path)
    assert answer.status_code == 200


def test_an_upgrade_is_not_taken(service: Service) -> None:
    for upgrade in ("websocket", "h2c"):
        head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        assert service.exchange(head.encode()).status_code == 200


def test_the_service_can_be_reached_on_loopback_only(service: Service) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the address this machine would use
        address = probe.getsockname()[0]
    with pytest.raises(OSError):  # noqa: PT011  (refused or unreachable: either will do)
        socket.create_connection((address, service.settings.port), timeout=1).close()
