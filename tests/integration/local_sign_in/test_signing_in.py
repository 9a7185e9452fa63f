"""Signing in, staying signed in and signing out."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest

from onbrand.config import LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID
from onbrand.errors import TokenInvalid
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from onbrand.local.people import PEOPLE
from tests.integration.local_sign_in.browser import SCOPE, Browser, answer


def test_signing_in_ends_with_a_token_the_api_accepts(browser: Browser, verifier: TokenVerifier) -> None:
    tokens = browser.sign_in("member")
    identity = verifier.verify(tokens["access_token"])
    identity.require_member()
    assert identity.name == "Studio member"
    assert set(tokens["scope"].split()) == set(SCOPE.split())


def test_each_account_can_be_chosen(browser: Browser, verifier: TokenVerifier) -> None:
    names = {person: verifier.verify(browser.sign_in(person)["access_token"]).name for person in PEOPLE}
    assert names == {person.key: person.name for person in PEOPLE.values()}


def test_three_members_and_a_designer_may_generate_each_as_a_person_of_their_own(
    browser: Browser, verifier: TokenVerifier
) -> None:
    admitted = [
        verifier.verify(browser.sign_in(key)["access_token"]) for key in ("member", "second", "third", "designer")
    ]
    for identity in admitted:
        identity.require_member()
    assert len({identity.owner for identity in admitted}) == 4


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
