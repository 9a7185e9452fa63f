"""What the person who deploys wants, from azd's environment. Everything is checked before anything is made."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from infra.hooks.tools import HookFailed

ROLE, REVIEWER_ROLE = "Onbrand.Generate", "Onbrand.Review"
_DEFAULT_PROFILE = "Consumption-GPU-NC24-A100"


@dataclass(frozen=True)
class Wanted:
    """The choices of docs/deploy.md, step 3."""

    environment: str
    location: str
    resource_group: str
    gpu_profile: str
    group_id: str
    reviewer_group_id: str | None
    budget_usd: float
    fixed_usd: float
    gpu_usd_per_second: float
    email: str
    is_entra_by_hand: bool
    api_client_id: str | None
    spa_client_id: str | None

    @property
    def registry(self) -> str:
        """The name of the registry: in all of Azure, only one has it."""
        group = re.sub(r"[^a-z0-9]", "", self.resource_group.lower())
        return f"onbrand{self.environment}{group}"[:50]


def read_wanted(environment: Mapping[str, str] | None = None) -> Wanted:
    """The choices.

    Raises:
        HookFailed: one is missing or impossible; the line names it and says how it is set.
    """
    values = os.environ if environment is None else environment
    wanted = Wanted(
        environment=_matching(values, "AZURE_ENV_NAME", r"[a-z0-9]{2,12}", "2 to 12 small letters and digits"),
        location=_matching(values, "AZURE_LOCATION", r"[a-z0-9]+", "a region's name, such as swedencentral"),
        resource_group=_matching(values, "AZURE_RESOURCE_GROUP", r"[\w.()-]{1,90}", "a resource group's name"),
        gpu_profile=values.get("ONBRAND_GPU_PROFILE") or _DEFAULT_PROFILE,
        group_id=_id(values, "ONBRAND_GROUP_ID", "the object id of the group whose members may generate"),
        reviewer_group_id=_id(values, "ONBRAND_REVIEWER_GROUP_ID", "a group's object id")
        if values.get("ONBRAND_REVIEWER_GROUP_ID")
        else None,
        budget_usd=_money(values, "ONBRAND_MONTHLY_BUDGET_USD", "50"),
        fixed_usd=_money(values, "ONBRAND_FIXED_USD_PER_MONTH", "22"),
        gpu_usd_per_second=_money(values, "ONBRAND_GPU_USD_PER_SECOND", None),
        email=_matching(values, "ONBRAND_BUDGET_EMAIL", r"[^@\s]+@[^@\s]+\.[^@\s]+", "a mail address"),
        is_entra_by_hand=values.get("ONBRAND_ENTRA_BY_HAND", "").lower() in ("true", "1", "yes"),
        api_client_id=values.get("ONBRAND_ENTRA_API_CLIENT_ID") or None,
        spa_client_id=values.get("ONBRAND_ENTRA_SPA_CLIENT_ID") or None,
    )
    if wanted.budget_usd <= wanted.fixed_usd:
        raise HookFailed(
            f"ONBRAND_MONTHLY_BUDGET_USD is {wanted.budget_usd:g}, and a month costs {wanted.fixed_usd:g} before the"
            " first picture (ONBRAND_FIXED_USD_PER_MONTH): nothing could be drawn"
        )
    if wanted.is_entra_by_hand and not (wanted.api_client_id and wanted.spa_client_id):
        raise HookFailed(
            "ONBRAND_ENTRA_BY_HAND needs ONBRAND_ENTRA_API_CLIENT_ID and ONBRAND_ENTRA_SPA_CLIENT_ID from your"
            " directory's administrator: docs/deploy.md has the steps"
        )
    return wanted


def _matching(values: Mapping[str, str], name: str, pattern: str, meaning: str) -> str:
    value = values.get(name, "")
    if not re.fullmatch(pattern, value):
        raise HookFailed(f"{name} must be {meaning}: azd env set {name} …")
    return value


def _id(values: Mapping[str, str], name: str, meaning: str) -> str:
    try:
        return str(UUID(values.get(name, "")))
    except ValueError:
        raise HookFailed(f"{name} must be {meaning}: azd env set {name} …") from None


def _money(values: Mapping[str, str], name: str, default: str | None) -> float:
    text = values.get(name) or default
    if text is None:
        raise HookFailed(
            f"{name} is not set: the budget needs the price of a second of your GPU profile. docs/deploy.md says where"
            f" it is found: azd env set {name} …"
        )
    if not re.fullmatch(r"\d{1,6}(\.\d{1,8})?", text) or float(text) <= 0:
        raise HookFailed(f"{name} must be an amount in US dollars above 0, such as 22 or 0.001764")
    return float(text)
