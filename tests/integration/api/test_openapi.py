"""The OpenAPI document compared with the service: the document names the answer to every request.

Schemathesis makes the requests, good and bad. What it cannot find (lone surrogates, NaN, raw bytes) has its own tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
import schemathesis
from psycopg.conninfo import make_conninfo
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from onbrand.api import app
from onbrand.config import LOCAL_REVIEWER_ROLE, LOCAL_TENANT_ID, REPOSITORY, Settings
from onbrand.database.migrations import migrate
from onbrand.jobs.models import Owner
from onbrand.local.people import PEOPLE
from onbrand.local.postgres import EmbeddedPostgres
from tests.integration.api.service import Service, running

KEPT = REPOSITORY / "web" / "openapi.json"
# What the document cannot say of a prompt: it must show something, and is counted after it was normalised.
_PROMPT_RULE = 422
_GOOD_ENOUGH = ["2xx", "3xx", "404", "409", "410", _PROMPT_RULE]


@pytest.fixture(scope="module")
def patient(postgres: EmbeddedPostgres, make_settings: Callable[..., Settings]) -> Iterator[Service]:
    """A service without limits to what one person may submit."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create database openapi")
    url = make_conninfo(postgres.url, dbname="openapi")
    migrate(url)
    settings = make_settings(max_queued=10_000, max_queued_per_user=1000, max_submitted_per_minute=10_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_ANSWERS_PER_SECOND", 1000.0)  # one member answers many times
        with running(settings, url) as patient:
            yield patient


@pytest.fixture(scope="module")
def signed_in(patient: Service) -> dict[str, str]:
    """The headers of the requests of a member who may review, too."""
    claims = patient.issuer.access_claims("member") | {"roles": [LOCAL_REVIEWER_ROLE]}
    return {"Authorization": f"Bearer {patient.issuer.sign(claims)}"}


@pytest.fixture(scope="module")
def jobs(patient: Service) -> list[str]:
    """The member's jobs in each state that lasts: complete, failed, kept for its full time."""

    async def make() -> list[str]:
        async with patient.person(oid=str(PEOPLE["member"].object_id)) as member:
            member = replace(member, owner=Owner(LOCAL_TENANT_ID, PEOPLE["member"].object_id))
            complete, _ = await member.complete()
            failed = await member.submit()
            await member.http.delete(f"/jobs/{failed}")
            return [complete, failed, await member.expired()]

    return asyncio.run(make())


document = schemathesis.openapi.from_path(
    KEPT,
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": 40, "deterministic": True},
            "checks": {"positive_data_acceptance": {"expected-statuses": _GOOD_ENOUGH}},
        }
    ),
)


@document.parametrize()
def test_every_answer_is_one_that_the_document_names(case: Any, patient: Service, signed_in: dict[str, str]) -> None:
    case.call_and_validate(base_url=patient.url, headers=signed_in, timeout=5)


@document.include(path_regex="job_id").parametrize()
def test_every_answer_about_a_job_that_exists_is_one_that_the_document_names(
    case: Any, patient: Service, signed_in: dict[str, str], jobs: list[str]
) -> None:
    for job_id in jobs:
        case.path_parameters = {**case.path_parameters, "job_id": job_id}
        # What was wrong with a request may have been the id that was just put right.
        case.call_and_validate(
            base_url=patient.url, headers=signed_in, timeout=5, excluded_checks=[negative_data_rejection]
        )


@document.parametrize()
def test_without_a_token_the_answers_are_named_too(case: Any, patient: Service) -> None:
    case.call_and_validate(base_url=patient.url, timeout=5, excluded_checks=[positive_data_acceptance])


def test_the_page_is_built_from_this_document(patient: Service) -> None:
    assert httpx.get(f"{patient.url}/openapi.json").json() == json.loads(KEPT.read_text())
