"""Tokens that are forged, malformed or of another application, checked with keys fetched over real HTTP.

What the claims must say, one by one, is in `unit/test_identity_claims.py`; the S numbers are the security notes' rows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_GROUP_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID, Directory
from onbrand.errors import (
    AppOnlyToken,
    ClientNotAllowed,
    GroupClaimMissing,
    GroupOverage,
    GuestRefused,
    NotInGroup,
    ProblemError,
    ScopeMissing,
    TokenExpired,
    TokenInvalid,
)
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from tests.integration.identity.provider import (
    KEYS_PATH,
    Clock,
    Provider,
    new_rsa_key,
    public_entry,
    says,
    sends,
    wait_until,
)

HOUR = 3600.0


def key_id(issuer: Issuer) -> str:
    return str(issuer.keys()["keys"][0]["kid"])


def signed(payload: bytes, key: Any, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.PyJWS().encode(payload, key, algorithm, headers={"typ": "JWT"} | header)


def by_hand(header: object, payload: object, signature: bytes) -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


# --- people ----------------------------------------------------------------------------------------------------------


def test_a_member_comes_in(verifier: TokenVerifier, issuer: Issuer) -> None:
    identity = verifier.verify(issuer.token_for("member"))
    identity.require_member()
    assert identity.owner.tenant_id == LOCAL_TENANT_ID
    assert identity.owner.user_id == UUID("aaaaaaaa-0000-4000-8000-000000000001")


@pytest.mark.parametrize(
    ("person", "reason"), [("outsider", NotInGroup), ("guest", GuestRefused), ("overage", GroupOverage)]
)
def test_s24_s26_the_others_are_known_but_kept_out_and_told_why(
    verifier: TokenVerifier, issuer: Issuer, person: str, reason: type[ProblemError]
) -> None:
    identity = verifier.verify(issuer.token_for(person))
    assert identity.name
    with pytest.raises(reason):
        identity.require_member()


def test_s23_a_directory_that_sends_no_groups_is_named_as_the_cause(verifier: TokenVerifier, issuer: Issuer) -> None:
    claims = issuer.access_claims("member")
    del claims["groups"]
    assert isinstance(verifier.verify(issuer.sign(claims)).refusal, GroupClaimMissing)


def test_s24_the_address_in_an_overage_claim_is_never_followed(
    verifier: TokenVerifier, issuer: Issuer, attacker: Provider
) -> None:
    claims = issuer.access_claims("overage") | {"_claim_sources": {"src1": {"endpoint": attacker.url}}}
    assert isinstance(verifier.verify(issuer.sign(claims)).refusal, GroupOverage)


def test_s27_s31_a_token_is_good_until_it_expires_however_often_it_is_used(
    verifier: TokenVerifier, issuer: Issuer, clock: Clock
) -> None:
    token = issuer.token_for("member")
    clock.pass_by(HOUR + 59)
    verifier.verify(token).require_member()
    verifier.verify(token).require_member()
    clock.pass_by(1)
    with pytest.raises(TokenExpired):
        verifier.verify(token)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://sts.windows.net/11111111-1111-4111-8111-111111111111/"}, TokenInvalid),  # S8
        ({"tid": "99999999-9999-4999-8999-999999999999"}, TokenInvalid),  # S9
        ({"aud": "00000003-0000-0000-c000-000000000000"}, TokenInvalid),  # S10
        ({"aud": str(LOCAL_SPA_CLIENT_ID)}, TokenInvalid),  # S11
        ({"azp": str(LOCAL_API_CLIENT_ID)}, ClientNotAllowed),  # S12
        ({"idtyp": "app"}, AppOnlyToken),  # S13
        ({"scp": "Generate.All"}, ScopeMissing),  # S14
        ({"exp": "9999999999"}, TokenInvalid),  # S16
        ({"nbf": 1_800_000_061}, TokenInvalid),  # S17
        ({"oid": "someone"}, TokenInvalid),  # S30
    ],
)
def test_the_claims_of_a_genuine_token_are_checked(
    verifier: TokenVerifier, issuer: Issuer, changes: dict[str, Any], reason: type[ProblemError]
) -> None:
    token = issuer.sign(issuer.access_claims("member") | changes)
    with pytest.raises(reason):
        verifier.verify(token)


# --- signatures and headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "None", "nOnE", "NONE", "", None])
@pytest.mark.parametrize("signature", [b"", b"x"])
def test_s2_an_unsigned_token_is_refused(
    verifier: TokenVerifier, issuer: Issuer, name: str | None, signature: bytes
) -> None:
    with pytest.raises(TokenInvalid):
        verifier.verify(by_hand({"alg": name, "kid": key_id(issuer)}, issuer.access_claims("member"), signature))


def test_s3_the_public_key_is_no_shared_secret(
    verifier: TokenVerifier, issuer: Issuer, private_key: rsa.RSAPrivateKey
) -> None:
    pem = private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = by_hand({"alg": "HS256", "kid": key_id(issuer)}, issuer.access_claims("member"), b"")
    signature = hmac.digest(pem, unsigned.rstrip(".").encode(), hashlib.sha256)
    with pytest.raises(TokenInvalid):
        verifier.verify(unsigned + base64.urlsafe_b64encode(signature).rstrip(b"=").decode())


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "ES256"])
def test_s4_only_rs256_is_accepted_even_from_the_right_issuer(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, private_key: rsa.RSAPrivateKey, algorithm: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else private_key
    token = signed(json.dumps(issuer.access_claims("member")).encode(), key, algorithm, kid=key_id(issuer))
    with pytest.raises(TokenInvalid):
        verifier.verify(token)
    assert provider.connections == 0  # refused by its header, before any key is needed


@pytest.mark.parametrize("field", ["jku", "x5u", "jwk", "x5c"])
def test_s5_a_key_the_header_brings_or_points_to_is_not_looked_at(
    verifier: TokenVerifier, issuer: Issuer, attacker: Provider, field: str
) -> None:
    rogue = new_rsa_key()
    entry = public_entry(rogue, kid="rogue")
    attacker.answers["/keys"] = says({"keys": [entry]})
    value: Any = {"jwk": entry, "x5c": ["MIIB"]}.get(field, f"{attacker.url}/keys")
    payload = json.dumps(issuer.access_claims("member")).encode()
    for kid in ("rogue", key_id(issuer)):
        with pytest.raises(TokenInvalid):
            verifier.verify(signed(payload, rogue, kid=kid, **{field: value}))


@pytest.mark.parametrize("header", [{"crit": ["b64"], "b64": True}, {"crit": ["exp"]}, {"crit": []}, {"b64": False}])
def test_s6_an_extension_we_do_not_know_is_refused(
    verifier: TokenVerifier, issuer: Issuer, private_key: rsa.RSAPrivateKey, header: dict[str, Any]
) -> None:
    payload = json.dumps(issuer.access_claims("member")).encode()
    genuine = signed(payload, private_key, kid=key_id(issuer))
    verifier.verify(genuine)
    segment = base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": key_id(issuer)} | header).encode()).decode()
    signing_input = f"{segment.rstrip('=')}.{genuine.split('.')[1]}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        signing_input.encode(), private_key
    )
    with pytest.raises(TokenInvalid):
        verifier.verify(f"{signing_input}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")


def test_s7_another_key_under_the_same_id_is_refused(verifier: TokenVerifier, issuer: Issuer) -> None:
    payload = json.dumps(issuer.access_claims("member")).encode()
    with pytest.raises(TokenInvalid):
        verifier.verify(signed(payload, new_rsa_key(), kid=key_id(issuer)))


def test_s7_a_changed_claim_breaks_the_signature(verifier: TokenVerifier, issuer: Issuer) -> None:
    outsider, member = issuer.token_for("outsider").split("."), issuer.token_for("member").split(".")
    with pytest.raises(TokenInvalid):
        verifier.verify(".".join([outsider[0], member[1], outsider[2]]))


_ABSENT = object()


@pytest.mark.parametrize(
    "kid", [_ABSENT, "", None, 7, ["a"], "k" * 257, "k" * 10_000, "../../x", "x' OR 1=1 --", "https://x.example/", "ü"]
)
def test_s18_an_impossible_key_id_is_refused_without_a_fetch(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock, kid: object
) -> None:
    verifier.load_keys()
    clock.pass_by(31)
    header = {"alg": "RS256"} | ({} if kid is _ABSENT else {"kid": kid})
    with pytest.raises(TokenInvalid):
        verifier.verify(by_hand(header, issuer.access_claims("member"), b"x" * 256))
    assert provider.fetches() == 1


# --- malformed tokens ------------------------------------------------------------------------------------------------


def test_s29_a_token_of_10_mb_is_refused_by_its_length(verifier: TokenVerifier, provider: Provider) -> None:
    token = "e" * 5_000_000 + "." + "e" * 5_000_000 + ".e"
    started = time.perf_counter()
    with pytest.raises(TokenInvalid):
        verifier.verify(token)
    assert time.perf_counter() - started < 0.05
    assert provider.connections == 0


def test_s29_even_a_genuine_token_may_not_be_longer_than_16_kb(verifier: TokenVerifier, issuer: Issuer) -> None:
    claims = issuer.access_claims("member")
    verifier.verify(issuer.sign(claims | {"padding": "x" * 10_000})).require_member()
    with pytest.raises(TokenInvalid):
        verifier.verify(issuer.sign(claims | {"padding": "x" * 12_000}))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"[" * 11_000,
        b"[]",
        b"null",
        b"7",
        b"",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        '{"aud": "x"}'.encode("utf-16"),
        b'{"exp": ' + b"9" * 5000 + b"}",
        b'{"aud": 1, "aud": 2}',
    ],
)
def test_s29_a_payload_that_is_no_plain_json_object_is_refused(
    verifier: TokenVerifier, issuer: Issuer, private_key: rsa.RSAPrivateKey, payload: bytes
) -> None:
    with pytest.raises(TokenInvalid):
        verifier.verify(signed(payload, private_key, kid=key_id(issuer)))


def test_s29_a_claim_that_occurs_twice_is_refused_whichever_comes_last(
    verifier: TokenVerifier, issuer: Issuer, private_key: rsa.RSAPrivateKey
) -> None:
    member = json.dumps(issuer.access_claims("member"))
    verifier.verify(signed(member.encode(), private_key, kid=key_id(issuer)))
    twice = member[:-1] + f', "groups": ["{LOCAL_GROUP_ID}"]}}'
    with pytest.raises(TokenInvalid):
        verifier.verify(signed(twice.encode(), private_key, kid=key_id(issuer)))


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_s16_s29_what_only_python_reads_as_json_is_refused(
    verifier: TokenVerifier, issuer: Issuer, private_key: rsa.RSAPrivateKey, constant: str
) -> None:
    member = json.dumps(issuer.access_claims("member"))
    payload = f'{member[:-1]}, "x": {constant}}}'.encode()
    with pytest.raises(TokenInvalid):
        verifier.verify(signed(payload, private_key, kid=key_id(issuer)))


def test_s29_whitespace_padding_and_look_alikes_are_refused(verifier: TokenVerifier, issuer: Issuer) -> None:
    token = issuer.token_for("member")
    header, claims, signature = token.split(".")
    for wrong in (
        f" {token}",
        f"{token}\n",
        f"{header}. {claims}.{signature}",
        f"{header}.{claims}.{signature}=",
        f"{header}.{claims}.{signature}.",
        f"{header}.{claims}",
        f"{header}..{signature}",
        token.replace(".", "．"),
        token.replace("e", "е"),  # the Cyrillic letter
        "",
        "…",
    ):
        with pytest.raises(TokenInvalid):
            verifier.verify(wrong)


def test_a_token_that_cannot_be_good_costs_no_network_call(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    claims = issuer.access_claims("member")
    for changes in ({"aud": "x"}, {"tid": "x"}, {"exp": int(clock()) - 61, "iat": int(clock()) - 99}, {"oid": "x"}):
        with pytest.raises((TokenInvalid, TokenExpired)):
            verifier.verify(issuer.sign(claims | changes))
    assert provider.connections == 0


def test_s56_a_token_of_the_local_sign_in_is_refused_by_a_real_directory(
    verifier: TokenVerifier, issuer: Issuer, directory: Directory, provider: Provider, clock: Clock
) -> None:
    token = issuer.token_for("member")
    verifier.verify(token)
    seen = provider.connections
    real = TokenVerifier(replace(directory, tenant_id=UUID("72f988bf-86f1-41af-91ab-2d7cd011db47")), now=clock)
    with pytest.raises(TokenInvalid):
        real.verify(token)
    assert provider.connections == seen


def test_nothing_of_a_token_reaches_the_log(
    verifier: TokenVerifier, issuer: Issuer, provider: Provider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.sign(issuer.access_claims("member") | {"name": "CANARY-NAME"})
    verifier.verify(token)
    clock.pass_by(31)
    provider.answers[KEYS_PATH] = sends(b"no", 500)
    unknown = by_hand({"alg": "RS256", "kid": "CANARY-KID"}, issuer.access_claims("member"), b"x" * 256)
    for wrong in (unknown, token[:-9] + "CANARYSIG", "CANARY", issuer.sign({"name": "CANARY-NAME"})):
        with pytest.raises(TokenInvalid):
            verifier.verify(wrong)
    wait_until(lambda: "keys_refresh_failed" in [getattr(record, "action", "") for record in caplog.records])
    assert "CANARY" not in caplog.text
    assert token.split(".")[1][:40] not in caplog.text
