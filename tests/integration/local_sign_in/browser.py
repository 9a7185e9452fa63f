"""What a browser and the page's sign-in code do, in plain HTTP."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_SPA_CLIENT_ID
from onbrand.local.issuer import Issuer

SCOPE = f"api://{LOCAL_API_CLIENT_ID}/access_as_user openid profile offline_access"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://localhost:5173/auth.html"


class Browser:
    """Cookies, and the requests the page's sign-in code makes."""

    def __init__(self, issuer: Issuer) -> None:
        self.http = httpx.Client(base_url=f"{issuer.url}/oauth2/v2.0/", timeout=5)

    def ask(self, method: str = "GET", person: str | None = None, **changes: str | None) -> httpx.Response:
        query = {
            "client_id": str(LOCAL_SPA_CLIENT_ID),
            "redirect_uri": REDIRECT_URI,
            "response_type": "code",
            "response_mode": "fragment",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "scope": SCOPE,
            "state": "the state",
            "nonce": "the nonce",
        } | changes
        form = {"person": person} if person else None
        present = {name: value for name, value in query.items() if value is not None}
        return self.http.request(method, "authorize", params=present, data=form)

    def choose(self, person: str, **changes: str | None) -> dict[str, str]:
        """Sign in as `person`; the fields of the answer."""
        return answer(self.ask("POST", person, **changes))

    def redeem(self, code: str, **changes: str) -> httpx.Response:
        return self.token(
            **{
                "grant_type": "authorization_code",
                "client_id": str(LOCAL_SPA_CLIENT_ID),
                "redirect_uri": REDIRECT_URI,
                "code_verifier": VERIFIER,
                "code": code,
            }
            | changes
        )

    def refresh(self, refresh_token: str, **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "client_id": str(LOCAL_SPA_CLIENT_ID), "refresh_token": refresh_token}
        return self.token(**form | changes)

    def token(self, **form: str) -> httpx.Response:
        return self.http.post("token", data=form, headers={"Origin": "http://localhost:5173"})

    def sign_in(self, person: str = "member") -> dict[str, Any]:
        """All the way to the tokens."""
        response = self.redeem(self.choose(person)["code"])
        assert response.status_code == 200
        tokens: dict[str, Any] = response.json()
        return tokens


def answer(response: httpx.Response) -> dict[str, str]:
    """The fields of a redirect back to the page."""
    assert response.status_code == 303
    assert response.headers["location"].startswith(f"{REDIRECT_URI}#")
    return dict(parse_qsl(urlsplit(response.headers["location"]).fragment, keep_blank_values=True))
