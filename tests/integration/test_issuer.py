"""The local sign-in as a browser and MSAL use it: over real HTTP, with cookies, codes and redirects."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import pytest
import uvicorn
from fastapi import FastAPI

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_GROUP_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID, Directory
from onbrand.errors import ConfigError, TokenInvalid
from onbrand.identity import TokenVerifier
from onbrand.local import issuer as issuer_module
from onbrand.local.issuer import Issuer
from onbrand.local.people import PEOPLE
from onbrand.local.signing_key import load_or_create_key

SCOPE = f"api://{LOCAL_API_CLIENT_ID}/access_as_user openid profile offline_access"
VERIFIER = "a-code-verifier-of-at-least-forty-three-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://localhost:5173/auth.html"


class Clock:
    """Seconds that only pass when a test says so."""

    seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


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


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def key_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
def serve(clock: Clock, key_dir: Path) -> Iterator[Callable[[], Issuer]]:
    """Start an issuer on this machine, always at the same address: calling it again is a restart."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://localhost:{listener.getsockname()[1]}"
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def stop() -> None:
        for server, thread in running:
            server.should_exit = True
            thread.join(5)
        running.clear()

    def start() -> Issuer:
        stop()
        issuer = Issuer(address, key_dir, now=clock)
        app = FastAPI()
        app.include_router(issuer.router())
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.dup()]}, daemon=True)
        thread.start()
        running.append((server, thread))
        return issuer

    yield start
    stop()
    listener.close()


@pytest.fixture(scope="module")
def issuer(serve: Callable[[], Issuer]) -> Issuer:
    return serve()


@pytest.fixture
def browser(issuer: Issuer) -> Iterator[Browser]:
    browser = Browser(issuer)
    yield browser
    browser.http.close()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> TokenVerifier:
    metadata_url = f"{issuer.url}/v2.0/.well-known/openid-configuration"
    directory = Directory(
        LOCAL_TENANT_ID, LOCAL_API_CLIENT_ID, LOCAL_SPA_CLIENT_ID, LOCAL_GROUP_ID, None, False, metadata_url
    )
    return TokenVerifier(directory, now=clock)


# --- signing in ------------------------------------------------------------------------------------------------------


def test_signing_in_ends_with_a_token_the_api_accepts(browser: Browser, verifier: TokenVerifier) -> None:
    tokens = browser.sign_in("member")
    identity = verifier.verify(tokens["access_token"])
    identity.require_member()
    assert identity.name == "Studio member"
    assert set(tokens["scope"].split()) == set(SCOPE.split())


def test_each_account_can_be_chosen(browser: Browser, verifier: TokenVerifier) -> None:
    names = {person: verifier.verify(browser.sign_in(person)["access_token"]).name for person in PEOPLE}
    assert names == {person.key: person.name for person in PEOPLE.values()}


def test_the_id_token_is_for_the_page_and_carries_its_nonce(
    browser: Browser, issuer: Issuer, verifier: TokenVerifier
) -> None:
    tokens = browser.sign_in()
    key = jwt.PyJWK(issuer.keys()["keys"][0])
    claims = jwt.decode(
        tokens["id_token"],
        key,
        audience=str(LOCAL_SPA_CLIENT_ID),
        issuer=issuer.issuer,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},  # the test's clock is not PyJWT's
    )
    assert claims["nonce"] == "the nonce"
    with pytest.raises(TokenInvalid):
        verifier.verify(tokens["id_token"])


def test_the_answer_brings_the_pages_state_back_where_the_page_asked_for_it(browser: Browser) -> None:
    assert browser.choose("member")["state"] == "the state"
    in_query = urlsplit(browser.ask("POST", "member", response_mode="query").headers["location"])
    assert dict(parse_qsl(in_query.query))["state"] == "the state"
    assert not in_query.fragment


def test_the_sign_in_page_offers_every_account_and_repeats_nothing_of_the_request(browser: Browser) -> None:
    response = browser.ask(state="<script>alert(1)</script>", nonce='"><img src=x>')
    assert response.status_code == 200
    assert "<title>Local sign-in (not Microsoft) · Onbrand</title>" in response.text
    assert re.findall(r'<button name="person" value="(\w+)">', response.text) == list(PEOPLE)
    assert "<script" not in response.text
    assert "<img" not in response.text


def test_the_pages_policy_allows_its_own_style_and_no_script(browser: Browser) -> None:
    response = browser.ask()
    policy = response.headers["content-security-policy"]
    style = re.search(r"<style>(.*)</style>", response.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert response.headers["cache-control"] == "no-store"


def test_an_account_that_does_not_exist_cannot_be_chosen(browser: Browser) -> None:
    response = browser.ask("POST", "administrator")
    assert response.status_code == 200
    assert "set-cookie" not in response.headers


# --- sessions --------------------------------------------------------------------------------------------------------


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser) -> None:
    cookie = browser.ask("POST", "member").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert f"path=/{LOCAL_TENANT_ID}" in cookie


