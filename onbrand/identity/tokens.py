"""Who is calling, and whether they may generate: the only module that reads bearer tokens.

Every claim is checked here by name. PyJWT checks the signature alone, because it accepts a token without `exp`, an
`exp` that is a string, and a list of audiences. No part of a token is logged. No address in a token is called:
neither `jku` and `x5u` in its header nor the address in an overage claim. `api` answers HTTP.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from onbrand.config import Directory
from onbrand.errors import (
    AccessRevoked,
    AppOnlyToken,
    ClientNotAllowed,
    GroupClaimMissing,
    GroupOverage,
    GuestRefused,
    NotInGroup,
    NotReviewer,
    ProblemError,
    ScopeMissing,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
)
from onbrand.identity.jwks import SigningKeys, is_key_id
from onbrand.jobs.models import Owner
from onbrand.storage import strict_json

SCOPE = "access_as_user"
MAX_TOKEN_BYTES = 16_384
LEEWAY_SECONDS = 60  # our clock and the provider's may differ by this much
MAX_LIFETIME_SECONDS = 25 * 3600
_MAX_NAME = 256
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_signatures = jwt.PyJWS(algorithms=["RS256"])


@dataclass(frozen=True)
class Identity:
    """A person with a valid token."""

    owner: Owner  # identifies the person; names and e-mail addresses change, and others can claim them
    name: str  # is only shown; no decision depends on it
    username: str
    refusal: ProblemError | None  # why they may not generate; None for a member
    expires_at: int  # Unix seconds; the token is accepted `LEEWAY_SECONDS` longer
    is_reviewer: bool = False  # holds the reviewer role; `require_reviewer` also asks whether they are a member

    def require_member(self) -> None:
        """Do nothing if this person may generate, and raise the reason otherwise.

        Raises:
            AccessRevoked | GuestRefused | GroupClaimMissing | GroupOverage | NotInGroup
        """
        if self.refusal is not None:
            raise self.refusal

    def require_reviewer(self) -> None:
        """Do nothing if this person may review styles, and raise the reason otherwise.

        Raises:
            AccessRevoked | GuestRefused | GroupClaimMissing | GroupOverage | NotInGroup: they are no member.
            NotReviewer: they do not hold the reviewer role, or no such role is configured.
        """
        self.require_member()
        if not self.is_reviewer:
            raise NotReviewer


def bearer_token(authorization_headers: Sequence[str]) -> str:
    """The token of a request. `authorization_headers` are the values of all its `Authorization` headers.

    Raises:
        TokenMissing: there is not exactly one header, its scheme is not Bearer, or the token is empty or over 16 kB.
    """
    if len(authorization_headers) != 1:
        raise TokenMissing
    scheme, _, token = authorization_headers[0].partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise TokenMissing
    return token


class TokenVerifier:
    """Checks tokens of one directory. It blocks, and is safe to share between threads.

    `now` is the wall clock for the times in tokens. `clock` is the monotonic clock for the age of keys.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._now = now
        self._keys = SigningKeys(directory, clock)

    @property
    def keys_loaded(self) -> bool:
        """Whether a token could be checked now without reaching the identity provider."""
        return self._keys.loaded

    def load_keys(self) -> None:
        """Fetch the signing keys unless they are fresh.

        Raises:
            KeysUnavailable: they could not be fetched, and there are none of an earlier fetch.
        """
        self._keys.load()

    def verify(self, token: str) -> Identity:
        """The person whose token this is.

        Raises:
            TokenInvalid | TokenExpired: it is no token of this directory for this API, or its time is over.
            ClientNotAllowed | AppOnlyToken | ScopeMissing: it is genuine, but not of a person at the studio's page.
            KeysUnavailable: there are no signing keys to check it.
        """
        header, claims = _parse(token)
        key_id = _key_id(header)
        # Before the signature is checked: a token that can't be valid must not cause a fetch of keys.
        _check_for_us(claims, self._directory, self._now())
        key = self._keys.find(key_id)
        if key is None:
            raise TokenInvalid
        try:
            _signatures.decode(token, key.public, algorithms=["RS256"])
        except jwt.PyJWTError:
            raise TokenInvalid from None
        return check_claims(claims, self._directory, key.issuer, self._now())


