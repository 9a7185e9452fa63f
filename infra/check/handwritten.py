"""Types of resources for which no package publishes a TypedDict: what we use of them, and nothing more.

From Microsoft's template reference (https://learn.microsoft.com/azure/templates/). `shapes` reads this file as text.
"""

from __future__ import annotations

from typing import Literal, Required, TypedDict


class Tracked(TypedDict, total=False):
    id: str
    name: str
    type: str
    location: Required[str]
    tags: dict[str, str]


class RoleAssignmentProperties(TypedDict, total=False):
    principalId: Required[str]
    principalType: Literal["Device", "ForeignGroup", "Group", "ServicePrincipal", "User"]
    roleDefinitionId: Required[str]
    description: str


class RoleAssignment(TypedDict, total=False):
    id: str
    name: str
    properties: Required[RoleAssignmentProperties]


class UserAssignedIdentityProperties(TypedDict, total=False):
    clientId: str
    principalId: str
    tenantId: str


class UserAssignedIdentity(Tracked):
    properties: UserAssignedIdentityProperties


class RegistrySku(TypedDict, total=False):
    name: Required[Literal["Basic", "Standard", "Premium"]]


class RegistryProperties(TypedDict, total=False):
    adminUserEnabled: bool
    anonymousPullEnabled: bool
    loginServer: str
    publicNetworkAccess: Literal["Enabled", "Disabled"]


class Registry(Tracked):
    sku: Required[RegistrySku]
    properties: RegistryProperties


class WorkspaceSku(TypedDict, total=False):
    name: Required[Literal["PerGB2018", "CapacityReservation", "Free"]]


class WorkspaceCapping(TypedDict, total=False):
    dailyQuotaGb: float


class WorkspaceProperties(TypedDict, total=False):
    customerId: str
    retentionInDays: int
    sku: WorkspaceSku
    workspaceCapping: WorkspaceCapping


class Workspace(Tracked):
    properties: WorkspaceProperties


class LogSetting(TypedDict, total=False):
    category: str
    categoryGroup: str
    enabled: Required[bool]


class DiagnosticSettingProperties(TypedDict, total=False):
    logs: list[LogSetting]
    metrics: list[LogSetting]
    workspaceId: str


class DiagnosticSetting(TypedDict, total=False):
    id: str
    name: str
    properties: Required[DiagnosticSettingProperties]
