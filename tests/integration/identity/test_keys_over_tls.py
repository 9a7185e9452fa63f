"""Over https only a trusted certificate is accepted, and no redirect or document leads back to http."""

from __future__ import annotations

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from onbrand.config import Directory
from onbrand.errors import KeysUnavailable
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from tests.certificate import new_certificate
from tests.integration.identity.provider import KEYS_PATH, METADATA_PATH, Clock, Provider, says


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that no system trusts, with its key, in one file."""
    path = tmp_path / "localhost.pem"
    path.write_bytes(b"".join(new_certificate()))
    return path


@pytest.fixture
def over_tls(provider: Provider, certificate: Path, directory: Directory) -> Directory:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    provider.socket = context.wrap_socket(provider.socket, server_side=True, do_handshake_on_connect=False)
    return replace(directory, metadata_url=directory.metadata_url.replace("http://127.0.0.1", "https://localhost"))


def test_the_certificate_must_be_trusted(
    over_tls: Directory,
    issuer: Issuer,
    provider: Provider,
    certificate: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys_url = f"https://localhost:{provider.server_port}{KEYS_PATH}"
    provider.answers[METADATA_PATH] = says(issuer.metadata() | {"jwks_uri": keys_url})
    with pytest.raises(KeysUnavailable):
        TokenVerifier(over_tls).load_keys()
    assert provider.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    TokenVerifier(over_tls, now=clock).verify(issuer.token_for("member")).require_member()


def test_https_metadata_cannot_send_the_key_fetch_back_to_plain_http(
    over_tls: Directory,
    issuer: Issuer,
    provider: Provider,
    attacker: Provider,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    provider.answers[METADATA_PATH] = says(issuer.metadata() | {"jwks_uri": f"{attacker.url}/keys"})
    with pytest.raises(KeysUnavailable):
        TokenVerifier(over_tls).load_keys()
    assert provider.requests == [METADATA_PATH]