def test_silent_sign_in_needs_a_session(browser: Browser) -> None:
    refused = answer(browser.ask(prompt="none"))
    assert refused["error"] == "login_required"
    assert refused["error_description"].startswith("AADSTS50058")
    browser.choose("member")
    assert browser.redeem(answer(browser.ask(prompt="none"))["code"]).status_code == 200


def test_silent_sign_in_never_answers_for_another_account(browser: Browser) -> None:
    browser.choose("member")
    hint = PEOPLE["outsider"].username
    assert answer(browser.ask(prompt="none", login_hint=hint))["error"] == "login_required"
    assert "code" in answer(browser.ask(prompt="none", login_hint=PEOPLE["member"].username))


def test_a_session_signs_in_without_asking_unless_the_page_wants_to_ask(browser: Browser) -> None:
    browser.choose("member")
    assert "code" in answer(browser.ask())
    for prompt in ("login", "select_account"):
        assert browser.ask(prompt=prompt).status_code == 200


def test_signing_out_ends_the_session_and_returns_to_the_page(browser: Browser) -> None:
    browser.choose("member")
    target = "http://localhost:5173/"
    response = browser.http.get("logout", params={"post_logout_redirect_uri": target, "state": "s&t"})
    assert response.headers["location"] == f"{target}?state=s%26t"
    assert answer(browser.ask(prompt="none"))["error"] == "login_required"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "http://localhost:5173.evil.example/",
        "http://localhost:5173@evil.example/",
        "//evil.example/",
        "javascript:alert(1)",
        "",
    ],
)
def test_signing_out_leads_nowhere_else(browser: Browser, target: str) -> None:
    response = browser.http.get("logout", params={"post_logout_redirect_uri": target})
    assert response.status_code == 200
    assert "location" not in response.headers
    assert "You&#x27;re signed out" in response.text


# --- refresh tokens --------------------------------------------------------------------------------------------------


def test_a_refresh_token_brings_new_tokens(browser: Browser, verifier: TokenVerifier, clock: Clock) -> None:
    tokens = browser.sign_in()
    clock.seconds += 7200
    verifier.verify(browser.refresh(tokens["refresh_token"]).json()["access_token"]).require_member()


def test_sessions_survive_a_restart(
    browser: Browser, serve: Callable[[], Issuer], verifier: TokenVerifier, clock: Clock
) -> None:
    tokens = browser.sign_in()
    verifier.load_keys()
    serve()
    verifier.verify(tokens["access_token"]).require_member()
    clock.seconds += 7200
    verifier.verify(browser.refresh(tokens["refresh_token"]).json()["access_token"]).require_member()
    assert "code" in answer(browser.ask(prompt="none"))


def test_a_refresh_token_ends_after_a_day_however_often_it_is_used(browser: Browser, clock: Clock) -> None:
    refresh_token = browser.sign_in()["refresh_token"]
    for _ in range(11):
        clock.seconds += 7200
        refresh_token = browser.refresh(refresh_token).json()["refresh_token"]
    clock.seconds += 7200
    dead = browser.refresh(refresh_token)
    assert dead.status_code == 400
    assert dead.json()["error"] == "invalid_grant"
    assert dead.json()["error_codes"] == [700084]
    assert dead.json()["suberror"] == "bad_token"  # without it MSAL does not try its silent frame


def test_only_a_refresh_token_refreshes(browser: Browser, verifier: TokenVerifier) -> None:
    tokens = browser.sign_in()
    good = tokens["refresh_token"]
    for wrong in (tokens["access_token"], tokens["id_token"], good[:-5] + "AAAAA", "", "x.y.z"):
        assert browser.refresh(wrong).json()["suberror"] == "bad_token"
    assert browser.refresh(good, client_id=str(LOCAL_API_CLIENT_ID)).json()["suberror"] == "bad_token"
    assert browser.refresh(good, scope="User.Read").json()["error"] == "invalid_scope"
    with pytest.raises(TokenInvalid):
        verifier.verify(good)


# --- codes -----------------------------------------------------------------------------------------------------------


def test_a_code_works_once(browser: Browser) -> None:
    code = browser.choose("member")["code"]
    assert browser.redeem(code).status_code == 200
    again = browser.redeem(code)
    assert again.status_code == 400
    assert again.json()["error_codes"] == [70008]


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": VERIFIER + "x"},
        {"code_verifier": ""},
        {"code_verifier": CHALLENGE},
        {"redirect_uri": "http://localhost:8000/auth.html"},
        {"redirect_uri": ""},
        {"client_id": str(LOCAL_API_CLIENT_ID)},
    ],
)
def test_a_code_is_only_for_who_asked_for_it_and_a_wrong_try_ends_it(browser: Browser, changes: dict[str, str]) -> None:
    code = browser.choose("member")["code"]
    assert browser.redeem(code, **changes).json()["error"] == "invalid_grant"
    assert browser.redeem(code).json()["error"] == "invalid_grant"


