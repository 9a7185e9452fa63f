"""Whether every name stands for something: symbols, modules and their parameters, outputs, read properties."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from infra.check.shapes import Source, resource_type
from infra.check.template import Module, Template
from infra.check.tree import line, named, properties, text, value_at, walk
from infra.check.values import Wrong, kind_of

# What Bicep's language brings: functions and namespaces that our files may use.
_BUILT_IN = frozenset(
    {"az", "sys", "any", "array", "base64", "bool", "concat", "contains", "createObject", "dateTimeToEpoch", "empty"}
    | {"endsWith", "first", "format", "guid", "int", "items", "join", "json", "last", "length", "loadTextContent"}
    | {"max", "min", "newGuid", "range", "replace", "resourceGroup", "resourceId", "split", "startsWith", "string"}
    | {"subscription", "subscriptionResourceId", "take", "tenant", "toLower", "toUpper", "trim", "union"}
    | {"uniqueString", "utcNow"}
)
_ID_AND_NAME = frozenset({"id", "name", "type", "apiVersion"})


def check_references(template: Template, templates: Mapping[Path, Template]) -> Iterator[Wrong]:
    """Everything in a file that is named and not there, and what is declared and never used."""
    yield from template.twice
    used: set[str] = set()
    for node in template.root.children:
        yield from _check_symbols(template, node, frozenset(), used)
    for kind, names in (("parameter", template.parameters), ("variable", template.variables)):
        for name in names.keys() - used:
            declared = template.parameters[name].node if kind == "parameter" else template.variables[name]
            yield line(declared), f"the {kind} `{name}` is never used"
    for module in template.modules.values():
        yield from _check_module(template, module, templates)
    for node in walk(template.root):
        if node.type == "member_expression" and (node.parent is None or node.parent.type != "member_expression"):
            yield from _check_path(template, node, templates)


def _check_symbols(template: Template, node: Node, local: frozenset[str], used: set[str]) -> Iterator[Wrong]:
    if node.type in ("decorators", "type", "user_defined_function", "type_declaration", "import_functionality"):
        return
    if node.type == "for_statement":
        local |= _loop_names(node)
    children = node.children
    if node.type.endswith("_declaration") or node.type == "object_property":
        is_nested = node.type == "object_property" and named(node)[0].type == "resource_declaration"
        # The first name is declared here, or is a key.
        children = children if is_nested else _behind_first_name(node)
        local |= _children(template, node)
    if node.type == "resource_expression":  # account::blobs
        name = text(node).replace(" ", "")
        used.add(name.partition("::")[0])
        if name not in template.resources:
            yield line(node), f"`{name}` is not declared"
        return
    if node.type == "identifier":
        name = text(node)
        used.add(name)
        if name not in local and name not in _BUILT_IN and not template.declares(name):
            yield line(node), f"`{name}` is not declared"
        return
    for child in children:
        yield from _check_symbols(template, child, local, used)


def _children(template: Template, node: Node) -> frozenset[str]:
    if node.type != "resource_declaration":
        return frozenset()
    return next((resource.children for resource in template.resources.values() if resource.node == node), frozenset())


def _behind_first_name(node: Node) -> list[Node]:
    first = named(node)[0]
    kept = [child for child in node.children if child != first]
    return [child for child in [*(named(first) if first.type == "string" else []), *kept] if child.type != "="]


def _loop_names(node: Node) -> frozenset[str]:
    names = []
    for child in node.children:
        if child.type == "for_loop_parameters":
            names += [text(part) for part in named(child)]
    initializer = node.child_by_field_name("initializer")
    if initializer is not None:
        names.append(text(initializer))
    return frozenset(names)


def _check_module(template: Template, module: Module, templates: Mapping[Path, Template]) -> Iterator[Wrong]:
    target = templates.get((template.path.parent / module.path).resolve())
    if target is None:
        yield line(module.node), f"there is no file {module.path}"
        return
    for key, _, place in properties(module.body):
        if key not in ("name", "params", "scope", "dependsOn"):
            yield line(place), f"a module has no `{key}`"
    given: set[str | None] = set()
    params = value_at(module.body, "params")
    for key, value, place in properties(params) if params is not None else ():
        given.add(key)
        if key is None or key not in target.parameters:
            yield line(place), f"{module.path} has no parameter `{key}`"
            continue
        wanted, found = target.parameters[key].type, kind_of(template, value)
        if found is not None and wanted is not None and found != wanted:
            yield line(value), f"`{key}` of {module.path} is {wanted}, and this is {found}"
    for name, parameter in target.parameters.items():
        if parameter.default is None and name not in given:
            yield line(module.node), f"{module.path} needs its parameter `{name}`"


def _check_path(template: Template, node: Node, templates: Mapping[Path, Template]) -> Iterator[Wrong]:
    """`module.outputs.name` and `resource.properties.name`, as far as the path is plain."""
    path: list[str] = []
    here: Node | None = node
    while here is not None and here.type in ("member_expression", "subscript_expression"):
        if here.type == "member_expression":
            if (key := here.child_by_field_name("property")) is None:
                return
            path.insert(0, text(key))
        here = here.child_by_field_name("object")
    if here is None or here.type != "identifier" or not path:
        return
    symbol = text(here)
    if symbol in template.modules:
        target = templates.get((template.path.parent / template.modules[symbol].path).resolve())
        is_output = path[0] == "outputs" and len(path) > 1
        if target is not None and is_output and path[1] not in target.outputs:
            yield line(node), f"{target.name} has no output `{path[1]}`"
        elif path[0] not in ("outputs", "name"):
            yield line(node), f"a module gives `outputs`, not `{path[0]}`"
    elif symbol in template.resources and symbol not in template.parameters:
        found = resource_type(template.resources[symbol].type)
        if found is not None and found.read and path[0] not in _ID_AND_NAME:
            yield from ((line(node), problem) for problem in _unknown_step(found.source, found.read, path, symbol))


def _unknown_step(source: Source, name: str, path: list[str], symbol: str) -> Iterator[str]:
    fields = source.classes[name]
    for step in path:
        if step not in fields:
            yield f"`{symbol}` has no `{step}` in `{'.'.join(path)}`"
            return
        match fields[step].annotation:
            case ast.Constant(value=str(inner)) | ast.Name(id=inner) if inner in source.classes:
                fields = source.classes[inner]
            case _:
                return
