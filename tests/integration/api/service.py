"""The HTTP service on a port of its own, people who call it, and jobs brought to any state without a worker."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
from psycopg.rows import dict_row

from onbrand.api.app import StandIn, create_app, serve
from onbrand.config import LOCAL_TENANT_ID, Settings, SignIn
from onbrand.database.pool import Connection
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts
from onbrand.jobs.models import Claim, Owner, Pack, StoredImage
from onbrand.jobs.sweep import SWEEP_LOCK
from onbrand.local.issuer import Issuer
from tests.system import wait_until

PACK = Pack("a" * 64, "Sample brand", "1.2.0")
# The service hands images on as they are; drawing real ones is the model's tests' business.
PNGS = {n: b"\x89PNG\r\n\x1a\n" + bytes([n]) * 3000 for n in (1, 2, 3, 4)}
WEBPS = {n: b"RIFF" + bytes([n]) * 500 for n in PNGS}
_START_SECONDS = 10.0


@dataclass(frozen=True)
class Service:
    """A running service."""

    settings: Settings
    database_url: str
    issuer: Issuer
    images: ImageStore

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.port}"

    def client(self, headers: Mapping[str, str] | None = None) -> httpx.AsyncClient:
        """A client without a token, unless `headers` has one."""
        # verify=False: there is no TLS here, and loading the system's certificates takes longer than most tests.
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, verify=False)

    @asynccontextmanager
    async def person(self, **claims: Any) -> AsyncIterator[Person]:
        """A member nobody has seen before; `claims` replace the token's."""
        owner = Owner(LOCAL_TENANT_ID, uuid4())
        token = self.issuer.sign(self.issuer.access_claims("member") | {"oid": str(owner.user_id)} | claims)
        async with self.client({"Authorization": f"Bearer {token}"}) as client:
            yield Person(self, owner, token, client)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction beside the service's own."""
        connection = await psycopg.AsyncConnection.connect(self.database_url, row_factory=dict_row)
        async with connection:
            yield connection

    @asynccontextmanager
    async def unswept(self) -> AsyncIterator[None]:
        """Keep the sweep away, which forgets deliveries that outnumber the waiting jobs, of all tests together."""
        async with self.transaction() as connection:
            await connection.execute("select pg_advisory_xact_lock(%s)", [SWEEP_LOCK])
            yield

    async def execute(self, sql: str, *values: object) -> list[dict[str, Any]]:
        """Run one statement; the rows it returns."""
        async with self.transaction() as connection:
            cursor = await connection.execute(sql, values)
            return await cursor.fetchall() if cursor.description else []

    async def claim(self, job_id: str) -> Claim:
        """Take the job, as a worker would."""
        async with self.transaction() as connection:
            held = await attempts.claim(connection, UUID(job_id), "worker", pack=PACK, lease_seconds=60)
        assert held is not None
        return held

    async def publish(self, held: Claim, *, prompt_ignored: int = 0, with_renditions: bool = True) -> list[StoredImage]:
        """Store `PNGS` and `WEBPS` and make them the job's result."""
        put, webps = self.images.put, WEBPS if with_renditions else {}
        stored = [await put(held.job_id, held.attempt, n, png, webps.get(n)) for n, png in PNGS.items()]
        async with self.transaction() as connection:
            assert await attempts.publish(connection, held, stored, prompt_ignored=prompt_ignored, retention_hours=720)
        return stored

    def exchange(self, *sent: bytes, seconds: float = 5) -> Answer:
        """Send these bytes as they are, over one connection, and read one answer."""
        with self.connection(seconds) as connection:
            with suppress(ConnectionError):  # it may refuse before it has seen all
                for part in sent:
                    connection.sendall(part)
            return Answer.read(connection)

    @contextmanager
    def connection(self, seconds: float = 5) -> Iterator[socket.socket]:
        """A bare connection to the service."""
        with socket.create_connection(("127.0.0.1", self.settings.port), timeout=seconds) as connection:
            yield connection


@dataclass(frozen=True)
class Person:
    """Somebody with a token, and a client that sends it."""

    service: Service
    owner: Owner
    token: str
    http: httpx.AsyncClient

    def head(self, *lines: str, line: str = "POST /generate HTTP/1.1") -> bytes:
        """The head of a request of theirs, byte for byte, with JSON to come."""
        usual = ["Host: localhost", f"Authorization: Bearer {self.token}", "Content-Type: application/json"]
        return "\r\n".join([line, *usual, *lines, "", ""]).encode("latin-1")

    async def submit(self, prompt: str = "a teapot", **headers: str) -> str:
        """Ask for a generation; the job's id."""
        answer = await self.http.post("/generate", json={"prompt": prompt}, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    async def complete(self, prompt: str = "a teapot") -> tuple[str, list[StoredImage]]:
        """A job of theirs with its four images."""
        job_id = await self.submit(prompt)
        return job_id, await self.service.publish(await self.service.claim(job_id))

    async def expired(self) -> str:
        """A complete job of theirs whose time is over."""
        job_id, _ = await self.complete()
        await self.service.execute("update job set expires_at = now() where id = %s", job_id)
        return job_id


@dataclass(frozen=True)
class Answer:
    """An answer read off a bare connection."""

    status_code: int
    headers: http.client.HTTPMessage
    content: bytes

    @classmethod
    def read(cls, connection: socket.socket) -> Answer:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return cls(response.status, response.headers, response.read())

    def json(self) -> Any:
        return json.loads(self.content)


def assert_problem(answer: httpx.Response | Answer, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is the RFC 9457 problem it should be, whole and traceable; its fields."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.content
    problem: dict[str, Any] = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "instance", "code", "request_id"}
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["type"] == f"urn:onbrand:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"] != ""
    assert problem["instance"] == f"urn:onbrand:request:{problem['request_id']}"
    assert answer.headers["x-content-type-options"] == "nosniff"
    return problem


@contextmanager
def running(settings: Settings, database_url: str, *, web_dir: Path | None = None) -> Iterator[Service]:
    """The service in a thread with a loop of its own, composed as `onbrand api` does."""
    issuer = Issuer(f"http://localhost:{settings.port}", settings.data_dir / "sign-in")
    stand_in = StandIn(issuer.router(), issuer.metadata()) if settings.auth is SignIn.LOCAL else None
    app = create_app(settings, database_url, stand_in=stand_in, web_dir=web_dir)
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve(app, settings, stop))

    thread = threading.Thread(target=run, name="service")
    thread.start()
    try:
        wait_until(lambda: _answers(settings), _START_SECONDS)
        yield Service(settings, database_url, issuer, ImageStore.open(settings))
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive(), "the service did not stop"


def _answers(settings: Settings) -> bool:
    """Whether the process answers and, with the local sign-in, can check a token."""
    try:
        ready = httpx.get(f"http://127.0.0.1:{settings.port}/readyz", timeout=5).json()
    except (httpx.TransportError, ValueError):
        time.sleep(0.02)
        return False
    return settings.auth is not SignIn.LOCAL or bool(ready["keys"])
