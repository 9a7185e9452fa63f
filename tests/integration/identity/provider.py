"""A real HTTP server in place of the identity provider, and a clock. A test controls both."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from onbrand.config import LOCAL_TENANT_ID
from onbrand.local.issuer import Issuer

METADATA_PATH = f"/{LOCAL_TENANT_ID}/v2.0/.well-known/openid-configuration"
KEYS_PATH = f"/{LOCAL_TENANT_ID}/discovery/v2.0/keys"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Provider(ThreadingHTTPServer):
    """An HTTP server in the provider's place: it counts connections and requests, and answers as it is told."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.connections = 0
        self.requests: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.closing = threading.Event()  # ends a drip
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def speak_for(self, issuer: Issuer) -> None:
        self.answers[METADATA_PATH] = says(issuer.metadata())
        self.answers[KEYS_PATH] = says(issuer.keys())

    def fetches(self) -> int:
        return self.requests.count(KEYS_PATH)

    def stop(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        try:
            self.server.answers[self.path](self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def sends(body: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def says(document: object) -> Answer:
    return sends(json.dumps(document).encode())


def drips(before: bytes) -> Answer:
    """Begin with `before`, then one byte at a time, for ever."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(before)
        while not request.server.closing.wait(0.05):  # type: ignore[attr-defined]
            request.wfile.write(b"x")

    return answer


class Clock:
    """Seconds that only pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


def new_rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_entry(key: rsa.RSAPrivateKey, **fields: object) -> dict[str, object]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | fields


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        threading.Event().wait(0.01)
