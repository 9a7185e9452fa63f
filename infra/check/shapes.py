"""What a resource may hold: Microsoft's TypedDicts for Python, read as text and never imported.

Only `Required[…]` is believed: whether a subclass is total is wrong in the published files. The names of an
enumeration are closed here; a new one needs a newer package.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Field:
    """One property: its annotation, and whether it must be there."""

    annotation: ast.expr
    is_required: bool


@dataclass
class Source:
    """The types of one package: fields by class, names of enumerations, unions by alias."""

    api_version: str
    classes: dict[str, dict[str, Field]] = field(default_factory=dict)
    enumerations: dict[str, frozenset[str]] = field(default_factory=dict)
    aliases: dict[str, ast.expr] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceType:
    """Where the body of a type of resource is described, and what reading it gives."""

    source: Source
    written: str
    read: str


# Type in Azure: package, class of the body, class of what is read (empty: not published).
_PUBLISHED = {
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp", "ContainerApp"),
    "Microsoft.App/jobs": ("appcontainers", "Job", "Job"),
    "Microsoft.App/managedEnvironments": ("appcontainers", "ManagedEnvironment", "ManagedEnvironment"),
    "Microsoft.Consumption/budgets": ("consumption", "Budget", "Budget"),
    "Microsoft.DBforPostgreSQL/flexibleServers": ("postgresqlflexibleservers", "Server", "Server"),
    "Microsoft.DBforPostgreSQL/flexibleServers/administrators": (
        "postgresqlflexibleservers",
        "AdministratorMicrosoftEntraAdd",
        "AdministratorMicrosoftEntraAdd",
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers/configurations": (
        "postgresqlflexibleservers",
        "ConfigurationForUpdate",
        "ConfigurationForUpdate",
    ),
    "Microsoft.DBforPostgreSQL/flexibleServers/databases": ("postgresqlflexibleservers", "Database", "Database"),
    "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules": (
        "postgresqlflexibleservers",
        "FirewallRule",
        "FirewallRule",
    ),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccountCreateParameters", ""),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage", "BlobServiceProperties", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage", "BlobContainer", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("storage", "ManagementPolicy", "ManagementPolicy"),
    "Microsoft.Web/staticSites": ("web", "StaticSiteARMResource", "StaticSiteARMResource"),
}
# No package publishes types for these. They are written by hand in handwritten.py, beside their API versions.
_BY_HAND = {
    "Microsoft.Authorization/roleAssignments": ("RoleAssignment", "2022-04-01"),
    "Microsoft.ContainerRegistry/registries": ("Registry", "2025-11-01"),
    "Microsoft.Insights/diagnosticSettings": ("DiagnosticSetting", "2021-05-01-preview"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("UserAssignedIdentity", "2024-11-30"),
    "Microsoft.OperationalInsights/workspaces": ("Workspace", "2023-09-01"),
}


@cache
def resource_type(name: str) -> ResourceType | None:
    """How a type of resource is described; None: nothing here knows it."""
    if name in _PUBLISHED:
        package, written, read = _PUBLISHED[name]
        return ResourceType(_package(package), written, read)
    if name in _BY_HAND:
        written, version = _BY_HAND[name]
        return ResourceType(_by_hand(version), written, written)
    return None


@cache
def _package(name: str) -> Source:
    spec = importlib.util.find_spec(f"azure.mgmt.{name}")
    if spec is None or spec.origin is None:
        raise RuntimeError(f"azure-mgmt-{name} is not installed: pip install -c constraints.txt -e '.[dev]'")
    folder = Path(spec.origin).parent
    source = Source(_api_version(ast.parse((folder / "_configuration.py").read_text(encoding="utf-8"))))
    _read_types(source, ast.parse((folder / "types.py").read_text(encoding="utf-8")))
    _read_enumerations(source, ast.parse((folder / "models" / "_enums.py").read_text(encoding="utf-8")))
    return source


@cache
def _by_hand(version: str) -> Source:
    source = Source(version)
    _read_types(source, ast.parse(Path(__file__).with_name("handwritten.py").read_text(encoding="utf-8")))
    return source


def _api_version(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 2:
            key, value = node.args
            if isinstance(key, ast.Constant) and key.value == "api_version" and isinstance(value, ast.Constant):
                return str(value.value)
    raise RuntimeError("the package names no API version")


def _read_types(source: Source, tree: ast.Module) -> None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            fields = {key: value for base in bases for key, value in source.classes.get(base, {}).items()}
            source.classes[node.name] = fields | _fields(node.body)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            _read_alias(source, node.targets[0].id, node.value)


def _read_alias(source: Source, name: str, value: ast.expr) -> None:
    is_call = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypedDict"
    if is_call and isinstance(value, ast.Call) and isinstance(value.args[1], ast.Dict):
        pairs = zip(value.args[1].keys, value.args[1].values, strict=True)
        source.classes[name] = {str(key.value): _field(kind) for key, kind in pairs if isinstance(key, ast.Constant)}
    elif isinstance(value, ast.Subscript):
        source.aliases[name] = value


def _fields(body: list[ast.stmt]) -> dict[str, Field]:
    return {
        statement.target.id: _field(statement.annotation)
        for statement in body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


def _field(annotation: ast.expr) -> Field:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Required":
        return Field(annotation.slice, is_required=True)
    return Field(annotation, is_required=False)


def _read_enumerations(source: Source, tree: ast.Module) -> None:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            values = [statement.value for statement in node.body if isinstance(statement, ast.Assign)]
            source.enumerations[node.name] = frozenset(
                str(value.value) for value in values if isinstance(value, ast.Constant)
            )
