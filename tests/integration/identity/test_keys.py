"""The provider's keys during outages, rotations, floods of unknown ids and every kind of wrong answer.

The S numbers are the security notes' rows.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import jwt
import pytest

from onbrand.config import LOCAL_TENANT_ID, Directory
from onbrand.errors import KeysUnavailable, ProblemError, TokenInvalid
from onbrand.identity import jwks
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from tests.integration.identity.provider import (
    KEYS_PATH,
    METADATA_PATH,
    Answer,
    Clock,
    Provider,
    drips,
    new_rsa_key,
    public_entry,
    says,
    sends,
    wait_until,
)

HOUR = 3600.0


def unknown_key_id(issuer: Issuer, number: int) -> str:
    """A token good in every respect but the signature, under a key id of its own."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": f"unknown{number}"}).encode()).decode()
    return ".".join([header.rstrip("="), *issuer.token_for("member").split(".")[1:]])


def test_s19_a_flood_of_unknown_key_ids_causes_one_fetch_in_five_seconds(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    verifier.load_keys()
    clock.pass_by(6)

    def attempt(number: int) -> type[ProblemError] | None:
        try:
            verifier.verify(unknown_key_id(issuer, number))
        except ProblemError as problem:
            return type(problem)
        return None

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(attempt, range(500))) <= {TokenInvalid, KeysUnavailable}
        assert provider.fetches() == 2
        clock.pass_by(4)
        assert set(threads.map(attempt, range(500))) <= {TokenInvalid, KeysUnavailable}
        assert provider.fetches() == 2
        clock.pass_by(2)
        assert set(threads.map(attempt, range(500))) <= {TokenInvalid, KeysUnavailable}
        assert provider.fetches() == 3


@pytest.fixture
def hesitating(issuer: Issuer, provider: Provider) -> Iterator[Callable[[], Callable[[], None]]]:
    """Calling it makes the provider's keys wait until the test ends, or until what it returns is called."""
    released = threading.Event()

    def hesitates(request: BaseHTTPRequestHandler) -> None:
        released.wait(30)
        says(issuer.keys())(request)

    def begin() -> Callable[[], None]:
        provider.answers[KEYS_PATH] = hesitates
        return released.set

    yield begin
    released.set()


def test_while_the_provider_hesitates_few_wait_with_an_unknown_key_id(
    verifier: TokenVerifier,
    issuer: Issuer,
    clock: Clock,
    hesitating: Callable[[], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jwks, "HESITATION_SECONDS", 30.0)
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 30.0)
    verifier.load_keys()
    clock.pass_by(6)
    release = hesitating()
    with ThreadPoolExecutor(40) as threads:
        attempts = [threads.submit(verifier.verify, unknown_key_id(issuer, number)) for number in range(40)]
        wait_until(lambda: sum(attempt.done() for attempt in attempts) >= 32)
        assert {type(attempt.exception()) for attempt in attempts if attempt.done()} == {KeysUnavailable}
        verifier.verify(issuer.token_for("member")).require_member()
        assert sum(attempt.done() for attempt in attempts) < 40  # the others still wait
        release()


