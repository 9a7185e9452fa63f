"""Finding a function, a class or a module by the end of its dotted name, so that a guard survives a move.

`claim`, `attempts.claim` and `onbrand.jobs.attempts.claim` all name the same function while no other `claim` exists.
A file without functions, such as a migration, is named by the end of its path: `0002_upkeep.sql`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGES = ("onbrand", "infra")
_FILES_WITHOUT_FUNCTIONS = ("*.sql",)


class PlaceUnknown(LookupError):
    """No place has that name, or several have."""


@dataclass(frozen=True)
class Place:
    """Some lines of one file, and the name they are found by."""

    name: str  # dotted, or a path
    file: Path  # from the repository's root
    first_line: int  # the first is 0
    end_line: int  # the line after the last

    def is_called(self, ending: str) -> bool:
        """Is `ending` the end of the name, in whole words?"""
        return f"{'/' if '/' in self.name else '.'}{self.name}".endswith((f".{ending}", f"/{ending}"))

    def split(self, text: str) -> tuple[str, str, str]:
        """A file's text before the place, in it, and behind it."""
        lines = text.splitlines(keepends=True)
        parts = lines[: self.first_line], lines[self.first_line : self.end_line], lines[self.end_line :]
        before, inside, behind = ("".join(part) for part in parts)
        return before, inside, behind


def find(root: Path, ending: str) -> Place:
    """The one place below `root` whose name ends so.

    Raises:
        PlaceUnknown: there is none, or more than one; the message says which.
    """
    found = [place for place in _places(root) if place.is_called(ending)]
    if len(found) != 1:
        names = ", ".join(place.name for place in found)
        raise PlaceUnknown(
            f"{ending} names {f'several places ({names})' if found else 'no place'} in {' and '.join(_PACKAGES)}"
        )
    return found[0]


@cache
def _places(root: Path) -> tuple[Place, ...]:
    places: list[Place] = []
    for path in _files(root, "*.py"):
        file = path.relative_to(root)
        module = ".".join(file.with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text()
        places.append(Place(module, file, 0, len(text.splitlines())))
        places.extend(_definitions(ast.parse(text), module, file))
    for pattern in _FILES_WITHOUT_FUNCTIONS:
        for path in _files(root, pattern):
            file = path.relative_to(root)
            places.append(Place(file.as_posix(), file, 0, len(path.read_text().splitlines())))
    return tuple(places)


def _files(root: Path, pattern: str) -> list[Path]:
    return [path for package in _PACKAGES for path in sorted((root / package).rglob(pattern))]


def _definitions(node: ast.AST, prefix: str, file: Path) -> Iterator[Place]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{child.name}"
            first = min(decorator.lineno for decorator in [*child.decorator_list, child])
            yield Place(name, file, first - 1, child.end_lineno or first)
            yield from _definitions(child, name, file)
        else:
            yield from _definitions(child, prefix, file)
