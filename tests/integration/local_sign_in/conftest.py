"""The local sign-in behind a real server, a browser to use it, and a verifier for what it issues."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from onbrand.config import LOCAL_API_CLIENT_ID, LOCAL_GROUP_ID, LOCAL_SPA_CLIENT_ID, LOCAL_TENANT_ID, Directory
from onbrand.identity.tokens import TokenVerifier
from onbrand.local.issuer import Issuer
from tests.integration.identity.provider import Clock
from tests.integration.local_sign_in.browser import Browser


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
