"""The hooks, against recording tools: again and again to the same end, and each failure one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from infra.hooks.entra import role_id
from onbrand.config import REPOSITORY
from tests.infra.tenant import DEPLOYED, GROUP, REVIEWERS, Tenant

READ_ONLY = ("account", "containerapp env", "rest --method get", "ad group", "provider list")


def one_line(errors: str) -> str:
    assert errors.startswith("onbrand: ")
    assert errors.count("\n") == 1
    assert len(errors) < 500
    return errors


def first_words(call: str) -> str:
    """A call without what differs from run to run."""
    if "env set" in call:
        return " ".join(call.split()[:4])
    return call.partition(" --headers")[0]


def lasting(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what is random: the password."""
    kept = json.loads(json.dumps(state))
    assert len(kept["env"].pop("ONBRAND_SCALER_PASSWORD", "x" * 32)) >= 24
    return dict(kept)


@pytest.fixture
def tenant(tmp_path: Path) -> Tenant:
    return Tenant(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A tenant in which `preprovision` has run."""
    tenant = Tenant(tmp_path_factory.mktemp("finished"))
    done = tenant.run("preprovision")
    assert done.returncode == 0, done.stderr
    return tenant


def test_it_makes_two_registrations_and_assigns_the_groups(finished: Tenant) -> None:
    state = finished.state
    api, page = (next(app for app in state["apps"].values() if name in app["displayName"]) for name in ("API", "d ("))
    assert api["identifierUris"] == [f"api://{api['appId']}"]
    assert api["api"]["requestedAccessTokenVersion"] == 2
    [scope] = api["api"]["oauth2PermissionScopes"]
    assert scope["value"] == "access_as_user"
    assert {role["value"] for role in api["appRoles"]} == {"Onbrand.Generate", "Onbrand.Review"}
    assert api["api"]["preAuthorizedApplications"] == [
        {"appId": page["appId"], "delegatedPermissionIds": [scope["id"]]}
    ]
    principal = next(one for one in state["principals"].values() if one["appId"] == api["appId"])
    assert principal["appRoleAssignmentRequired"] is True
    assert {(one["principalId"], one["appRoleId"]) for one in principal["assigned"]} == {
        (GROUP, role_id("Onbrand.Generate")),
        (REVIEWERS, role_id("Onbrand.Generate")),
        (REVIEWERS, role_id("Onbrand.Review")),
    }
    assert state["env"]["ONBRAND_ENTRA_API_CLIENT_ID"] == api["appId"]
    assert UUID(state["env"]["ONBRAND_ENTRA_SPA_CLIENT_ID"])


def test_it_remembers_everything_that_the_template_has_no_default_for(finished: Tenant) -> None:
    parameters = json.loads((REPOSITORY / "infra" / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    needed = {value["value"][2:-1] for value in parameters.values() if "=" not in value["value"]}
    chosen = {"ONBRAND_MORE_ORIGINS", "AZURE_ENV_NAME", "AZURE_LOCATION"} | {
        "ONBRAND_GPU_USD_PER_SECOND",
        "ONBRAND_BUDGET_EMAIL",
    }
    assert needed - chosen <= finished.state["env"].keys()


def test_a_second_run_changes_nothing_and_builds_nothing(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    assert tenant.run("preprovision").returncode == 0
    before, made = tenant.state, [call for call in tenant.calls if "acr build" in call]
    assert len(made) == 2
    tenant.fail_at(None)
    again = tenant.run("preprovision")
    assert again.returncode == 0, again.stderr
    assert tenant.state == before
    assert not [call for call in tenant.calls if "acr build" in call or "create --display" in call or "env set" in call]


def test_another_role_in_the_registration_stays(finished: Tenant) -> None:
    other = {"id": "eeeeeeee-0000-4000-8000-000000000005", "value": "Studio.Other"}
    apps = finished.state["apps"]
    api = next(app for app in apps.values() if "API" in app["displayName"])
    api["appRoles"].append(other)
    finished.change(apps=apps)
    assert finished.run("preprovision").returncode == 0
    kept = next(app for app in finished.state["apps"].values() if "API" in app["displayName"])["appRoles"]
    assert other in kept
    assert len(kept) == 3


def test_each_call_may_fail_and_the_next_run_goes_on(tmp_path: Path) -> None:
    whole = Tenant(tmp_path / "whole")
    assert whole.run("preprovision").returncode == 0
    tenant = Tenant(tmp_path / "failing")
    tenant.fail_each_once()
    # Each run ends at a call that has never failed before, until there is none.
    while (failed := tenant.run("preprovision")).returncode != 0:
        assert "Throttled" in one_line(failed.stderr)
        assert len(tenant.failed) < 2 * len(whole.calls)
    assert {first_words(call) for call in whole.calls} <= {first_words(call) for call in tenant.failed}
    assert lasting(tenant.state) == lasting(whole.state)


def test_each_call_after_the_deployment_may_fail_and_the_next_run_goes_on(tmp_path: Path) -> None:
    whole, tenant = Tenant(tmp_path / "whole"), Tenant(tmp_path / "failing")
    for one in (whole, tenant):
        assert one.run("preprovision").returncode == 0
        one.fail_at(None)  # forgets the calls until now
    assert whole.run("postprovision", **DEPLOYED).returncode == 0
    tenant.fail_each_once()
    while (failed := tenant.run("postprovision", **DEPLOYED)).returncode != 0:
        assert "Throttled" in one_line(failed.stderr)
        assert len(tenant.failed) < 2 * len(whole.calls)
    assert {first_words(call) for call in whole.calls} <= {first_words(call) for call in tenant.failed}
    assert lasting(tenant.state) == lasting(whole.state)


def test_after_the_deployment_the_sign_in_returns_to_the_page_and_the_database_is_ready(finished: Tenant) -> None:
    for _ in range(2):
        done = finished.run("postprovision", **DEPLOYED)
        assert done.returncode == 0, done.stderr
    pages = [app["spa"]["redirectUris"] for app in finished.state["apps"].values() if "spa" in app]
    assert pages == [["https://page.studio.example/auth.html"]]
    assert "The database is ready" in done.stdout


def test_a_migration_that_failed_says_where_to_look(tenant: Tenant) -> None:
    tenant.change(job_ends_as="Failed")
    failed = tenant.run("postprovision", **DEPLOYED, ONBRAND_ENTRA_BY_HAND="true", **by_hand())
    assert failed.returncode == 1
    assert "ended as Failed: `az containerapp job logs show" in one_line(failed.stderr)


def by_hand() -> dict[str, str]:
    return {"ONBRAND_ENTRA_API_CLIENT_ID": GROUP, "ONBRAND_ENTRA_SPA_CLIENT_ID": REVIEWERS}


def test_what_the_it_department_set_up_by_hand_is_left_alone(tenant: Tenant) -> None:
    done = tenant.run("preprovision", ONBRAND_ENTRA_BY_HAND="true", **by_hand())
    assert done.returncode == 0, done.stderr
    assert not [call for call in tenant.calls if "ad app" in call or "graph" in call]
    told = tenant.run("postprovision", ONBRAND_ENTRA_BY_HAND="true", **by_hand(), **DEPLOYED)
    assert "https://page.studio.example/auth.html" in told.stdout


@pytest.mark.parametrize(
    ("choices", "changes", "said"),
    [
        ({"AZURE_LOCATION": "atlantis"}, {}, "this subscription has no region atlantis"),
        ({"AZURE_LOCATION": "Sweden Central!"}, {}, "AZURE_LOCATION must be a region's name"),
        ({}, {"profiles": ["Consumption"]}, "has no profile Consumption-GPU-NC24-A100, only none with a GPU"),
        (
            {"ONBRAND_GPU_PROFILE": "Consumption-GPU-NC80-H100"},
            {},
            "only Consumption-GPU-NC24-A100, Consumption-GPU-NC8",
        ),
        ({}, {"usages": [{"name": {"value": "NCA100"}, "limit": 1, "currentValue": 1}]}, "is used up (1 of 1)"),
        ({}, {"groups": []}, "has no group cccccccc-0000-4000-8000-000000000003: ONBRAND_GROUP_ID"),
        ({}, {"groups": [GROUP]}, "ONBRAND_REVIEWER_GROUP_ID is a group's object id there"),
        ({"ONBRAND_GROUP_ID": "the designers"}, {}, "ONBRAND_GROUP_ID must be the object id of the group"),
        ({"ONBRAND_GPU_USD_PER_SECOND": ""}, {}, "ONBRAND_GPU_USD_PER_SECOND is not set: the budget needs the price"),
        ({"ONBRAND_GPU_USD_PER_SECOND": "-0.001"}, {}, "ONBRAND_GPU_USD_PER_SECOND must be an amount"),
        ({"ONBRAND_GPU_USD_PER_SECOND": "0"}, {}, "ONBRAND_GPU_USD_PER_SECOND must be an amount in US dollars above 0"),
        ({"ONBRAND_GPU_USD_PER_SECOND": "nan"}, {}, "ONBRAND_GPU_USD_PER_SECOND must be an amount"),
        ({"ONBRAND_MONTHLY_BUDGET_USD": "20"}, {}, "ONBRAND_MONTHLY_BUDGET_USD is 20, and a month costs 22"),
        ({"ONBRAND_BUDGET_EMAIL": "nobody"}, {}, "ONBRAND_BUDGET_EMAIL must be a mail address"),
        ({"AZURE_ENV_NAME": "Studio One"}, {}, "AZURE_ENV_NAME must be 2 to 12 small letters and digits"),
        ({"ONBRAND_ENTRA_BY_HAND": "true"}, {}, "ONBRAND_ENTRA_BY_HAND needs ONBRAND_ENTRA_API_CLIENT_ID"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_made(
    tenant: Tenant, choices: dict[str, str], changes: dict[str, Any], said: str
) -> None:
    tenant.change(**changes)
    before = tenant.state
    refused = tenant.run("preprovision", **choices)
    assert refused.returncode == 1
    assert said in one_line(refused.stderr)
    assert tenant.state == before
    assert all(call.removeprefix("az ").startswith(READ_ONLY) for call in tenant.calls)


def test_a_quota_that_nobody_lists_is_told_and_not_refused(tenant: Tenant) -> None:
    tenant.change(usages=[])
    done = tenant.run("preprovision")
    assert done.returncode == 0, done.stderr
    assert "No quota for A100 is listed in swedencentral" in done.stdout


def test_two_registrations_of_one_name_are_refused(tenant: Tenant) -> None:
    twin = {"id": "1", "appId": "2", "displayName": "Onbrand API (studio)"}
    tenant.change(apps={"1": twin, "3": twin | {"id": "3"}})
    refused = tenant.run("preprovision")
    assert "Entra has 2 registrations named Onbrand API (studio)" in one_line(refused.stderr)


def test_a_missing_tool_is_one_line(tenant: Tenant, tmp_path: Path) -> None:
    refused = tenant.run("preprovision", path=str(tmp_path / "nowhere"))
    assert "`az` is not installed or not on the PATH" in one_line(refused.stderr)


def test_the_password_is_in_no_line(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    first = tenant.run("preprovision")
    password = tenant.state["env"]["ONBRAND_SCALER_PASSWORD"]
    assert password not in first.stdout + first.stderr
    number = next(n for n, call in enumerate(tenant.calls, 1) if "ONBRAND_SCALER_PASSWORD" in call)
    failing = Tenant(tmp_path / "failing")
    failing.fail_at(number)
    refused = failing.run("preprovision")
    assert "`azd env set ONBRAND_SCALER_PASSWORD` failed: (Throttled)" in one_line(refused.stderr)
    assert failing.calls[-1].split()[-1] not in refused.stderr


def test_the_page_needs_the_apis_address(tenant: Tenant) -> None:
    refused = tenant.run("predeploy")
    assert "ONBRAND_API_ADDRESS is not known yet" in one_line(refused.stderr)
