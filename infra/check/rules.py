"""Our own rules, which no type can express: what must never be public, what must be there, and what costs money."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from infra.check.template import Resource, Template
from infra.check.tree import Finding, line, literal, named, properties, text, value_at, walk
from infra.check.values import Wrong

MAIN = "main.bicep"
_KEYS = ("listKeys", "listCredentials", "listSecrets", "listAccountSas", "listServiceSas")
_ACCOUNT = {
    "allowBlobPublicAccess": ("false", "anybody could read images"),
    "allowSharedKeyAccess": ("false", "an account's key opens everything, for ever"),
    "minimumTlsVersion": ("'TLS1_2'", "older TLS is broken"),
    "supportsHttpsTrafficOnly": ("true", "images would travel in the clear"),
    "allowCrossTenantReplication": ("false", "images could be copied into another tenant"),
}
_LEAST_GRACE_SECONDS = 300  # a job of four pictures, and its publication


def check_rules(templates: Mapping[Path, Template]) -> list[Finding]:
    """All rules, over all files."""
    findings = []
    for template in templates.values():
        wrong = [*_secrets(template)]
        for resource in template.resources.values():
            rule = _RULES.get(resource.type)
            if rule is not None and not resource.exists:
                wrong += rule(resource)
        findings += [Finding(template.name, number, problem) for number, problem in wrong]
    return sorted({*findings, *_whole(templates)})


def _must(body: Node, path: tuple[str, ...], wanted: str, why: str) -> Iterator[Wrong]:
    value = value_at(body, *path)
    if value is None:
        around = value_at(body, *path[:-1]) or body
        yield line(around), f"`{path[-1]}` must be {wanted}, and is missing: {why}"
    elif text(value) != wanted:
        yield line(value), f"`{path[-1]}` must be {wanted}: {why}"


def _account(resource: Resource) -> Iterator[Wrong]:
    for key, (wanted, why) in _ACCOUNT.items():
        yield from _must(resource.body, ("properties", key), wanted, why)


def _container(resource: Resource) -> Iterator[Wrong]:
    yield from _must(resource.body, ("properties", "publicAccess"), "'None'", "anybody could read it")


def _registry(resource: Resource) -> Iterator[Wrong]:
    yield from _must(
        resource.body, ("properties", "adminUserEnabled"), "false", "its password would be a second secret"
    )
    yield from _must(resource.body, ("properties", "anonymousPullEnabled"), "false", "anybody could pull the images")


def _server(resource: Resource) -> Iterator[Wrong]:
    path = ("properties", "authConfig", "activeDirectoryAuth")
    yield from _must(resource.body, path, "'Enabled'", "programs sign in with Entra")


def _app(resource: Resource) -> Iterator[Wrong]:
    configuration = value_at(resource.body, "properties", "configuration")
    if configuration is not None and value_at(configuration, "ingress") is not None:
        yield from _must(configuration, ("ingress", "allowInsecure"), "false", "tokens would travel in the clear")
    profile = value_at(resource.body, "properties", "workloadProfileName")
    if literal(profile) == "Consumption":
        return
    yield from _must(
        resource.body,
        ("properties", "template", "scale", "minReplicas"),
        "0",
        "a GPU that waits is billed by the second",
    )
    yield from _grace(resource.body)
    maximum = value_at(resource.body, "properties", "template", "scale", "maxReplicas")
    if maximum is None:
        yield line(resource.node), "`maxReplicas` is missing: the default is 10 GPUs"
    yield from _scaler(resource.body)


def _grace(body: Node) -> Iterator[Wrong]:
    grace = value_at(body, "properties", "template", "terminationGracePeriodSeconds")
    needed = f"`terminationGracePeriodSeconds` must be {_LEAST_GRACE_SECONDS} or more: a job is drawn to its end"
    if grace is None:
        yield line(value_at(body, "properties", "template") or body), f"{needed}; without it, it is 30"
    elif not text(grace).isdigit() or int(text(grace)) < _LEAST_GRACE_SECONDS:
        yield line(grace), needed


def _scaler(body: Node) -> Iterator[Wrong]:
    """The scaler reads one view, as a role that may read nothing else."""
    rules = value_at(body, "properties", "template", "scale", "rules")
    metadata = [value_at(rule, "custom", "metadata") for rule in named(rules)] if rules is not None else []
    if not metadata or metadata[0] is None:
        yield line(body), "a worker with a GPU needs the rule `postgresql`: without it, it never starts or never stops"
        return
    yield from _must(metadata[0], ("userName",), "'onbrand_scaler'", "this role reads one view and nothing else")
    yield from _must(metadata[0], ("query",), "'select n from keda_gpu_demand'", "the view decides, not the template")


_RULES: dict[str, Callable[[Resource], Iterator[Wrong]]] = {
    "Microsoft.Storage/storageAccounts": _account,
    "Microsoft.Storage/storageAccounts/blobServices/containers": _container,
    "Microsoft.ContainerRegistry/registries": _registry,
    "Microsoft.DBforPostgreSQL/flexibleServers": _server,
    "Microsoft.App/containerApps": _app,
}


def _secrets(template: Template) -> Iterator[Wrong]:
    secure = {name for name, parameter in template.parameters.items() if "secure" in parameter.decorators}
    for name, parameter in template.parameters.items():
        is_random = parameter.default is not None and "newGuid()" in text(parameter.default)
        if name in secure and parameter.default is not None and not is_random:
            yield line(parameter.node), f"`{name}` is secret, so it can have no default"
        if name.lower().endswith(("password", "secret", "token")) and name not in secure:
            yield line(parameter.node), f"`{name}` needs @secure()"
    for name, output in template.outputs.items():
        if secure & {text(node) for node in walk(output) if node.type == "identifier"}:
            yield line(output), f"the output `{name}` would show a secret"
    for node in walk(template.root):
        function = node.child_by_field_name("function") if node.type == "call_expression" else None
        shown = node.child_by_field_name("property") if node.type == "member_expression" else function
        if shown is not None and text(shown) in _KEYS:
            yield line(node), f"`{text(shown)}` reads a key: identities need none"


def _whole(templates: Mapping[Path, Template]) -> Iterator[Finding]:
    """What the main file must bring, with everything that it calls."""
    main = next((template for template in templates.values() if template.name == MAIN), None)
    if main is None:
        return
    called = [main, *_called(main, templates)]
    types = {resource.type for template in called for resource in template.resources.values() if not resource.exists}
    for wanted, why in (
        ("Microsoft.Consumption/budgets", "nobody would hear of an expensive month"),
        ("Microsoft.Storage/storageAccounts/managementPolicies", "images would stay when Onbrand doesn't run"),
    ):
        if wanted not in types:
            yield Finding(MAIN, 1, f"nothing here deploys a {wanted}: {why}")
    yield from _roles_before_apps(main)


def _called(template: Template, templates: Mapping[Path, Template]) -> Iterator[Template]:
    for module in template.modules.values():
        target = templates.get((template.path.parent / module.path).resolve())
        if target is not None:
            yield target
            yield from _called(target, templates)


def _roles_before_apps(main: Template) -> Iterator[Finding]:
    """An app that starts before its roles count fails for minutes."""
    for name in ("api", "worker", "jobs"):
        if (module := main.modules.get(name)) is None:
            yield Finding(MAIN, 1, f"there is no module `{name}`")
            continue
        for role in sorted({"identities", "storage", "database"} - _reached(main, module.body, set())):
            yield Finding(MAIN, line(module.node), f"`{name}` must wait for `{role}`, which gives it its roles")


def _reached(template: Template, node: Node, seen: set[str]) -> set[str]:
    """The modules whose outputs a value needs."""
    for part in walk(node):
        name = text(part)
        if part.type == "identifier" and name not in seen and template.declares(name):
            is_key = part.parent is not None and part.parent.type == "object_property" and named(part.parent)[0] == part
            if is_key:
                continue
            seen.add(name)
            if name in template.variables:
                _reached(template, template.variables[name], seen)
    return seen


def environment_names(template: Template) -> Iterator[tuple[str, int]]:
    """Each name of a variable that a file gives to a container, with its line."""
    for node in walk(template.root):
        if node.type != "object":
            continue
        pairs = {key: value for key, value, _ in properties(node)}
        name = literal(pairs.get("name"))
        if name is not None and name.startswith("ONBRAND_"):
            yield name, line(node)
