"""`GET /config.json`: what the page needs before anybody is signed in, such as where and how to sign in."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request

from onbrand import __version__
from onbrand.api.dependencies import ServicesOfProcess
from onbrand.api.problems import documented
from onbrand.api.schemas import PageConfig, SignInConfig
from onbrand.config import Settings, SignIn

router = APIRouter()

_WELL_KNOWN = "/v2.0/.well-known/openid-configuration"


def sign_in_config(settings: Settings, stand_in_metadata: dict[str, Any] | None) -> SignInConfig:
    """What MSAL needs: Entra's authority, or the authority and the metadata of the local sign-in.

    MSAL requires an https authority. It takes the endpoints from the metadata if there is any, so the local sign-in
    may use http on this machine.
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
    """The origin that gives the page codes and tokens."""
    if settings.auth is SignIn.LOCAL:
        return f"http://localhost:{settings.port}"
    url = urlsplit(settings.directory.metadata_url)
    return f"{url.scheme}://{url.netloc}"


@router.get("/config.json", responses=documented())
async def page_config(request: Request, services: ServicesOfProcess) -> PageConfig:
    """What the page needs before anybody is signed in. Needs no token."""
    return PageConfig(
        version=__version__,
        sign_in=request.app.state.sign_in,
        retention_hours=services.settings.retention_hours,
    )
