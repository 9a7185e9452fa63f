#!/usr/bin/env python3
"""Stands for `az`, `azd`, `node` and `make` on the PATH: it keeps a state like Azure's, and a line for each call.

It is run by the name of the program that it stands for. `RECORDING` is a folder: `state.json`, `calls` (a line for each
call), `fail_at` (the number of the call that fails, from 1), and `fail_once` (what has failed; while this file is
there, a call that isn't in it fails and is added).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["RECORDING"])
TENANT = "aaaaaaaa-0000-4000-8000-000000000001"
STATE: dict[str, Any] = json.loads((FOLDER / "state.json").read_text())


class Refused(Exception):
    """What the real program prints on stderr."""


def new_id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(parts)))


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def answer(program: str, arguments: list[str]) -> Any:
    words = [word for word in arguments if not word.startswith("--")]
    match program, *words:
        case "azd", "env", "set", name, value:
            STATE["env"][name] = value
        case "azd", "env", "new", name:
            STATE["env"]["AZURE_ENV_NAME"] = name
        case "azd", "env", "get-values":
            return "\n".join(f'{name}="{value}"' for name, value in sorted(STATE["env"].items()))
        case ("azd", "auth", "login") | ("az", "login") | ("make", "page") | ("az", "extension", *_):
            pass
        case "node", *_:
            STATE["page"] = arguments[1]
        case "az", "storage", "account", "show", *_:
            return f"/subscriptions/x/{option(arguments, '--name')}"
        case ("az", "storage", "blob", *_) | ("az", "role", "assignment", "create", *_):
            STATE.setdefault("uploads", []).append(arguments)
        case "az", "account", "show", *_:
            return {"id": "bbbbbbbb-0000-4000-8000-000000000002", "tenantId": TENANT, "name": "Studio"}
        case "az", "account", "list-locations", *_:
            return [{"name": name} for name in STATE["regions"]]
        case "az", "containerapp", "env", "workload-profile", *_:
            return [{"name": name} for name in STATE["profiles"]]
        case "az", "provider", "list", *_:
            return [{"namespace": name, "registrationState": state} for name, state in STATE["providers"].items()]
        case "az", "provider", "register", *_:
            STATE["providers"][option(arguments, "--namespace")] = "Registered"
        case "az", "ad", "group", *_:
            if option(arguments, "--group") not in STATE["groups"]:
                raise Refused(
                    "ERROR: Resource 'x' does not exist or one of its queried reference-property is not there"
                )
            return {"id": option(arguments, "--group")}
        case "az", "ad", "signed-in-user", *_:
            return "ffffffff-0000-4000-8000-000000000006"
        case "az", "ad", kind, *_:
            return directory(kind, arguments)
        case "az", "rest", *_:
            return rest(arguments)
        case "az", "group", "create", *_:
            STATE["resource_groups"][option(arguments, "--name")] = option(arguments, "--location")
        case "az", "deployment", *_:
            name = option(arguments, "--parameters").partition("=")[2]
            STATE["registries"].setdefault(name, {})
            return {"properties": {"outputs": {"server": {"value": f"{name}.example"}}}}
        case "az", "acr", *_:
            return registry(arguments)
        case "az", "containerapp", "job", *_:
            return job(arguments)
        case _:
            raise Refused(f"ERROR: nobody recorded {program} {' '.join(arguments)}")
    return None


def directory(kind: str, arguments: list[str]) -> Any:
    action = arguments[2]
    if kind == "app":
        if action == "list":
            return [app for app in STATE["apps"].values() if app["displayName"] == option(arguments, "--display-name")]
        if action == "show":
            found = [app for app in STATE["apps"].values() if app["appId"] == option(arguments, "--id")]
            if not found:
                raise Refused("ERROR: Resource does not exist")
            return found[0]
        name = option(arguments, "--display-name")
        app = {"id": new_id("app", name), "appId": new_id("client", name), "displayName": name}
        STATE["apps"][app["id"]] = app
        return app
    if action == "list":
        client = option(arguments, "--filter").split("'")[1]
        return [principal for principal in STATE["principals"].values() if principal["appId"] == client]
    client = option(arguments, "--id")
    principal = {"id": new_id("principal", client), "appId": client, "assigned": []}
    STATE["principals"][principal["id"]] = principal
    return principal


def rest(arguments: list[str]) -> Any:
    method, url = option(arguments, "--method"), option(arguments, "--url")
    if "/usages?" in url:
        return {"value": STATE["usages"]}
    kind, identity, *rest_of_path = url.partition("/v1.0/")[2].split("/")
    body = json.loads(Path(option(arguments, "--body")[1:]).read_text()) if "--body" in arguments else {}
    target = STATE["apps" if kind == "applications" else "principals"][identity]
    if rest_of_path == ["appRoleAssignedTo"]:
        if method == "get":
            return {"value": target["assigned"]}
        target["assigned"].append(body)
        return body
    scopes = {scope["id"] for scope in target.get("api", {}).get("oauth2PermissionScopes", [])}
    for trusted in body.get("api", {}).get("preAuthorizedApplications", []):
        if not set(trusted["delegatedPermissionIds"]) <= scopes:
            raise Refused("ERROR: Property PreAuthorizedApplications references a permission that is not there")
    target.update(body)
    return None


def registry(arguments: list[str]) -> Any:
    if arguments[1] == "build":
        repository, _, tag = option(arguments, "--image").partition(":")
        STATE["registries"][option(arguments, "--registry")].setdefault(repository, []).append(tag)
        return None
    repositories = STATE["registries"][option(arguments, "--name")]
    if arguments[2] == "list":
        return list(repositories)
    return repositories[option(arguments, "--repository")]


def job(arguments: list[str]) -> Any:
    if arguments[2] == "start":
        STATE["looks"] = 0
        return {"name": "execution"}
    STATE["looks"] += 1
    return {"properties": {"status": "Running" if STATE["looks"] < 3 else STATE["job_ends_as"]}}


def deploy(words: list[str]) -> int:
    """`azd provision` and `azd deploy`: the hooks of azure.yaml in azd's environment, and the template's outputs."""
    if words[0] == "deploy":
        return hook("predeploy")
    code = hook("preprovision")
    if code == 0:
        state = json.loads((FOLDER / "state.json").read_text())
        state["env"] |= json.loads(os.environ["DEPLOYED"])
        (FOLDER / "state.json").write_text(json.dumps(state))
        code = hook("postprovision")
    return code


def hook(name: str) -> int:
    settings = json.loads((FOLDER / "state.json").read_text())["env"]
    command = [os.environ["PYTHON"], "-m", f"infra.hooks.{name}"]
    return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode


def fails_once(call: str) -> bool:
    """Whether this call has never failed. What differs from run to run doesn't make it another call."""
    file = FOLDER / "fail_once"
    call = call.partition(" --body")[0] + (" " + Path(call.split("@")[1]).read_text() if " --body @" in call else "")
    if call.startswith("azd env set"):
        call = " ".join(call.split()[:4])
    if not file.exists() or call in file.read_text().splitlines():
        return False
    with file.open("a") as failed:
        failed.write(f"{call}\n")
    return True


def main() -> int:
    program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if arguments[-2:] == ["--output", "json"]:
        arguments = arguments[:-2]
    calls = FOLDER / "calls"
    number = len(calls.read_text().splitlines()) + 1 if calls.exists() else 1
    with calls.open("a") as log:
        log.write(" ".join([program, *arguments]) + "\n")
    is_number = (FOLDER / "fail_at").exists() and int((FOLDER / "fail_at").read_text()) == number
    if is_number or fails_once(" ".join([program, *arguments])):
        sys.stderr.write("WARNING: an extension is in preview\nERROR: (Throttled) Try again later\nMore lines\n")
        return 1
    if program == "azd" and arguments[0] in ("provision", "deploy"):
        return deploy(arguments)
    try:
        found = answer(program, arguments)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 3
    (FOLDER / "state.json").write_text(json.dumps(STATE))
    if found is not None:
        sys.stdout.write(found if isinstance(found, str) else json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
