"""What one Bicep file declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tree_sitter import Node

from infra.check.tree import line, literal, named, nested, parse, text, unwrap

_PRIMITIVE = {"string", "int", "bool", "object", "array"}


@dataclass(frozen=True)
class Resource:
    """A resource, or a reference to one that exists."""

    symbol: str  # of a nested one with its parent's: account::blobs
    type: str  # with its parents': Microsoft.Storage/storageAccounts/blobServices
    api_version: str | None
    body: Node
    node: Node
    exists: bool
    parent: str | None  # the symbol of the resource around it
    children: frozenset[str] = frozenset()  # the names of what is declared inside it


@dataclass(frozen=True)
class Module:
    """Another file, deployed with parameters."""

    symbol: str
    path: str
    body: Node
    node: Node


@dataclass(frozen=True)
class Parameter:
    """A parameter of a file."""

    name: str
    type: str | None
    default: Node | None
    decorators: dict[str, Node]
    node: Node


@dataclass
class Template:
    """One file. `name` is what findings call it."""

    name: str
    path: Path
    root: Node
    parameters: dict[str, Parameter] = field(default_factory=dict)
    variables: dict[str, Node] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    outputs: dict[str, Node] = field(default_factory=dict)
    twice: list[tuple[int, str]] = field(default_factory=list)

    def declares(self, symbol: str) -> bool:
        """Whether a name stands for something in this file."""
        return any(symbol in kind for kind in (self.parameters, self.variables, self.resources, self.modules))


def read(path: Path, name: str) -> Template:
    """Read one file."""
    template = Template(name, path, parse(path))
    decorators: dict[str, Node] = {}
    for node in template.root.children:
        if node.type == "decorators":
            decorators = dict(_decorators(node))
            continue
        _declare(template, node, decorators)
        if node.is_named and node.type != "comment":
            decorators = {}
    return template


def _decorators(node: Node) -> Iterator[tuple[str, Node]]:
    for decorator in named(node):
        call = named(decorator)[0]
        function = call.child_by_field_name("function") or call
        yield text(function).removeprefix("sys."), call


def _declare(template: Template, node: Node, decorators: dict[str, Node]) -> None:
    if not node.type.endswith("_declaration"):
        return
    parts = named(node)
    symbol = text(parts[0])
    if node.type != "output_declaration" and template.declares(symbol):
        template.twice.append((line(node), f"`{symbol}` is declared twice"))
    if node.type == "parameter_declaration":
        kind = next((text(part) for part in parts if part.type in ("type", *_PRIMITIVE)), None)
        default = parts[2] if len(parts) > 2 else None
        template.parameters[symbol] = Parameter(symbol, kind, default, decorators, node)
    elif node.type == "variable_declaration":
        template.variables[symbol] = parts[-1]
    elif node.type == "output_declaration":
        template.outputs[symbol] = node
    elif node.type == "resource_declaration":
        _declare_resource(template, node, None)
    elif node.type == "module_declaration":
        template.modules[symbol] = Module(symbol, literal(parts[1]) or "", unwrap(parts[-1]), node)


def _declare_resource(template: Template, node: Node, parent: Resource | None) -> None:
    parts = named(node)
    symbol, reference, body = text(parts[0]), literal(parts[1]) or "", unwrap(parts[-1])
    if parent is not None:
        symbol = f"{parent.symbol}::{symbol}"
    kind, _, version = reference.partition("@")
    if parent is not None:
        kind, version = f"{parent.type}/{kind}", version or parent.api_version or ""
    exists = any(text(child) == "existing" for child in node.children if not child.is_named)
    children = list(nested(body)) if body.type == "object" else []
    inner = frozenset(text(named(child)[0]) for child in children)
    resource = Resource(symbol, kind, version or None, body, node, exists, parent.symbol if parent else None, inner)
    if parent is not None and template.declares(symbol):
        template.twice.append((line(node), f"`{symbol}` is declared twice"))
    template.resources[symbol] = resource
    for child in children:
        _declare_resource(template, child, resource)
