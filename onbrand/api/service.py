"""The routes about the service itself: what the page needs to start, health, readiness and metrics."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from onbrand import __version__, migrations, store, workers
from onbrand.api.deps import ServicesOfProcess
from onbrand.api.schemas import Health, PageConfig, Readiness, SignInConfig
from onbrand.config import Settings, SignIn
from onbrand.errors import DatabaseUnavailable

router = APIRouter()
figures = APIRouter()  # not in production, where they would be public

_WELL_KNOWN = "/v2.0/.well-known/openid-configuration"


def sign_in_config(settings: Settings, stand_in_metadata: dict[str, Any] | None) -> SignInConfig:
    """What MSAL needs: Entra's authority, or the local stand-in's with its metadata spelled out.

    MSAL insists on an https authority, but takes the endpoints from the metadata when it is given, so the stand-in
    may speak http on this machine.
    """
    directory = settings.directory
    scope = f"api://{directory.api_client_id}/access_as_user"
    if settings.auth is SignIn.LOCAL:
        authority = f"https://localhost:{settings.port}/{directory.tenant_id}"
        metadata = json.dumps(stand_in_metadata)
    else:
        authority, metadata = directory.metadata_url.removesuffix(_WELL_KNOWN), None
    return SignInConfig(
        kind=settings.auth.value,
        client_id=directory.spa_client_id,
        authority=authority,
        known_authorities=[urlsplit(authority).netloc],
        scope=scope,
        authority_metadata=metadata,
    )


def issuer_origin(settings: Settings) -> str:
    """The origin the page exchanges codes and tokens with."""
    if settings.auth is SignIn.LOCAL:
        return f"http://localhost:{settings.port}"
    url = urlsplit(settings.directory.metadata_url)
    return f"{url.scheme}://{url.netloc}"


@router.get("/config.json")
async def page_config(request: Request, services: ServicesOfProcess) -> PageConfig:
    """What the page needs before anybody is signed in; public."""
    return PageConfig(
        version=__version__,
        sign_in=request.app.state.sign_in,
        retention_hours=services.settings.retention_hours,
    )


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
async def readyz(services: ServicesOfProcess, response: Response) -> Readiness:
    """Whether a generation could be accepted now."""
    database, ready_workers = False, 0
    try:
        async with services.database.transaction() as connection:
            database = await migrations.is_current(connection)
            ready_workers = await workers.ready_workers(connection) if database else 0
    except DatabaseUnavailable:
        pass  # that is the answer
    keys = services.verifier.keys_loaded
    response.status_code = 200 if database and keys else 503
    return Readiness(ready=database and keys, database=database, keys=keys, workers=ready_workers)


@figures.get("/metrics", include_in_schema=False)
async def metrics(services: ServicesOfProcess) -> Response:
    """Prometheus text."""
    async with services.database.transaction() as connection:
        counts = await store.count_by_status(connection)
        ready_workers = await workers.ready_workers(connection)
    lines = ["# HELP onbrand_jobs Jobs in the database.", "# TYPE onbrand_jobs gauge"]
    lines += [f'onbrand_jobs{{status="{status}"}} {count}' for status, count in counts.items()]
    lines += ["# HELP onbrand_workers_ready Live workers with a loaded model.", "# TYPE onbrand_workers_ready gauge"]
    lines += [f"onbrand_workers_ready {ready_workers}", ""]
    return Response("\n".join(lines), media_type="text/plain; version=0.0.4; charset=utf-8")