def test_nobody_waits_longer_than_a_moment_for_a_provider_that_hangs(
    verifier: TokenVerifier,
    issuer: Issuer,
    clock: Clock,
    hesitating: Callable[[], Callable[[], None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jwks, "HESITATION_SECONDS", 0.1)
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 30.0)
    verifier.load_keys()
    clock.pass_by(6)
    hesitating()
    started = time.monotonic()
    for number in range(3):
        with pytest.raises(KeysUnavailable):
            verifier.verify(unknown_key_id(issuer, number))
    assert time.monotonic() - started < 20


def test_after_a_fetch_that_failed_the_provider_has_half_a_minute(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    verifier.load_keys()
    provider.answers[KEYS_PATH] = sends(b"", 500)
    clock.pass_by(6)
    for seconds, fetches in ((0, 2), (25, 2), (6, 3)):
        clock.pass_by(seconds)
        with pytest.raises(TokenInvalid):
            verifier.verify(unknown_key_id(issuer, 0))
        assert provider.fetches() == fetches


def test_s19_the_first_tokens_of_all_share_one_fetch(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider
) -> None:
    token = issuer.token_for("member")
    with ThreadPoolExecutor(30) as threads:
        for identity in threads.map(verifier.verify, [token] * 30):
            identity.require_member()
    assert provider.fetches() == 1


def test_s20_an_outage_of_a_day_locks_nobody_out(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    verifier.load_keys()
    provider.answers.clear()
    provider.stop()
    for _ in range(24):
        clock.pass_by(HOUR)
        verifier.verify(issuer.token_for("member")).require_member()
    assert verifier.keys_loaded
    clock.pass_by(1)
    assert not verifier.keys_loaded
    with pytest.raises(KeysUnavailable):
        verifier.verify(issuer.token_for("member"))


FAILURES: dict[str, Answer] = {
    "an error": sends(b"{}", 503),
    "html": sends(b"<html>Sign in to the network</html>"),
    "no object": sends(b"[]"),
    "no keys": sends(b"{}"),
    "an empty list": sends(b'{"keys": []}'),
    "keys that are no list": sends(b'{"keys": {"kid": "a"}}'),
    "entries that are no keys": sends(
        b'{"keys": [7, null, "a", {"kid": "a"}, {"kid": "a", "kty": "RSA", "n": 7, "e": 1}]}'
    ),
    "deep json": sends(b"[" * 100_000),
    "100 MB": sends(b'{"keys": [], "padding": "' + b"x" * 2_000_000),
    "drip in the header": drips(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "drip in the body": drips(b'HTTP/1.1 200 OK\r\n\r\n{"keys": [], "padding": "'),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("document", ["metadata", "keys"])
def test_s21_whatever_the_provider_answers_the_old_keys_stay(
    verifier: TokenVerifier,
    issuer: Issuer,
    provider: Provider,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: str,
    document: str,
) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.5)
    verifier.load_keys()
    provider.answers[KEYS_PATH if document == "keys" else METADATA_PATH] = FAILURES[failure]
    clock.pass_by(HOUR + 1)
    started = time.monotonic()
    verifier.load_keys()
    wait_until(lambda: "keys_refresh_failed" in [getattr(record, "action", "") for record in caplog.records])
    assert time.monotonic() - started < 3
    verifier.verify(issuer.token_for("member")).require_member()

    provider.speak_for(issuer)
    seen = provider.fetches()
    clock.pass_by(31)
    verifier.load_keys()
    assert provider.fetches() == seen + 1  # and the next refresh is not held up by the one that failed


@pytest.mark.parametrize("document", ["metadata", "keys"])
def test_s21_a_redirect_is_not_followed(
    directory: Directory, issuer: Issuer, provider: Provider, attacker: Provider, document: str
) -> None:
    path, body = (KEYS_PATH, issuer.keys()) if document == "keys" else (METADATA_PATH, issuer.metadata())
    for status in (301, 302, 303, 307, 308):
        provider.answers[path] = sends(json.dumps(body).encode(), status, Location=f"{attacker.url}{path}")
        with pytest.raises(KeysUnavailable):
            TokenVerifier(directory).load_keys()


def test_s21_only_a_megabyte_is_read(directory: Directory, issuer: Issuer, provider: Provider) -> None:
    sent = 0

    def endless(request: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        says(issuer.keys())(request)  # good keys, and then blanks, which JSON allows
        for _ in range(100):
            request.wfile.write(b" " * 1_000_000)
            sent += 1

    provider.answers[KEYS_PATH] = endless
    with pytest.raises(KeysUnavailable):
        TokenVerifier(directory).load_keys()
    assert sent < 20  # megabytes: what fits into the sockets' buffers


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: {"kty": "oct", "kid": entry["kid"], "k": "c2VjcmV0"},
        lambda entry: {**entry, "kty": "EC"},
        lambda entry: {**entry, "use": "enc"},
        lambda entry: {**entry, "alg": "RS512"},
        lambda entry: {**entry, "kid": "../../x"},
        lambda entry: {
            **entry,
            "issuer": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
        },
        lambda entry: public_entry(new_rsa_key(1024), kid=entry["kid"]),
        lambda entry: jwt.algorithms.RSAAlgorithm.to_jwk(new_rsa_key(), as_dict=True) | {"kid": entry["kid"]},
    ],
    ids=["oct", "not rsa", "for encryption", "other algorithm", "bad id", "other issuer", "1024 bits", "private"],
)
def test_s21_a_key_of_another_kind_is_ignored(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    entry = issuer.keys()["keys"][0]
    other = public_entry(new_rsa_key(), kid="other")
    provider.answers[KEYS_PATH] = says({"keys": [spoil(entry), other]})
    with pytest.raises(TokenInvalid):
        verifier.verify(issuer.token_for("member"))
    assert verifier.keys_loaded


def test_s21_an_unusable_entry_does_not_hide_the_good_key(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider
) -> None:
    entry = issuer.keys()["keys"][0]
    secret = {"kty": "oct", "kid": entry["kid"], "k": "c2VjcmV0"}
    provider.answers[KEYS_PATH] = says({"keys": [secret, 7, {**entry, "kid": ["a"]}, {**entry, "n": 7}, entry]})
    verifier.verify(issuer.token_for("member")).require_member()


def test_s21_an_id_that_two_keys_share_names_neither(
    directory: Directory, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    entry = issuer.keys()["keys"][0]
    twin = public_entry(new_rsa_key(), kid=entry["kid"])
    other = public_entry(new_rsa_key(), kid="other")
    for keys in ([entry, twin, other], [twin, entry, other]):
        provider.answers[KEYS_PATH] = says({"keys": keys})
        with pytest.raises(TokenInvalid):
            TokenVerifier(directory, now=clock).verify(issuer.token_for("member"))


def test_a_key_for_any_tenant_is_good_for_ours(verifier: TokenVerifier, issuer: Issuer, provider: Provider) -> None:
    entry = issuer.keys()["keys"][0]
    template = issuer.issuer.replace(str(LOCAL_TENANT_ID), "{tenantid}")
    provider.answers[KEYS_PATH] = says({"keys": [{**entry, "issuer": template}]})
    verifier.verify(issuer.token_for("member")).require_member()


def test_s22_after_a_rotation_the_new_key_is_accepted_within_seconds_whatever_others_send(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock, tmp_path: Path
) -> None:
    verifier.verify(issuer.token_for("member"))
    clock.pass_by(6)
    with pytest.raises(TokenInvalid):
        verifier.verify(unknown_key_id(issuer, 0))  # which has caused a fetch
    rotated = Issuer(provider.url, tmp_path / "rotated", now=clock)
    provider.speak_for(rotated)
    clock.pass_by(5)
    verifier.verify(rotated.token_for("member")).require_member()
    with pytest.raises(TokenInvalid):  # the old key is gone with the set it was in
        verifier.verify(issuer.token_for("member"))


def test_while_keys_are_refreshed_people_whose_key_is_known_do_not_wait(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    verifier.load_keys()
    asked, released = threading.Event(), threading.Event()

    def hesitates(request: BaseHTTPRequestHandler) -> None:
        asked.set()
        released.wait(5)
        says(issuer.keys())(request)

    provider.answers[KEYS_PATH] = hesitates
    clock.pass_by(HOUR + 1)
    started = time.monotonic()
    for _ in range(3):
        verifier.verify(issuer.token_for("member")).require_member()
    assert time.monotonic() - started < 1
    assert asked.wait(5)
    released.set()
    clock.pass_by(HOUR - 1)
    wait_until(lambda: provider.fetches() == 2)
    verifier.load_keys()  # fresh since the refresh, so there is no third
    assert provider.fetches() == 2


def test_without_keys_the_answer_is_503_and_recovers_by_itself(
    directory: Directory, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    provider.answers.clear()
    provider.answers[METADATA_PATH] = sends(b"", 500)
    verifier = TokenVerifier(directory, now=clock, clock=clock)
    with pytest.raises(KeysUnavailable) as unavailable:
        verifier.verify(issuer.token_for("member"))
    assert unavailable.value.retry_after_seconds
    assert not verifier.keys_loaded
    provider.speak_for(issuer)
    clock.pass_by(1)
    verifier.verify(issuer.token_for("member")).require_member()
    assert verifier.keys_loaded


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.microsoftonline.com/99999999-9999-4999-8999-999999999999/v2.0"},
        {"issuer": f"https://evil.example/?{LOCAL_TENANT_ID}"},
        {"issuer": f"https://evil.example/x{LOCAL_TENANT_ID}/v2.0"},
        {"issuer": None},
        {"jwks_uri": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "http://192.0.2.1/keys"},
        {"jwks_uri": "http://127.0.0.1.evil.example/keys"},
        {"jwks_uri": "http://127.0.0.1@evil.example/keys"},
        {"jwks_uri": "http://[::1"},
    ],
)
def test_metadata_that_is_not_the_configured_tenants_or_points_elsewhere_is_refused(
    directory: Directory,
    issuer: Issuer,
    provider: Provider,
    changes: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.answers[METADATA_PATH] = says(issuer.metadata() | changes)
    verifier = TokenVerifier(directory)
    with pytest.raises(KeysUnavailable):
        verifier.load_keys()
    assert provider.fetches() == 0
    assert not any(word in caplog.text for word in ("timed out", "resolution", "not known", "unreachable"))


def test_a_plain_http_address_that_is_not_loopback_is_never_called(directory: Directory) -> None:
    away = replace(directory, metadata_url=f"http://192.0.2.1/{LOCAL_TENANT_ID}/v2.0/.well-known/openid-configuration")
    started = time.monotonic()
    with pytest.raises(KeysUnavailable):
        TokenVerifier(away).load_keys()
    assert time.monotonic() - started < 1
