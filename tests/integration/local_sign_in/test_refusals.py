"""Requests that are refused: foreign addresses, other applications, and everything that Entra would refuse."""

from __future__ import annotations

from typing import Any

import pytest

from onbrand.config import LOCAL_API_CLIENT_ID
from tests.integration.local_sign_in.browser import Browser, answer


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


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:1234"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
def test_a_page_elsewhere_cannot_choose_who_is_signed_in(browser: Browser, headers: dict[str, str]) -> None:
    browser.http.headers.update(headers)
    response = browser.ask("POST", "member")
    assert response.status_code == 403
    assert not {"location", "set-cookie"} & set(response.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},  # what Chromium sends for the form
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8000"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_the_sign_in_pages_own_form_chooses(browser: Browser, headers: dict[str, str]) -> None:
    browser.http.headers.update(headers)
    assert "code" in browser.choose("member")


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
