"""Who is calling, and may they come in: the one place that reads bearer tokens.

Every claim is checked here by name; PyJWT only checks the signature (by itself it accepts a token without `exp`, an
`exp` that is a string, and a list of audiences). Nothing of a token is ever logged, and nothing in a token is ever
fetched: neither `jku` and `x5u` in its header nor the address an overage claim names. Answering HTTP is `api`'s.
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
LEEWAY_SECONDS = 60  # for clocks that disagree
MAX_LIFETIME_SECONDS = 25 * 3600
_MAX_NAME = 256
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_signatures = jwt.PyJWS(algorithms=["RS256"])


@dataclass(frozen=True)
class Identity:
    """A person with a valid token."""

    owner: Owner  # the key of everything theirs; names and addresses change and can be claimed by others
    name: str  # to show, never to decide by
    username: str
    refusal: ProblemError | None  # why they may not generate; None for a member

    def require_member(self) -> None:
        """Raise the reason why this person may not generate, if there is one.

        Raises:
            AccessRevoked | GuestRefused | GroupClaimMissing | GroupOverage | NotInGroup
        """
        if self.refusal is not None:
            raise self.refusal


def bearer_token(authorization_headers: Sequence[str]) -> str:
    """The token in the values of all `Authorization` headers of a request.

    Raises:
        TokenMissing: there is not exactly one, its scheme is not Bearer, or the token is empty or over 16 kB.
    """
    if len(authorization_headers) != 1:
        raise TokenMissing
    scheme, _, token = authorization_headers[0].partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise TokenMissing
    return token


class TokenVerifier:
    """Checks tokens of one directory. Blocking; safe to share between threads.

    `now` is the wall clock that tokens are dated by, `clock` the monotonic one that keys age by.
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
            KeysUnavailable: they could not be fetched and there are none from before.
        """
        self._keys.load()

    def verify(self, token: str) -> Identity:
        """The person a token speaks for.

        Raises:
            TokenInvalid | TokenExpired: not a token of this directory for this API, or no longer.
            ClientNotAllowed | AppOnlyToken | ScopeMissing: genuine, but not a person at the studio's page.
            KeysUnavailable: no signing keys to check it with.
        """
        header, claims = _parse(token)
        key_id = _key_id(header)
        # Before the keys, though not proven yet: a token that can't be good must not cost a fetch.
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
    """Who the claims of a correctly signed token speak for; `now` in Unix seconds.

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
    )


def _check_for_us(claims: Mapping[str, Any], directory: Directory, now: float) -> None:
    """Tenant, audience, version, object id and times: what needs no issuer. Comparisons are exact, case included."""
    expected = {"tid": str(directory.tenant_id), "aud": str(directory.api_client_id), "ver": "2.0"}
    if any(claims.get(name) != value for name, value in expected.items()):
        raise TokenInvalid
    if not _is_canonical_uuid(claims.get("oid")):
        raise TokenInvalid
    issued_at, not_before, expires_at = (_seconds(claims, name) for name in ("iat", "nbf", "exp"))
    if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
        raise TokenInvalid
    if max(issued_at, not_before) > now + LEEWAY_SECONDS:
        raise TokenInvalid
    if expires_at <= now - LEEWAY_SECONDS:
        raise TokenExpired


def _check_person_at_our_page(claims: Mapping[str, Any], directory: Directory) -> None:
    # Entra writes `idtyp` only if asked to, so an application's token also shows by its roles without a scope.
    if claims.get("idtyp", "user") != "user" or ("scp" not in claims and "roles" in claims):
        raise AppOnlyToken
    if claims.get("azp") != str(directory.spa_client_id):
        raise ClientNotAllowed
    scopes = claims.get("scp")
    if not isinstance(scopes, str) or SCOPE not in scopes.split(" "):
        raise ScopeMissing


def _refusal(claims: Mapping[str, Any], directory: Directory, issuer: str) -> ProblemError | None:
    """Why this person is not a member. With neither group nor role configured, nobody is one."""
    if UUID(claims["oid"]) in directory.denied_users:
        return AccessRevoked()  # before all else: a token stays good for an hour after its owner has left
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
    # The length first: decoding 10 MB took 0.4 s.
    if len(token) > MAX_TOKEN_BYTES or not _TOKEN.fullmatch(token):
        raise TokenInvalid
    header, claims, _ = token.split(".")
    return _json_object(header), _json_object(claims)


def _key_id(header: Mapping[str, Any]) -> str:
    """The key id of a header we accept: RS256 and no extension. Keys a header brings or points to are not looked at."""
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
    if type(value) is not int or value < 0:  # not isinstance: a bool is an int
        raise TokenInvalid
    return value


def _is_canonical_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _strings(value: object) -> frozenset[str]:
    """The members of a list of strings; nothing for anything else."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    return frozenset()


def _text(claims: Mapping[str, Any], name: str) -> str:
    """A claim to show: at most 256 code points, without the lone surrogates that no answer could encode."""
    value = claims.get(name)
    return value[:_MAX_NAME].encode(errors="replace").decode() if isinstance(value, str) else ""
