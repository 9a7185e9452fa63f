"""Whether Azure can take Onbrand: account, region, GPU profile, quota, groups. It makes nothing but a secret."""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from typing import Any

from infra.hooks.tools import HookFailed, az, remember, say
from infra.hooks.wanted import Wanted

_PROVIDERS = (
    "Microsoft.App",
    "Microsoft.ContainerRegistry",
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Insights",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
    "Microsoft.Web",
)


def preflight(wanted: Wanted) -> None:
    """Look, and stop with one line at the first thing that can't work.

    Raises:
        HookFailed: with the line.
    """
    account = az("account", "show")
    _check_region(wanted)
    _check_profile(wanted)
    _check_quota(wanted, str(account["id"]))
    _check_group(wanted.group_id, "ONBRAND_GROUP_ID", str(account["tenantId"]))
    if wanted.reviewer_group_id is not None:
        _check_group(wanted.reviewer_group_id, "ONBRAND_REVIEWER_GROUP_ID", str(account["tenantId"]))
    states = {str(one["namespace"]): str(one["registrationState"]) for one in az("provider", "list")}
    for provider in _PROVIDERS:
        if states.get(provider) != "Registered":
            az("provider", "register", "--namespace", provider)
    remember("ONBRAND_ENTRA_TENANT_ID", str(account["tenantId"]))
    if not os.environ.get("ONBRAND_SCALER_PASSWORD"):
        remember("ONBRAND_SCALER_PASSWORD", secrets.token_urlsafe(32))
    if not os.environ.get("ONBRAND_BUDGET_START"):
        remember("ONBRAND_BUDGET_START", f"{datetime.now(UTC):%Y-%m}-01")
    say(f"Ready for {wanted.location} with {wanted.gpu_profile}, in the subscription {account['name']}.")


def _check_region(wanted: Wanted) -> None:
    regions = {str(region["name"]) for region in az("account", "list-locations")}
    if wanted.location not in regions:
        raise HookFailed(f"this subscription has no region {wanted.location}: azd env set AZURE_LOCATION …")


def _check_profile(wanted: Wanted) -> None:
    listed = az("containerapp", "env", "workload-profile", "list-supported", "--location", wanted.location)
    names = {str(profile["name"]) for profile in listed}
    if wanted.gpu_profile not in names:
        gpus = sorted(name for name in names if "GPU" in name.upper()) or ["none with a GPU"]
        raise HookFailed(
            f"{wanted.location} has no profile {wanted.gpu_profile}, only {', '.join(gpus)}: set AZURE_LOCATION or"
            " ONBRAND_GPU_PROFILE"
        )


def _check_quota(wanted: Wanted, subscription: str) -> None:
    """Nobody has seen the names of the quotas for GPUs, so one that is missing is told and not refused."""
    url = f"/subscriptions/{subscription}/providers/Microsoft.App/locations/{wanted.location}/usages"
    answer: dict[str, Any] = az("rest", "--method", "get", "--url", f"{url}?api-version=2026-07-01") or {}
    card = wanted.gpu_profile.rpartition("-")[2].lower()
    found = [usage for usage in answer.get("value", []) if card in str(usage["name"]["value"]).lower()]
    for usage in found:
        if float(usage["limit"]) - float(usage["currentValue"]) < 1:
            raise HookFailed(
                f"the quota {usage['name']['value']} in {wanted.location} is used up ({usage['currentValue']:g} of"
                f" {usage['limit']:g}): ask Azure's support for one GPU more, or choose another region"
            )
    if not found:
        say(f"No quota for {card.upper()} is listed in {wanted.location}. If the worker never starts, ask support.")


def _check_group(group: str, setting: str, tenant: str) -> None:
    try:
        az("ad", "group", "show", "--group", group)
    except HookFailed as failed:
        if "not" in str(failed) and ("exist" in str(failed) or "found" in str(failed)):
            raise HookFailed(
                f"the tenant {tenant} has no group {group}: {setting} is a group's object id there, and `az login"
                " --tenant …` chooses the tenant"
            ) from None
        raise
