"""An identity provider, its issuer, and a verifier that knows only its address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_GROUP_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID, Directory
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from tests.integration.identity.provider import METADATA_PATH, Clock, Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def attacker() -> Iterator[Provider]:
    """A listener nobody must ever connect to."""
    listener = Provider()
    yield listener
    listener.stop()
    assert listener.connections == 0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def key_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")  # one key for all tests: making one takes longer than most of them


@pytest.fixture
def issuer(provider: Provider, key_dir: Path, clock: Clock) -> Issuer:
    issuer = Issuer(provider.url, key_dir, now=clock)
    provider.speak_for(issuer)
    return issuer


@pytest.fixture
def directory(provider: Provider) -> Directory:
    return Directory(
        tenant_id=LOCAL_TENANT_ID,
        api_client_id=LOCAL_API_CLIENT_ID,
        spa_client_id=LOCAL_SPA_CLIENT_ID,
        group_id=LOCAL_GROUP_ID,
        role=None,
        allow_guests=False,
        metadata_url=provider.url + METADATA_PATH,
    )


@pytest.fixture
def verifier(directory: Directory, clock: Clock) -> TokenVerifier:
    return TokenVerifier(directory, now=clock, clock=clock)


@pytest.fixture
def private_key(issuer: Issuer, key_dir: Path) -> rsa.RSAPrivateKey:
    """The issuer's own key: for tokens that are genuinely signed and wrong in one other respect."""
    assert issuer
    key = load_pem_private_key((key_dir / "signing-key.pem").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key
