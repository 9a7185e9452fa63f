"""How long codes and refresh tokens work, how often, and for whom."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onbrand.config import LOCAL_API_CLIENT_ID
from onbrand.errors import TokenInvalid
from onbrand.identity.tokens import TokenVerifier
from onbrand.local import issuer as issuer_module
from onbrand.local.issuer import Issuer
from tests.integration.identity.provider import Clock
from tests.integration.local_sign_in.browser import CHALLENGE, VERIFIER, Browser, answer


def test_a_refresh_token_brings_new_tokens(browser: Browser, verifier: TokenVerifier, clock: Clock) -> None:
    tokens = browser.sign_in()
    clock.pass_by(7200)
    verifier.verify(browser.refresh(tokens["refresh_token"]).json()["access_token"]).require_member()


def test_sessions_survive_a_restart(
    browser: Browser, serve: Callable[[], Issuer], verifier: TokenVerifier, clock: Clock
) -> None:
    tokens = browser.sign_in()
    verifier.load_keys()
    serve()
    verifier.verify(tokens["access_token"]).require_member()
    clock.pass_by(7200)
    verifier.verify(browser.refresh(tokens["refresh_token"]).json()["access_token"]).require_member()
    assert "code" in answer(browser.ask(prompt="none"))


def test_a_refresh_token_ends_after_a_day_however_often_it_is_used(browser: Browser, clock: Clock) -> None:
    refresh_token = browser.sign_in()["refresh_token"]
    for _ in range(11):
        clock.pass_by(7200)
        refresh_token = browser.refresh(refresh_token).json()["refresh_token"]
    clock.pass_by(7200)
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
    clock.pass_by(299)
    assert browser.redeem(early).status_code == 200
    clock.pass_by(1)
    assert browser.redeem(late).json()["error_codes"] == [70008]


def test_unused_codes_do_not_pile_up(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_module, "MAX_CODES", 3)
    codes = [browser.choose("member")["code"] for _ in range(4)]
    assert browser.redeem(codes[0]).status_code == 400
    assert all(browser.redeem(code).status_code == 200 for code in codes[1:])
