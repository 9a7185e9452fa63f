"""Routes about the service itself: health, readiness, metrics, and the page's configuration."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from onbrand import __version__
from onbrand.config import LOCAL_SPA_CLIENT_ID
from onbrand.jobs import workers
from tests.integration.api.service import PACK, Person, Service


@pytest.fixture
async def anybody(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with service.client() as client:
        yield client


async def test_a_running_process_is_healthy(anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_it_is_ready_without_a_worker_and_counts_those_with_a_model(
    service: Service, anybody: httpx.AsyncClient, member: Person
) -> None:
    answer = await anybody.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "database": True, "keys": True, "workers": 0})
    async with service.transaction() as connection:
        await workers.announce(connection, "w", "loading", PACK)
    assert (await anybody.get("/readyz")).json()["workers"] == 0
    async with service.transaction() as connection:
        await workers.announce(connection, "w", "ready", PACK, ["A teapot"])
    assert (await anybody.get("/readyz")).json()["workers"] == 1
    assert (await member.http.get("/me")).json()["style"] == {
        "name": "Sample brand",
        "version": "1.2.0",
        "reviewed": False,
        "signed_by": None,
        "signed_at": None,
        "examples": ["A teapot"],
    }
    async with service.transaction() as connection:
        await workers.withdraw(connection, "w")
    assert (await anybody.get("/readyz")).json()["workers"] == 0


async def test_the_page_learns_how_to_sign_in(service: Service, anybody: httpx.AsyncClient) -> None:
    answer = await anybody.get("/config.json")
    config = answer.json()
    assert (config["version"], config["retention_hours"]) == (__version__, 720)
    sign_in = config["sign_in"]
    assert (sign_in["kind"], sign_in["client_id"]) == ("local", str(LOCAL_SPA_CLIENT_ID))
    assert json.loads(sign_in["authority_metadata"]) == service.issuer.metadata()
    assert answer.headers["cache-control"] == "private, no-store"


async def test_warming_up_is_cheap_and_may_be_repeated(member: Person) -> None:
    for _ in range(2):
        answer = await member.http.post("/warm")
        assert (answer.status_code, answer.content) == (204, b"")


async def test_the_schema_is_there_locally_and_names_every_route(anybody: httpx.AsyncClient) -> None:
    schema = (await anybody.get("/openapi.json")).json()
    assert {(path, method) for path, operations in schema["paths"].items() for method in operations} == {
        ("/generate", "post"),
        ("/jobs/{job_id}", "get"),
        ("/jobs/{job_id}", "delete"),
        ("/jobs/{job_id}/events", "get"),
        ("/jobs/{job_id}/images/{n}", "get"),
        ("/jobs/{job_id}/saved", "put"),
        ("/jobs/{job_id}/question", "post"),
        ("/jobs/{job_id}/answer", "put"),
        ("/style/limits", "get"),
        ("/style/pictures", "get"),
        ("/style/pictures/{pack_id}/{n}", "get"),
        ("/reviews/{review_id}", "get"),
        ("/reviews/{review_id}/cards/{n}", "get"),
        ("/reviews/{review_id}/cards/{n}/asides/{place}", "get"),
        ("/reviews/{review_id}/verdict", "put"),
        ("/warm", "post"),
        ("/me", "get"),
        ("/config.json", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
    }