def check_claims(claims: Mapping[str, Any], directory: Directory, issuer: str, now: float) -> Identity:
    """The person in the claims of a correctly signed token. `now` is in Unix seconds.

    Raises:
        TokenInvalid | TokenExpired | ClientNotAllowed | AppOnlyToken | ScopeMissing
    """
    _check_for_us(claims, directory, now)
    if claims.get("iss") != issuer:
        raise TokenInvalid
    _check_person_at_our_page(claims, directory)
    return Identity(
        owner=Owner(directory.tenant_id, UUID(claims["oid"])),
        name=_text(claims, "name") or _text(claims, "preferred_username"),
        username=_text(claims, "preferred_username"),
        refusal=_refusal(claims, directory, issuer),
        expires_at=_seconds(claims, "exp"),
        is_reviewer=directory.reviewer_role in _strings(claims.get("roles")),
    )


def _check_for_us(claims: Mapping[str, Any], directory: Directory, now: float) -> None:
    """Check tenant, audience, version, object id and times, which need no issuer. Case counts in each comparison."""
    expected = {"tid": str(directory.tenant_id), "aud": str(directory.api_client_id), "ver": "2.0"}
    if any(claims.get(name) != value for name, value in expected.items()):
        raise TokenInvalid
    if not _is_canonical_uuid(claims.get("oid")):
        raise TokenInvalid
    if "cnf" in claims:  # bound to a key (RFC 7800): whoever shows it as a plain bearer token may have stolen it
        raise TokenInvalid
    issued_at, not_before, expires_at = (_seconds(claims, name) for name in ("iat", "nbf", "exp"))
    if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
        raise TokenInvalid
    if max(issued_at, not_before) > now + LEEWAY_SECONDS:
        raise TokenInvalid
    if expires_at <= now - LEEWAY_SECONDS:
        raise TokenExpired


def _check_person_at_our_page(claims: Mapping[str, Any], directory: Directory) -> None:
    # Entra writes `idtyp` only if it is configured to. A token with roles and no scope is an application's token too.
    if claims.get("idtyp", "user") != "user" or ("scp" not in claims and "roles" in claims):
        raise AppOnlyToken
    if claims.get("azp") != str(directory.spa_client_id):
        raise ClientNotAllowed
    scopes = claims.get("scp")
    if not isinstance(scopes, str) or SCOPE not in scopes.split(" "):
        raise ScopeMissing


def _refusal(claims: Mapping[str, Any], directory: Directory, issuer: str) -> ProblemError | None:
    """Why this person may not generate; None if they may. If neither group nor role is configured, nobody may."""
    if UUID(claims["oid"]) in directory.denied_users:
        return AccessRevoked()  # first, because a token is valid for an hour after its owner has left the group
    is_guest = claims.get("acct", 0) not in (0, "0") or claims.get("idp", issuer) != issuer
    if is_guest and not directory.allow_guests:
        return GuestRefused()
    if directory.role and directory.role in _strings(claims.get("roles")):
        return None
    if directory.group_id is None:
        return NotInGroup()
    elsewhere = claims.get("_claim_names")
    if "hasgroups" in claims or (isinstance(elsewhere, dict) and "groups" in elsewhere):
        return GroupOverage()
    if "groups" not in claims:
        return GroupClaimMissing()
    return None if str(directory.group_id) in _strings(claims["groups"]) else NotInGroup()


def _parse(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    # The length is checked first: decoding 10 MB took 0.4 s (measured).
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise TokenInvalid
    header, claims, _ = token.split(".")
    return _json_object(header), _json_object(claims)


def _key_id(header: Mapping[str, Any]) -> str:
    """The key id of an acceptable header: RS256 and no extension. Keys and addresses in the header are ignored."""
    if header.get("alg") != "RS256" or "crit" in header or "b64" in header:
        raise TokenInvalid
    if not is_key_id(header.get("kid")):
        raise TokenInvalid
    return str(header["kid"])


def _json_object(segment: str) -> dict[str, Any]:
    try:
        text = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode()
        value = strict_json.loads(text)
    except (ValueError, RecursionError):
        raise TokenInvalid from None
    if not isinstance(value, dict):
        raise TokenInvalid
    return value


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or value < 0:  # not isinstance, because a bool is an int
        raise TokenInvalid
    return value


def _is_canonical_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _strings(value: object) -> frozenset[str]:
    """The members of a list of strings. Empty for any other value."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    return frozenset()


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A claim to show: at most 256 code points, without lone surrogates, which UTF-8 cannot encode."""
    value = claims.get(name)
    return value[:_MAX_NAME].encode(errors="replace").decode() if isinstance(value, str) else ""
