"""All Bicep files of a folder, each checked for itself: grammar, resources, references."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from infra.check.references import check_references
from infra.check.shapes import resource_type
from infra.check.template import Resource, Template, read
from infra.check.tree import Finding, line, syntax_errors, text, value_at
from infra.check.values import Wrong, check_body

_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")


def read_all(folder: Path) -> dict[Path, Template]:
    """Every Bicep file below a folder, by its path."""
    paths = sorted(folder.rglob("*.bicep"))
    return {path.resolve(): read(path.resolve(), path.relative_to(folder).as_posix()) for path in paths}


def check_files(templates: dict[Path, Template]) -> list[Finding]:
    """What is wrong in each file for itself."""
    findings: list[Finding] = []
    for template in templates.values():
        wrong: list[Wrong] = syntax_errors(template.root)
        if not wrong:
            wrong = [*check_references(template, templates)]
            for resource in template.resources.values():
                wrong += check_resource(template, resource)
        findings += [Finding(template.name, number, problem) for number, problem in wrong]
    return sorted(set(findings))


def check_resource(template: Template, resource: Resource) -> Iterator[Wrong]:
    """One resource against its published type."""
    found, place = resource_type(resource.type), line(resource.node)
    if found is None:
        yield place, f"nothing here knows the type {resource.type}: add it to infra/check/shapes.py"
        return
    if resource.api_version is None or not _VERSION.fullmatch(resource.api_version):
        yield place, f"{resource.type} needs an API version after @"
    elif resource.api_version != found.source.api_version:
        yield place, f"{resource.type} is checked as of {found.source.api_version}, not {resource.api_version}"
    if resource.body.type != "object":
        yield place, "a resource's body is an object"
        return
    if value_at(resource.body, "name") is None:
        yield place, "`name` is missing"
    yield from _check_parent(template, resource)
    if not resource.exists:
        is_tracked = "location" in found.source.classes[found.written] and resource.type.count("/") == 1
        yield from check_body(template, found.source, found.written, resource.body, is_tracked=is_tracked)


def _check_parent(template: Template, resource: Resource) -> Iterator[Wrong]:
    around = resource.type.rpartition("/")[0]
    parent = value_at(resource.body, "parent")
    if resource.type.count("/") == 1 or resource.parent is not None:
        if parent is not None:
            yield line(parent), "this resource has no `parent`"
    elif parent is None:
        yield line(resource.node), f"`parent` is missing: a {around}"
    elif (declared := template.resources.get(text(parent))) is not None and declared.type != around:
        yield line(parent), f"the parent is a {declared.type}, and must be a {around}"
