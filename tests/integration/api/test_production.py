"""With production's settings: no local sign-in, no schema, no metrics on the main port, and browsers must use TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from onbrand.config import LOCAL_TENANT_ID, Environment, ModelName, Settings, SignIn
from tests.integration.api.service import Person, Service, assert_problem, running
from tests.system import free_port

TENANT = UUID("0c1b7f5e-3a44-4f0e-9a6e-52a8b7a0d9c3")  # fixed: processes that share the tests compare their names


@pytest.fixture(scope="module")
def production(
    service: Service, make_settings: Callable[..., Settings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service in production whose identity provider cannot be reached."""
    settings = make_settings(
        env=Environment.PRODUCTION,
        auth=SignIn.ENTRA,
        database_url=service.database_url,
        storage_url=tmp_path_factory.mktemp("production").as_uri(),
        model=ModelName.MINI,
        entra_tenant_id=TENANT,
        entra_api_client_id=uuid4(),
        entra_spa_client_id=uuid4(),
        entra_group_id=uuid4(),
        entra_metadata_url=f"https://127.0.0.1:{free_port()}/{TENANT}/v2.0/.well-known/openid-configuration",
    )
    with running(settings, service.database_url) as production:
        yield production


@pytest.mark.parametrize(
    "path",
    [
        *("/openapi.json", "/docs", "/redoc", "/metrics", "/", "/auth.html"),
        *(f"/{LOCAL_TENANT_ID}{path}" for path in ("/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys")),
        *(f"/{LOCAL_TENANT_ID}/oauth2/v2.0/{name}" for name in ("authorize", "token", "logout")),
        *(f"/{TENANT}/v2.0/.well-known/openid-configuration",),
    ],
)
async def test_what_is_for_one_machine_is_not_there(production: Service, path: str) -> None:
    async with production.client() as client:
        for method in ("GET", "POST"):
            assert_problem(await client.request(method, path), 404, "not_found")


async def test_a_token_of_the_local_sign_in_is_worth_nothing(production: Service, member: Person) -> None:
    async with production.client({"Authorization": f"Bearer {member.token}"}) as client:
        assert_problem(await client.get("/me"), 401, "token_invalid")


async def test_without_keys_nobody_is_let_in_and_it_says_so(production: Service) -> None:
    directory = production.settings.directory
    claims = production.issuer.access_claims("member") | {
        "tid": str(directory.tenant_id),
        "aud": str(directory.api_client_id),
        "azp": str(directory.spa_client_id),
        "groups": [str(directory.group_id)],
    }
    async with production.client({"Authorization": f"Bearer {production.issuer.sign(claims)}"}) as client:
        answer = await client.get("/me")
        assert_problem(answer, 503, "keys_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (
            503,
            {"ready": False, "database": True, "keys": False, "workers": 0},
        )


async def test_browsers_are_told_to_insist_on_tls(production: Service) -> None:
    async with production.client() as client:
        for path in ("/healthz", "/nowhere"):
            headers = (await client.get(path)).headers
            assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_the_page_is_sent_to_entra(production: Service) -> None:
    async with production.client() as client:
        sign_in = (await client.get("/config.json")).json()["sign_in"]
    assert (sign_in["kind"], sign_in["authority_metadata"]) == ("entra", None)
    assert sign_in["client_id"] == str(production.settings.entra_spa_client_id)
    assert sign_in["authority"].endswith(f"/{TENANT}")
