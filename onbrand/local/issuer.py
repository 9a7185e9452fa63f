"""A stand-in for Microsoft Entra ID v2.0 on one machine. The page's sign-in code works with it unchanged.

It implements the authorization code flow with PKCE, refresh tokens, silent sign-in, sign-out and key discovery. It does
not authenticate anybody: everybody who can reach it may choose an account. So it accepts loopback addresses alone,
`config` refuses it in production, and its tenant id belongs to no real directory. `identity` checks its tokens exactly
as it checks Entra's.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import jwt
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID
from onbrand.errors import ConfigError
from onbrand.identity.tokens import SCOPE
from onbrand.local import oauth, sign_in_page
from onbrand.local.people import PEOPLE, Person
from onbrand.local.signing_key import key_id, load_or_create_key

ACCESS_SECONDS = 3600
REFRESH_SECONDS = 24 * 3600  # as Entra gives a single-page app; a refresh doesn't extend it
CODE_SECONDS = 300
MAX_CODES = 1000
_COOKIE = "onbrand_local_session"


@dataclass(frozen=True)
class _Grant:
    """The permission behind a code or a refresh token."""

    person: Person
    scope: str
    nonce: str | None = None


@dataclass(frozen=True)
class _Code:
    grant: _Grant
    redirect_uri: str
    challenge: str
    expires_at: float


class Issuer:
    """One local directory at `base_url`, a loopback origin such as `http://localhost:8000`.

    The signing key is stored in `key_dir`, and refresh tokens are signed values. So sessions survive a restart.

    Raises:
        ConfigError: `base_url` is not a loopback origin, or the stored key is damaged.
    """

    def __init__(self, base_url: str, key_dir: Path, now: Callable[[], float] = time.time) -> None:
        if not oauth.is_loopback_origin(base_url):
            raise ConfigError("the local sign-in needs a loopback address such as http://localhost:8000")
        self.url = f"{base_url}/{LOCAL_TENANT_ID}"
        self.issuer = f"{self.url}/v2.0"
        self._token_url = f"{self.url}/oauth2/v2.0/token"
        self._now = now
        self._key = load_or_create_key(key_dir / "signing-key.pem")
        self._key_id = key_id(self._key.public_key())
        self._codes: dict[str, _Code] = {}

    def metadata(self) -> dict[str, Any]:
        """The OpenID configuration. The page passes it to MSAL as `authorityMetadata`."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/oauth2/v2.0/authorize",
            "token_endpoint": self._token_url,
            "end_session_endpoint": f"{self.url}/oauth2/v2.0/logout",
            "jwks_uri": f"{self.url}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": sorted(oauth.OPENID_SCOPES),
            "token_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": "RS256", "issuer": self.issuer}]}

    def sign(self, claims: dict[str, Any], *, token_type: str = "JWT") -> str:
        """A token with exactly these claims."""
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id, "typ": token_type})

    def access_claims(self, person: str, scope: str = SCOPE) -> dict[str, Any]:
        """The claims of an access token for `person`, a key of `PEOPLE`."""
        client = {"azp": str(LOCAL_SPA_CLIENT_ID), "azpacr": "0"}
        return self._claims(PEOPLE[person], LOCAL_API_CLIENT_ID) | client | {"scp": scope}

    def token_for(self, person: str) -> str:
        """The access token that the page would get for `person`."""
        return self.sign(self.access_claims(person))

    def router(self) -> APIRouter:
        """The endpoints, at the same paths as Entra's."""
        router = APIRouter(prefix=f"/{LOCAL_TENANT_ID}", include_in_schema=False)
        router.add_api_route("/v2.0/.well-known/openid-configuration", self._get_metadata, methods=["GET"])
        router.add_api_route("/discovery/v2.0/keys", self._get_keys, methods=["GET"])
        router.add_api_route("/oauth2/v2.0/authorize", self._authorize, methods=["GET", "POST"])
        router.add_api_route("/oauth2/v2.0/token", self._token, methods=["POST", "OPTIONS"])
        router.add_api_route("/oauth2/v2.0/logout", self._sign_out, methods=["GET"])
        return router

    async def _get_metadata(self) -> Response:
        return JSONResponse(self.metadata())

    async def _get_keys(self) -> Response:
        return JSONResponse(self.keys())

    async def _authorize(self, request: Request) -> Response:
        # The redirect address is checked before any answer goes there: it must be the page's own.
        refusal = oauth.untrusted_client(request)
        if refusal is None and request.method == "POST":
            refusal = oauth.page_elsewhere(request)
        if refusal is not None:
            return refusal
        problem = oauth.authorize_problem(request)
        if problem is not None:
            return oauth.send_back(request, problem)
        person, prompt = _signed_in(request), request.query_params.get("prompt")
        if prompt == "none" and person is None:
            text = "Silent sign-in was asked for, but nobody is signed in."
            return oauth.send_back(request, oauth.error("login_required", 50058, text))
        if request.method == "POST":
            person = PEOPLE.get((await oauth.form(request)).get("person", ""))
        elif prompt in ("login", "select_account"):
            person = None
        if person is None:
            return HTMLResponse(sign_in_page.choice(PEOPLE.values()), headers=oauth.HEADERS)
        answer = oauth.send_back(request, self._code_for(request, person))
        answer.set_cookie(_COOKIE, person.key, httponly=True, samesite="lax", path=f"/{LOCAL_TENANT_ID}")
        return answer

    def _code_for(self, request: Request, person: Person) -> dict[str, str]:
        query = request.query_params
        while len(self._codes) >= MAX_CODES:
            del self._codes[next(iter(self._codes))]  # the oldest
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(
            _Grant(person, query.get("scope", ""), query.get("nonce")),
            query["redirect_uri"],
            query["code_challenge"],
            self._now() + CODE_SECONDS,
        )
        return {"code": code, "client_info": _client_info(person), "session_state": str(uuid4())}

    async def _token(self, request: Request) -> Response:
        headers = oauth.HEADERS | oauth.cors(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=headers | {"Access-Control-Allow-Methods": "POST"})
        form = await oauth.form(request)
        match form.get("grant_type"):
            case "authorization_code":
                answer = self._redeem_code(form)
            case "refresh_token":
                answer = self._redeem_refresh_token(form)
            case _:
                answer = oauth.error("unsupported_grant_type", 70003, "Use authorization_code or refresh_token.")
        return JSONResponse(answer, 400 if "error" in answer else 200, headers=headers)

    def _redeem_code(self, form: dict[str, str]) -> dict[str, Any]:
        code = self._codes.pop(form.get("code", ""), None)  # gone whatever follows: a code is for one try
        if code is None or code.expires_at <= self._now():
            return oauth.error("invalid_grant", 70008, "The code has expired or was used before.")
        if form.get("client_id") != str(LOCAL_SPA_CLIENT_ID) or form.get("redirect_uri") != code.redirect_uri:
            return oauth.error("invalid_grant", 50011, "The code is another application's or redirect address's.")
        if oauth.s256(form.get("code_verifier", "")) != code.challenge:
            return oauth.error("invalid_grant", 501481, "The code verifier does not match the code challenge.")
        return self._tokens(code.grant, self._now() + REFRESH_SECONDS)

    def _redeem_refresh_token(self, form: dict[str, str]) -> dict[str, Any]:
        try:
            claims = jwt.decode(
                form.get("refresh_token", ""),
                self._key.public_key(),
                algorithms=["RS256"],
                audience=self._token_url,
                options={"require": ["exp", "sub"], "verify_exp": False},  # by our own clock, below
            )
        except jwt.PyJWTError:
            claims = {"sub": "", "exp": 0}
        person = PEOPLE.get(claims["sub"])
        if person is None or claims["exp"] <= self._now() or form.get("client_id") != str(LOCAL_SPA_CLIENT_ID):
            # MSAL only goes on to its silent frame when it reads this suberror.
            text = "The refresh token has expired; a single-page app's has a fixed, limited lifetime."
            return oauth.error("invalid_grant", 700084, text) | {"suberror": "bad_token"}
        scope = form.get("scope") or claims["scope"]
        return oauth.scope_problem(scope) or self._tokens(_Grant(person, scope), claims["exp"])

    def _tokens(self, grant: _Grant, refresh_until: float) -> dict[str, Any]:
        wants_api = oauth.API_SCOPE in grant.scope.split()
        id_claims = self._claims(grant.person, LOCAL_SPA_CLIENT_ID)
        refresh_claims = {
            "aud": self._token_url,  # so that it can't pass for an access token, nor one for it
            "sub": grant.person.key,
            "scope": grant.scope,
            "exp": int(refresh_until),
            "jti": secrets.token_urlsafe(16),
        }
        return {
            "token_type": "Bearer",
            "scope": grant.scope,
            "expires_in": ACCESS_SECONDS,
            "ext_expires_in": ACCESS_SECONDS,
            "access_token": self.sign(self.access_claims(grant.person.key, SCOPE if wants_api else "openid profile")),
            "refresh_token": self.sign(refresh_claims, token_type="refresh"),
            "refresh_token_expires_in": int(refresh_until - self._now()),
            "id_token": self.sign(id_claims | ({"nonce": grant.nonce} if grant.nonce else {})),
            "client_info": _client_info(grant.person),
        }

    def _claims(self, person: Person, application_id: UUID) -> dict[str, Any]:
        now = int(self._now())
        # In Entra, too, the subject of one person differs from application to application.
        subject = hashlib.sha256(f"{application_id} {person.object_id}".encode()).digest()
        return {
            "aud": str(application_id),
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + ACCESS_SECONDS,
            "name": person.name,
            "oid": str(person.object_id),
            "preferred_username": person.username,
            "sub": oauth.unpadded_base64(subject),
            "tid": str(LOCAL_TENANT_ID),
            "uti": secrets.token_urlsafe(16),
            "ver": "2.0",
            **person.membership,
        }

    async def _sign_out(self, request: Request) -> Response:
        target, state = request.query_params.get("post_logout_redirect_uri", ""), request.query_params.get("state")
        answer: Response = oauth.page(200, "You're signed out", "You can close this window.")
        if oauth.is_signed_out_uri(target):
            url = f"{target}?{urlencode({'state': state})}" if state else target
            answer = RedirectResponse(url, 303, headers=oauth.HEADERS)
        answer.delete_cookie(_COOKIE, httponly=True, samesite="lax", path=f"/{LOCAL_TENANT_ID}")
        return answer


def _signed_in(request: Request) -> Person | None:
    """The person in the session cookie; None if the page asks for another person (`login_hint`)."""
    person = PEOPLE.get(request.cookies.get(_COOKIE, ""))
    hint = request.query_params.get("login_hint")
    if person is not None and hint and hint != person.username:
        return None
    return person


def _client_info(person: Person) -> str:
    return oauth.unpadded_base64(json.dumps({"uid": str(person.object_id), "utid": str(LOCAL_TENANT_ID)}).encode())
