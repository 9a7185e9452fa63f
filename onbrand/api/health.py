"""The routes about the service itself: what the page needs to start, health, readiness and metrics."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response

from onbrand import __version__
from onbrand.api.deps import ServicesOfProcess
from onbrand.api.metrics import CONTENT_TYPE
from onbrand.api.problems import MEDIA_TYPE, documented
from onbrand.api.schemas import Health, PageConfig, Readiness, SignInConfig
from onbrand.config import Settings, SignIn
from onbrand.database import migrations
from onbrand.errors import DatabaseUnavailable
from onbrand.jobs import eta, metrics, workers
from onbrand.jobs.eta import round_seconds

router = APIRouter()
metrics_router = APIRouter()  # in production only on a port of its own, since it asks for no token

# 503 is two things here: not ready, or too many visitors.
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Readiness,
        "description": "Not ready",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
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


@router.get("/config.json", responses=documented())
async def page_config(request: Request, services: ServicesOfProcess) -> PageConfig:
    """What the page needs before anybody is signed in; public."""
    return PageConfig(
        version=__version__,
        sign_in=request.app.state.sign_in,
        retention_hours=services.settings.retention_hours,
    )


@router.get("/healthz", responses=documented())
async def healthz() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get("/readyz", responses=documented() | _NOT_READY)
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


@metrics_router.get("/metrics", include_in_schema=False)
async def prometheus(services: ServicesOfProcess) -> Response:
    """Prometheus text. It answers without the database, too, and says so in `onbrand_database_up`."""
    found = usual = None
    try:
        async with services.database.transaction() as connection:
            if await migrations.is_current(connection):
                found = await metrics.collect(connection)
                usual = await eta.usual_drawing(connection)
    except DatabaseUnavailable:
        found = None  # that is the answer
    return Response(
        services.metrics.text(found, round_seconds(usual.typical) if usual else None), media_type=CONTENT_TYPE
    )
