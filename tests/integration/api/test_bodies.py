"""Bodies that are too long, too slow or wrongly declared are refused before any expensive work."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import time

import pytest

from onbrand.api import body
from onbrand.config import LOCAL_TENANT_ID
from onbrand.local import oauth
from tests.integration.api.service import Answer, Person, Service, assert_problem
from tests.system import wait_until

PROMPT = b'{"prompt": "a teapot"}'


async def test_a_body_of_8192_bytes_is_read_and_one_byte_more_is_not(member: Person) -> None:
    padded = json.dumps({"prompt": "a"}).encode().ljust(8192)
    headers = {"Content-Type": "application/json"}
    assert (await member.http.post("/generate", content=padded, headers=headers)).status_code == 202
    answer = await member.http.post("/generate", content=padded + b" ", headers=headers)
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("length", ["8193", "200000000", "999999999", "9999999999", "0" * 12 + "5"])
def test_a_long_body_is_refused_by_its_announcement(service: Service, member: Person, length: str) -> None:
    assert_problem(service.exchange(member.head(f"Content-Length: {length}")), 413, "body_too_large")


def test_a_long_body_is_refused_before_it_is_invited(service: Service, member: Person) -> None:
    answer = service.exchange(member.head("Content-Length: 200000000", "Expect: 100-continue"))
    assert_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("signed_in", [True, False], ids=["signed in", "nobody"])
def test_an_endless_body_ends_with_the_connection(service: Service, member: Person, signed_in: bool) -> None:
    head = member.head("Transfer-Encoding: chunked")
    if not signed_in:
        head = head.replace(member.token.encode(), b"x")
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    with service.connection() as connection:
        connection.sendall(head)
        with pytest.raises(ConnectionError):
            _send_for_ever(connection, chunk, seconds=5)
        answer = Answer.read(connection)
    assert_problem(answer, 413 if signed_in else 401, "body_too_large" if signed_in else "token_invalid")


def _send_for_ever(connection: socket.socket, chunk: bytes, seconds: float) -> None:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        connection.sendall(chunk)


def test_a_gzip_bomb_is_not_unpacked(service: Service, member: Person) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    answer = service.exchange(member.head("Content-Encoding: gzip", f"Content-Length: {len(bomb)}"), bomb)
    assert_problem(answer, 415, "media_type_unsupported")


def test_a_body_that_is_longer_than_it_says_is_cut_there(service: Service, member: Person) -> None:
    answer = service.exchange(member.head("Content-Length: 10"), PROMPT)
    assert_problem(answer, 400, "json_invalid")


def test_a_body_that_is_shorter_than_it_says_is_not_waited_for(
    service: Service, member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "PATIENCE_SECONDS", 0.2)
    with service.connection() as connection:
        connection.sendall(member.head("Content-Length: 100") + PROMPT)
        answer = Answer.read(connection)
        assert connection.recv(1) == b""  # and the connection has ended
    assert_problem(answer, 408, "body_too_slow")


@pytest.mark.parametrize("chunks", [b"not hex\r\n", b"5\r\n{}\r\nX: y\r\n\r\n", b"-1\r\n\r\n"])
def test_a_body_in_broken_chunks_is_not_http(service: Service, member: Person, chunks: bytes) -> None:
    answer = service.exchange(member.head("Transfer-Encoding: chunked"), chunks)
    assert_problem(answer, 400, "http_invalid")


def test_a_body_in_several_chunks_is_one(service: Service, member: Person) -> None:
    answer = service.exchange(
        member.head("Transfer-Encoding: chunked"), b'b\r\n{"prompt": \r\n', b'b\r\n"a teapot"}\r\n0\r\n\r\n'
    )
    assert answer.status_code == 202


async def test_a_client_that_goes_away_in_its_body_is_no_error_of_ours(
    service: Service, member: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with service.connection() as connection:
        connection.sendall(member.head("Content-Length: 100") + PROMPT)
        await asyncio.sleep(0)
        connection.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: [line for line in caplog.records if getattr(line, "action", "") == "answer_request"], 5)
    assert [line for line in caplog.records if line.levelno >= logging.WARNING] == []
    assert await service.execute("select id from job where user_id = %s", member.owner.user_id) == []


async def test_the_connection_goes_on_after_a_body_that_was_refused_unread(service: Service, member: Person) -> None:
    with service.connection() as connection:
        connection.sendall(member.head("Content-Length: 22").replace(member.token.encode(), b"x") + PROMPT)
        assert_problem(Answer.read(connection), 401, "token_invalid")
        connection.sendall(member.head("Content-Length: 22") + PROMPT)
        assert Answer.read(connection).status_code == 202


def test_a_form_of_the_local_sign_in_that_is_shorter_than_it_says_is_not_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "PATIENCE_SECONDS", 0.2)
    head = f"POST /{LOCAL_TENANT_ID}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    assert service.exchange(head.encode() + b"grant_type=").status_code == 400
