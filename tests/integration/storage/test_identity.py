"""Without a key: tokens of a managed identity. Azurite checks them as Azure does, except their signature."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from onbrand.config import Settings
from onbrand.errors import ObjectStoreRefused, ObjectStoreUnreachable
from onbrand.images.store import ImageStore
from tests.azurite import Azurite, settings_with
from tests.certificate import new_certificate
from tests.integration.storage.places import JOB, PNG

CLIENT_ID = uuid4()


class IdentityEndpoint(ThreadingHTTPServer):
    """What Azure puts beside a container app: it hands out tokens for the machine's identities. The outer edge."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, list[str]]] = []
        self.audience = "https://storage.azure.com"

    def token(self) -> str:
        """Signed by nobody."""
        now = int(time.time())
        claims = {"aud": self.audience, "iss": f"https://sts.windows.net/{uuid4()}/"}
        times = {"iat": now - 5, "nbf": now - 5, "exp": now + 3600}
        parts: tuple[dict[str, object], ...] = ({"alg": "RS256", "typ": "JWT"}, {**claims, **times}, {})
        return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)


class _Handler(BaseHTTPRequestHandler):
    server: IdentityEndpoint

    def do_GET(self) -> None:
        self.server.asked.append(parse_qs(urlsplit(self.path).query))
        is_ours = self.headers["x-identity-header"] == "of this machine"
        token = {"access_token": self.server.token(), "expires_on": str(int(time.time()) + 3600)}
        answer = json.dumps(token | {"resource": "https://storage.azure.com", "token_type": "Bearer"}).encode()
        self.send_response(200 if is_ours else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[IdentityEndpoint]:
    """The endpoint, named as in Azure Container Apps."""
    endpoint = IdentityEndpoint()
    threading.Thread(target=endpoint.serve_forever).start()
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{endpoint.server_port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "of this machine")
    monkeypatch.setenv("AZURE_STORAGE_TOKEN", "somebody else's")  # which obstore would prefer if it could choose
    yield endpoint
    endpoint.shutdown()
    endpoint.server_close()


@pytest.fixture(scope="session")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Azurite, Path]]:
    """Azurite with tokens, which it takes over https only, and its certificate."""
    folder = tmp_path_factory.mktemp("azurite-tls")
    certificate, key = new_certificate()
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)
    options = ("--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem"), "--oauth", "basic")
    azurite = Azurite(folder, *options)
    azurite.start()
    yield azurite, folder / "cert.pem"
    azurite.stop()


@pytest.fixture
def with_key(over_tls: tuple[Azurite, Path], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    azurite, certificate = over_tls
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return settings_with(settings, **azurite.settings(f"images-{uuid4()}"))


@pytest.fixture
def without_key(with_key: Settings) -> Settings:
    return with_key.model_copy(update={"storage_azure_key": None})


@pytest.mark.parametrize("client_id", [None, CLIENT_ID], ids=["the machine's own", "one by its id"])
async def test_a_managed_identity_stores_and_fetches(
    identity: IdentityEndpoint, with_key: Settings, without_key: Settings, client_id: object
) -> None:
    await ImageStore.open(with_key).prepare()  # makes the container, which an identity does not
    images = ImageStore.open(without_key.model_copy(update={"storage_azure_client_id": client_id}))
    await images.prepare()
    assert await images.get(JOB, 1, await images.put(JOB, 1, 1, PNG)) == PNG
    await images.delete_job(JOB)
    assert len(identity.asked) == 1  # one token for all of it
    assert identity.asked[0]["resource"] == ["https://storage.azure.com"]
    assert identity.asked[0].get("client_id") == (None if client_id is None else [str(CLIENT_ID)])


@pytest.mark.usefixtures("identity")
async def test_a_container_that_only_the_key_could_make_is_asked_for_by_name(without_key: Settings) -> None:
    with pytest.raises(ObjectStoreRefused, match=r"The container images-\S+ doesn't exist and couldn't be made\."):
        await ImageStore.open(without_key).prepare()


async def test_an_identity_that_may_not_is_refused_with_the_role_it_needs(
    identity: IdentityEndpoint, with_key: Settings, without_key: Settings
) -> None:
    await ImageStore.open(with_key).prepare()
    identity.audience = "https://elsewhere.example"
    with pytest.raises(ObjectStoreRefused, match="the role Storage Blob Data Contributor"):
        await ImageStore.open(without_key).prepare()


@pytest.mark.usefixtures("identity")
async def test_a_machine_whose_identity_endpoint_refuses_it_is_told_so(
    without_key: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "of another")
    with pytest.raises(ObjectStoreRefused, match=r"\(401\)"):
        await ImageStore.open(without_key).prepare()


async def test_a_machine_without_an_identity_is_told_so(without_key: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/")
    with pytest.raises(ObjectStoreUnreachable, match="that this machine has a managed identity"):
        await ImageStore.open(without_key).check()


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    with_key: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ObjectStoreUnreachable, match="no connection"):
        await ImageStore.open(with_key).check()
