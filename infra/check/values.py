"""Whether a value fits its place: Bicep's expressions against the annotations of `shapes`.

What can't be known without Azure (a function's result, a module's output) fits everywhere. So there are no false
alarms, and what is written out is compared to the end.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tree_sitter import Node

from infra.check.shapes import Field, Source
from infra.check.template import Template
from infra.check.tree import line, literal, named, properties, text, unwrap

Wrong = tuple[int, str]
_RESULTS = {
    "string": {
        "string", "guid", "uniqueString", "take", "toLower", "toUpper", "subscriptionResourceId", "resourceId",
        "newGuid", "utcNow", "format", "replace", "trim", "base64",
    },
    "int": {"int", "length", "dateTimeToEpoch"},
    "bool": {"bool", "empty", "contains", "startsWith", "endsWith"},
    "array": {"concat", "range", "split", "array"},
    "object": {"createObject"},
}  # fmt: skip
_NODES = {"string": "string", "boolean": "bool", "number": "int", "array": "array", "object": "object"}
# Keys that every resource has beside what its type describes.
_OF_EVERY_RESOURCE = frozenset({"name", "parent", "scope", "dependsOn"})


def kind_of(template: Template, node: Node) -> str | None:
    """string, int, bool, array or object, as far as it can be told; None: it can't."""
    if node.type in _NODES:
        return _NODES[node.type]
    if node.type == "for_statement":
        return "array"
    if node.type == "identifier":
        name = text(node)
        if name in template.parameters:
            return template.parameters[name].type
        return kind_of(template, template.variables[name]) if name in template.variables else None
    if node.type == "call_expression":
        function = text(node.child_by_field_name("function") or node)
        return next((kind for kind, names in _RESULTS.items() if function in names), None)
    if node.type == "parenthesized_expression":
        return kind_of(template, named(node)[0])
    return None


def check_body(template: Template, source: Source, name: str, body: Node, *, is_tracked: bool) -> Iterator[Wrong]:
    """The body of a resource against its class."""
    known = source.classes[name]
    allowed = known if is_tracked else {key: value for key, value in known.items() if key not in ("location", "tags")}
    yield from _check_object(template, source, allowed, body, also=_OF_EVERY_RESOURCE)


def check(template: Template, source: Source, annotation: ast.expr, node: Node) -> Iterator[Wrong]:
    """A value against an annotation."""
    if node.type == "ternary_expression":
        for branch in ("consequence", "alternative"):
            if (part := node.child_by_field_name(branch)) is not None:
                yield from check(template, source, annotation, part)
    elif node.type == "identifier" and text(node) in template.variables:
        yield from check(template, source, annotation, template.variables[text(node)])
    elif node.type == "call_expression" and text(node).startswith("concat("):
        arguments = node.child_by_field_name("arguments")
        for part in named(arguments) if arguments else []:
            yield from check(template, source, annotation, part)
    elif node.type != "null":
        yield from _check_plain(template, source, annotation, node)


def _check_plain(template: Template, source: Source, annotation: ast.expr, node: Node) -> Iterator[Wrong]:
    match annotation:
        case ast.Constant(value=str(name)) | ast.Name(id=name) if name in source.classes:
            yield from _expect(template, "object", node)
            if node.type == "object":
                yield from _check_object(template, source, source.classes[name], node)
        case ast.Constant(value=str(name)) | ast.Name(id=name) if name in source.aliases:
            yield from _expect(template, "object", node)
        case ast.Name(id="str"):
            yield from _expect(template, "string", node)
        case ast.Name(id="bool"):
            yield from _expect(template, "bool", node)
        case ast.Name(id="int" | "float"):
            yield from _expect(template, "int", node)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            yield from _expect(template, "array", node)
            yield from _check_items(template, source, item, node)
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
            yield from _expect(template, "object", node)
            for _, value, _ in properties(node) if node.type == "object" else ():
                yield from check(template, source, item, value)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            yield from _check_choice(template, frozenset(ast.literal_eval(ast.Tuple(_elements(values)))), node)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=[ast.Name(id="str"), ast.Constant(name)])):
            yield from _check_choice(template, source.enumerations.get(str(name), frozenset()), node)


def _elements(values: ast.expr) -> list[ast.expr]:
    return list(values.elts) if isinstance(values, ast.Tuple) else [values]


def _expect(template: Template, wanted: str, node: Node) -> Iterator[Wrong]:
    found = kind_of(template, node)
    if found is not None and found != wanted:
        yield line(node), f"{_shown(node)} is {found}, and {wanted} belongs here"


def _check_items(template: Template, source: Source, item: ast.expr, node: Node) -> Iterator[Wrong]:
    if node.type == "for_statement":
        yield from check(template, source, item, unwrap(node))
    for part in named(node) if node.type == "array" else []:
        yield from check(template, source, item, part)


def _check_choice(template: Template, choices: frozenset[str], node: Node) -> Iterator[Wrong]:
    yield from _expect(template, "string", node)
    chosen = literal(node)
    if chosen is not None and choices and chosen.lower() not in {choice.lower() for choice in choices}:
        yield line(node), f"`{chosen}` is none of {', '.join(sorted(choices))}"


def _check_object(
    template: Template, source: Source, known: dict[str, Field], node: Node, also: frozenset[str] = frozenset()
) -> Iterator[Wrong]:
    there: set[str | None] = set()
    for key, value, place in properties(node):
        if key in there:
            yield line(place), f"`{key}` is given twice"
        there.add(key)
        if key in known:
            yield from check(template, source, known[key].annotation, value)
        elif key is not None and key not in also:
            yield line(place), f"there is no property `{key}` here{_meant(key, known)}"
    if None not in there:
        for key, field in known.items():
            if field.is_required and key not in there:
                yield line(node), f"`{key}` is missing"


def _meant(key: str, known: dict[str, Field]) -> str:
    near = [name for name in known if name.lower() == key.lower() or name.lower().startswith(key.lower()[:6])]
    return f"; perhaps `{near[0]}`" if near else ""


def _shown(node: Node) -> str:
    shown = " ".join(text(node).split())
    return shown if len(shown) <= 40 else f"{shown[:37]}…"
