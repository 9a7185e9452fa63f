"""The signing keys are fetched again by themselves: a key withdrawn in a quiet night is not accepted at dawn."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onbrand.api import app
from onbrand.config import Directory, Settings
from onbrand.identity import jwks
from onbrand.identity.jwks import SigningKey
from tests.integration.api.service import Service, running
from tests.system import wait_until


def test_the_keys_are_fetched_again_although_nobody_calls(
    service: Service, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def fetch(directory: Directory) -> dict[str, SigningKey]:
        fetched.append(directory)
        return fetch_keys(directory)

    fetch_keys = jwks.fetch_keys
    monkeypatch.setattr(jwks, "fetch_keys", fetch)
    monkeypatch.setattr(jwks, "FRESH_SECONDS", 0.1)
    monkeypatch.setattr(jwks, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(app, "_KEYS_LOOK_SECONDS", 0.1)
    with running(make_settings(), service.database_url):
        wait_until(lambda: len(fetched) > 3, 20)
