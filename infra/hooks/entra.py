"""Two registrations in Entra: the API with its roles, and the page. Whoever holds a role is let in, by a group.

An administrator of the directory can do the same by hand (docs/deploy.md); then `ONBRAND_ENTRA_BY_HAND` is true.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from infra.hooks.tools import HookFailed, az, graph, remember, say
from infra.hooks.wanted import REVIEWER_ROLE, ROLE, Wanted

# The same in every installation, so that a second run finds what the first one made.
_SCOPE_ID = str(uuid5(NAMESPACE_URL, "onbrand/access_as_user"))
_ROLES = (
    (ROLE, "Generate", "Describe illustrations and get them drawn."),
    (REVIEWER_ROLE, "Review", "Review brand packs, and decide which goes live."),
)


def role_id(value: str) -> str:
    """The id of a role, which is the same in every installation."""
    return str(uuid5(NAMESPACE_URL, f"onbrand/{value}"))


def register(wanted: Wanted) -> None:
    """Bring both registrations, their roles and the groups' assignments to what they must be.

    Raises:
        HookFailed: a call failed, mostly for want of rights in the directory.
    """
    if wanted.is_entra_by_hand:
        say("Entra was set up by hand; its registrations are left alone.")
        return
    api = _application(f"Onbrand API ({wanted.environment})", wanted.api_client_id)
    spa = _application(f"Onbrand ({wanted.environment})", wanted.spa_client_id)
    _shape_api(api, str(spa["appId"]))
    _shape_page(spa, str(api["appId"]))
    principal = _service_principal(str(api["appId"]))
    _service_principal(str(spa["appId"]))
    # Whoever has no role gets no token: non-members are stopped at Microsoft's own page.
    graph("patch", f"/servicePrincipals/{principal}", {"appRoleAssignmentRequired": True})
    _assign(principal, wanted.group_id, ROLE)
    if wanted.reviewer_group_id is not None:
        _assign(principal, wanted.reviewer_group_id, ROLE)
        _assign(principal, wanted.reviewer_group_id, REVIEWER_ROLE)
    remember("ONBRAND_ENTRA_API_CLIENT_ID", str(api["appId"]))
    remember("ONBRAND_ENTRA_SPA_CLIENT_ID", str(spa["appId"]))
    say("Entra has both registrations, and the group is assigned.")


def admit_page(wanted: Wanted) -> None:
    """Let the sign-in return to the page. Its address is known once it was deployed."""
    page = os.environ.get("ONBRAND_PAGE_ADDRESS")
    if page is None:
        raise HookFailed("ONBRAND_PAGE_ADDRESS is not known yet: run `azd provision` first")
    wanted_uri = f"{page}/auth.html"
    if wanted.is_entra_by_hand:
        say(f"Ask for this redirect address (single-page application) in the page's registration: {wanted_uri}")
        return
    spa = _application(f"Onbrand ({wanted.environment})", wanted.spa_client_id)
    known = list(spa.get("spa", {}).get("redirectUris", []))
    if wanted_uri not in known:
        graph("patch", f"/applications/{spa['id']}", {"spa": {"redirectUris": [*known, wanted_uri]}})
    say(f"The sign-in returns to {wanted_uri}.")


def _application(name: str, client_id: str | None) -> dict[str, Any]:
    """The registration with this id or name; it is made if it isn't there."""
    if client_id is not None:
        return dict(az("ad", "app", "show", "--id", client_id))
    found = [app for app in az("ad", "app", "list", "--display-name", name) if app["displayName"] == name]
    if len(found) > 1:
        raise HookFailed(f"Entra has {len(found)} registrations named {name}: delete those that are not Onbrand's")
    if found:
        return dict(found[0])
    return dict(az("ad", "app", "create", "--display-name", name, "--sign-in-audience", "AzureADMyOrg"))


def _shape_api(api: dict[str, Any], spa_client_id: str) -> None:
    ours = [
        {
            "id": role_id(value),
            "value": value,
            "displayName": title,
            "description": description,
            "allowedMemberTypes": ["User"],
            "isEnabled": True,
        }
        for value, title, description in _ROLES
    ]
    others = [role for role in api.get("appRoles", []) if role["value"] not in (ROLE, REVIEWER_ROLE)]
    scope = {
        "id": _SCOPE_ID,
        "value": "access_as_user",
        "type": "User",
        "isEnabled": True,
        "adminConsentDisplayName": "Use Onbrand",
        "adminConsentDescription": "The page calls the API for the person who is signed in.",
        "userConsentDisplayName": "Use Onbrand",
        "userConsentDescription": "The page calls the API for you.",
    }
    path = f"/applications/{api['id']}"
    exposed = {"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": [scope]}
    shape = {"identifierUris": [f"api://{api['appId']}"], "appRoles": [*others, *ours], "api": exposed}
    graph("patch", path, shape)
    # Only now the scope exists, and the page can be allowed it: so nobody has to consent.
    trusted = [{"appId": spa_client_id, "delegatedPermissionIds": [_SCOPE_ID]}]
    graph("patch", path, {"api": {**exposed, "preAuthorizedApplications": trusted}})


def _shape_page(spa: dict[str, Any], api_client_id: str) -> None:
    access = [{"resourceAppId": api_client_id, "resourceAccess": [{"id": _SCOPE_ID, "type": "Scope"}]}]
    graph("patch", f"/applications/{spa['id']}", {"requiredResourceAccess": access})


def _service_principal(client_id: str) -> str:
    found = az("ad", "sp", "list", "--filter", f"appId eq '{client_id}'")
    return str((found[0] if found else az("ad", "sp", "create", "--id", client_id))["id"])


def _assign(principal: str, group: str, role: str) -> None:
    assigned = graph("get", f"/servicePrincipals/{principal}/appRoleAssignedTo")["value"]
    if not any(one["principalId"] == group and one["appRoleId"] == role_id(role) for one in assigned):
        body = {"principalId": group, "resourceId": principal, "appRoleId": role_id(role)}
        graph("post", f"/servicePrincipals/{principal}/appRoleAssignedTo", body)