def test_a_code_lasts_five_minutes(browser: Browser, clock: Clock) -> None:
    early, late = browser.choose("member")["code"], browser.choose("member")["code"]
    clock.seconds += 299
    assert browser.redeem(early).status_code == 200
    clock.seconds += 1
    assert browser.redeem(late).json()["error_codes"] == [70008]


def test_unused_codes_do_not_pile_up(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_module, "MAX_CODES", 3)
    codes = [browser.choose("member")["code"] for _ in range(4)]
    assert browser.redeem(codes[0]).status_code == 400
    assert all(browser.redeem(code).status_code == 200 for code in codes[1:])


# --- requests that are refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://evil.example/auth.html",
        "http://evil.example/auth.html",
        "http://localhost:evil@x/auth.html",
        "http://localhost:8000@evil.example/auth.html",
        "http://localhost:8000.evil.example/auth.html",
        "http://localhost.evil.example/auth.html",
        "http://127.0.0.1.evil.example/auth.html",
        "http://localhost:8000/auth.html/../steal.html",
        "http://localhost:8000/auth.html?next=//evil.example",
        "http://localhost:8000/auth.html#x",
        "http://localhost:8000/auth.html\n",
        "http://localhost:8000\\@evil.example/auth.html",
        "http://localhost:٨٠٠٠/auth.html",
        "http://localhost:8000/",
        "http://192.168.0.2:8000/auth.html",
        "javascript:alert(1)//localhost/auth.html",
        "",
        None,
    ],
)
@pytest.mark.parametrize("prompt", [None, "none"])
def test_a_redirect_address_that_is_not_the_pages_gets_nothing(
    browser: Browser, redirect_uri: str | None, prompt: str | None
) -> None:
    browser.choose("member")
    for response in (
        browser.ask(redirect_uri=redirect_uri, prompt=prompt),
        browser.ask("POST", "member", redirect_uri=redirect_uri, prompt=prompt),
    ):
        assert response.status_code == 400
        assert "AADSTS50011" in response.text
        assert "location" not in response.headers


@pytest.mark.parametrize(
    "redirect_uri", ["http://localhost:8000/auth.html", "http://127.0.0.1:5173/auth.html", "http://localhost/auth.html"]
)
def test_the_page_may_be_on_any_port_of_this_machine(browser: Browser, redirect_uri: str) -> None:
    assert browser.ask("POST", "member", redirect_uri=redirect_uri).headers["location"].startswith(f"{redirect_uri}#")


def test_another_application_gets_nothing(browser: Browser) -> None:
    response = browser.ask(client_id=str(LOCAL_API_CLIENT_ID))
    assert response.status_code == 400
    assert "AADSTS700016" in response.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "https://graph.microsoft.com/User.Read"}, "invalid_scope"),
    ],
)
def test_a_request_entra_would_refuse_is_sent_back_with_its_error(
    browser: Browser, changes: dict[str, Any], error: str
) -> None:
    for refused in (answer(browser.ask(**changes)), browser.choose("member", **changes)):
        assert refused["error"] == error
        assert refused["state"] == "the state"
        assert "code" not in refused


def test_a_form_that_is_too_large_or_no_text_is_not_read(browser: Browser) -> None:
    big = {"grant_type": "refresh_token", "refresh_token": "x" * 9000}
    assert browser.token(**big).json()["error"] == "unsupported_grant_type"
    assert browser.http.post("token", content=b"\xff=\xfe").json()["error"] == "unsupported_grant_type"
    assert browser.http.post("token", content="&".join(f"a{n}=1" for n in range(50))).status_code == 400


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://127.0.0.1:8000", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_only_a_page_on_this_machine_may_read_tokens(browser: Browser, method: str, origin: str, allowed: bool) -> None:
    response = browser.http.request(method, "token", headers={"Origin": origin})
    assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert "access-control-allow-credentials" not in response.headers


# --- the key and the address -----------------------------------------------------------------------------------------


def test_the_key_is_readable_by_its_owner_only_and_kept(tmp_path: Path) -> None:
    first = Issuer("http://localhost:8000", tmp_path / "made" / "here")
    (path,) = (tmp_path / "made" / "here").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Issuer("http://localhost:8000", path.parent).keys() == first.keys()


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_create_key(path).private_numbers().d, range(8)))
    assert len(set(keys)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_key_is_named_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="delete the file"):
        Issuer("http://localhost:8000", tmp_path)
    assert path.read_text() == "-----BEGIN PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://onbrand.example",
        "http://0.0.0.0:8000",
        "http://192.168.0.2:8000",
        "http://localhost:8000/",
        "localhost",
    ],
)
def test_the_stand_in_only_takes_an_address_of_this_machine(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(ConfigError):
        Issuer(base_url, tmp_path)


def test_discovery_says_what_the_issuer_says(issuer: Issuer) -> None:
    metadata = httpx.get(f"{issuer.url}/v2.0/.well-known/openid-configuration").json()
    assert metadata == issuer.metadata()
    assert httpx.get(metadata["jwks_uri"]).json() == issuer.keys()
    assert "d" not in issuer.keys()["keys"][0]
