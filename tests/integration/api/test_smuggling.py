"""Bytes that two readers could read as different requests: one refusal, and the connection is closed."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onbrand.api import app, body, protocol
from onbrand.config import Settings
from tests.integration.api.service import Answer, Service, assert_problem, running

POST = b"POST /warm HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"  # what a smuggler would have us answer

AMBIGUOUS = {
    "a line feed alone ends a line": b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n",
    "line feeds alone end the head": b"GET /healthz HTTP/1.1\r\nHost: localhost\n\n",
    "a line feed alone ends the last line": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\n\r\n",
    "a carriage return in a value": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\rz\r\n\r\n",
    "a carriage return before an end": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\r\n\r\n",
    "a carriage return as an end": b"GET /healthz HTTP/1.1\rHost: localhost\r\r",
    "a folded line": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n",
    "a length in a folded line": POST + b"X: y\r\n\tContent-Length: 40\r\n\r\n",
    "a folded first header": b"GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "an empty line first": b"\r\n" + HIDDEN,
    "a space before a colon": POST + b"Content-Length : 40\r\n\r\n",
    "a tab before a colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n",
    "no name": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: y\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\r\n\r\n",
    "a name in parentheses": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n(X): y\r\n\r\n",
    "a name with a zero byte": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX\x00: y\r\n\r\n",
    "a name in another script": "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent\u2010Length: 5\r\n\r\n".encode(),
    "a control character in a value": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \x01\r\n\r\n",
    "a delete character in a value": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: \x7f\r\n\r\n",
    "a vertical tab before a value": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n",
    "the same length twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "two lengths": POST + b"Content-Length: 2\r\ncontent-length: 40\r\n\r\n{}",
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": POST + b"Content-Length: 0x2\r\n\r\n{}",
    "no length": POST + b"Content-Length:\r\n\r\n{}",
    "a length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two encodings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a list of encodings": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a version that is none": b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "a version that is not spoken": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "no version": b"GET /healthz\r\nHost: localhost\r\n\r\n",
    "two spaces in the first line": b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a tab in the first line": b"GET\t/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space after the version": b"GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "an empty host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "a host with a path": b"GET /healthz HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
    "a host with a name in it": b"GET /healthz HTTP/1.1\r\nHost: a@localhost\r\n\r\n",
    "a host with two ports": b"GET /healthz HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n",
    "a host with a port that is none": b"GET /healthz HTTP/1.1\r\nHost: localhost:123456\r\n\r\n",
    "two hosts in one": b"GET /healthz HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n",
}
# The head is good, so whether the body is read at all is for the route to say; but nothing behind it is a request.
AMBIGUOUS_CHUNKS = {
    "a size with a space": b"5 \r\n{   }\r\n0\r\n\r\n",
    "a size in another base": b"0x5\r\n{   }\r\n0\r\n\r\n",
    "a signed size": b"+5\r\n{   }\r\n0\r\n\r\n",
    "a size with underscores": b"0_5\r\n{   }\r\n0\r\n\r\n",
    "a size of seventeen digits": b"00000000000000005\r\n{   }\r\n0\r\n\r\n",
    "no size": b"\r\n{   }\r\n0\r\n\r\n",
    "a line feed after a size": b"5\n{   }\r\n0\r\n\r\n",
    "a line feed in an extension": b"5;a=b\nc\r\n{   }\r\n0\r\n\r\n",
    "a carriage return in an extension": b"5;a\rb\r\n{   }\r\n0\r\n\r\n",
    "a long extension": b"5;" + b"a" * 300 + b"\r\n{   }\r\n0\r\n\r\n",
    "an endless extension": b"5;" + b"a" * 100_000,
    "a line feed after a chunk": b"5\r\n{   }\n0\r\n\r\n",
    "nothing after a chunk": b"5\r\n{   }0\r\n\r\n",
    "a chunk that is longer than it says": b"3\r\n{   }\r\n0\r\n\r\n",
    "a folded trailer": b"5\r\n{   }\r\n0\r\nX: y\r\n z\r\n\r\n",
    "a line feed in a trailer": b"5\r\n{   }\r\n0\r\nX: y\n\r\n",
}


def answers_to(service: Service, *sent: bytes) -> list[bytes]:
    """The statuses of all answers until the service closes the connection."""
    with service.connection() as connection:
        with contextlib.suppress(ConnectionError):
            for part in sent:
                connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65_536):
                received += part
    return re.findall(rb"HTTP/1.1 (\d\d\d)", received)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_ambiguous_head_is_refused_and_what_follows_it_is_not_answered(service: Service, name: str) -> None:
    answer = service.exchange(AMBIGUOUS[name])
    assert_problem(answer, 400, "http_invalid")
    assert answer.headers["connection"] == "close"
    assert answers_to(service, AMBIGUOUS[name] + HIDDEN) == [b"400"]


@pytest.mark.parametrize("name", AMBIGUOUS_CHUNKS)
def test_an_ambiguous_body_is_refused_and_what_follows_it_is_not_answered(service: Service, name: str) -> None:
    token = service.issuer.token_for("member").encode()
    head = CHUNKED.replace(b"/warm", b"/generate").replace(
        b"Host", b"Content-Type: application/json\r\nAuthorization: Bearer " + token + b"\r\nHost"
    )
    assert_problem(service.exchange(head, AMBIGUOUS_CHUNKS[name]), 400, "http_invalid")
    assert answers_to(service, head, AMBIGUOUS_CHUNKS[name] + HIDDEN) == [b"400"]
    # Nobody reads the body of somebody who isn't signed in; the connection ends all the same.
    assert answers_to(service, CHUNKED, AMBIGUOUS_CHUNKS[name] + HIDDEN) in ([b"401"], [b"400"])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\r\nHost:localhost\r\nX:\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost:  localhost \t\r\nX:\ty\tz\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost:8000\r\nX_y: !#$%&'*+-.^`|~\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: [::1]:8000\r\nX: \xc3\xbc\xff\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED.replace(b"POST /warm", b"GET /healthz") + b"2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n",
    ],
)
def test_what_is_merely_unusual_is_answered(service: Service, sent: bytes) -> None:
    assert service.exchange(sent).status_code == 200
    assert service.exchange(*(sent[at : at + 1] for at in range(len(sent)))).status_code == 200


def test_a_head_may_come_in_any_two_parts(service: Service) -> None:
    for at in range(1, len(HIDDEN)):
        assert service.exchange(HIDDEN[:at], HIDDEN[at:]).status_code == 200


# --- bytes that nobody thought of ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient(service: Service, make_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service that waits for nothing, so that each of many tries is over at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "HEAD_SECONDS", 0.1)
        patch.setattr(body, "PATIENCE_SECONDS", 0.1)
        patch.setattr(app, "KEEP_ALIVE_SECONDS", 0.1)
        with running(make_settings(), service.database_url) as impatient:
            yield impatient


PARTS = [
    *(
        b"GET ",
        b"POST ",
        b"HEAD ",
        b"/healthz",
        b"/generate",
        b"/me",
        b"/jobs/x",
        b"?",
        b"%",
        b"%2f",
        b"*",
        b"http://x/",
    ),
    *(
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"Host: localhost\r\n",
        b"Host: x\r\n",
        b"Content-Type: application/json\r\n",
    ),
    *(
        b"Content-Length: 2\r\n",
        b"Content-Length: 9999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Authorization: Bearer a.b.c\r\n"),
    *(
        b"Idempotency-Key: ",
        b"X: ",
        b"Range: bytes=0-\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"\r",
        b"\x00",
        b" ",
        b"\t",
        b":",
    ),
    *(b"{}", b"2\r\n{}\r\n0\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"\xff\xfe", b"a" * 5000),
]
requests = st.lists(st.sampled_from(PARTS) | st.binary(max_size=8), min_size=1, max_size=14).map(b"".join)
nearly_good = st.tuples(st.integers(0, len(HIDDEN)), st.sampled_from(PARTS) | st.binary(max_size=4)).map(
    lambda change: HIDDEN[: change[0]] + change[1] + HIDDEN[change[0] :]
)


class Errors(logging.Handler):
    """Collects what somebody would have to look at."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@settings(max_examples=250, deadline=None, derandomize=True)
@given(sent=requests | nearly_good)
def test_whatever_is_sent_the_answer_is_a_problem_or_none_and_the_service_goes_on(
    impatient: Service, sent: bytes
) -> None:
    logging.getLogger().addHandler(errors := Errors())
    try:
        with impatient.connection() as connection:
            connection.sendall(sent)
            received = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65_536):
                    received += part
        statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d\d\d)", received)]
        assert 500 not in statuses
        refused = [status for status in statuses if status >= 400]
        assert received.count(b"application/problem+json") == len(refused)
        with impatient.connection() as connection:
            connection.sendall(HIDDEN)
            assert Answer.read(connection).status_code == 200
    finally:
        logging.getLogger().removeHandler(errors)
    assert errors.messages == []
