"""A Bicep file as a tree, and the small questions that everything else asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_LANGUAGE = Language(tree_sitter_bicep.language())


@dataclass(frozen=True, order=True)
class Finding:
    """What is wrong, and where."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def parse(path: Path) -> Node:
    """The root of the tree. Where the file breaks the grammar it holds ERROR nodes (`syntax_errors`)."""
    return Parser(_LANGUAGE).parse(path.read_bytes()).root_node


def text(node: Node) -> str:
    """The source of a node."""
    return (node.text or b"").decode()


def line(node: Node) -> int:
    """The line of its beginning, from 1."""
    return node.start_point.row + 1


def walk(node: Node) -> Iterator[Node]:
    """The node and everything below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def syntax_errors(root: Node) -> list[tuple[int, str]]:
    """The first broken place of each piece that the grammar can't read."""
    if not root.has_error:
        return []
    broken = [node for node in walk(root) if node.is_error or node.is_missing]
    return [(line(node), "this breaks Bicep's grammar") for node in broken[:1]]


def literal(node: Node | None) -> str | None:
    """The text of a string without interpolation; None for anything else."""
    if node is None or node.type != "string" or any(child.type == "interpolation" for child in node.children):
        return None
    return "".join(text(child) for child in node.children if child.type != "'")


def named(node: Node) -> list[Node]:
    """The children that mean something."""
    return [child for child in node.children if child.is_named and child.type != "comment"]


def properties(node: Node) -> Iterator[tuple[str | None, Node, Node]]:
    """Key, value and the property itself of an object. A key with an interpolation is None.

    Resources that are nested in a resource's body are no properties; `nested` has them.
    """
    for child in node.children:
        if child.type != "object_property":
            continue
        parts = named(child)
        if len(parts) == 2:
            key = literal(parts[0]) if parts[0].type == "string" else text(parts[0])
            yield key, parts[1], child


def nested(node: Node) -> Iterator[Node]:
    """The resources that are declared inside a resource's body."""
    for child in node.children:
        if child.type == "object_property":
            yield from (part for part in named(child) if part.type == "resource_declaration")


def value_at(node: Node | None, *path: str) -> Node | None:
    """The value at a path of keys below an object."""
    for key in path:
        if node is None or node.type != "object":
            return None
        node = next((value for name, value, _ in properties(node) if name == key), None)
    return node


def unwrap(node: Node) -> Node:
    """The object behind `if (…)` and `[for …: …]`."""
    while node.type in ("if_statement", "for_statement"):
        body = node.child_by_field_name("body")
        node = body if body is not None else named(node)[-1]
    return node
