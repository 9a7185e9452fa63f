"""The plan of the code is what its documents say, and stays readable at a glance."""

from __future__ import annotations

import re
import statistics
import tomllib
from pathlib import Path

import grimp
import pytest

from onbrand.config import REPOSITORY

PACKAGE = REPOSITORY / "onbrand"
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOT_MODULES = {"__init__", "__main__", "concurrency", "config", "errors", "logs", "maintenance", "postgres_address"}
MOST_LINES = 350
MEDIAN_LINES = 150
# Long because they list what there is, one thing after the other.
TABLES = {"onbrand/errors.py", "onbrand/config.py"}


def children(folder: Path) -> set[str]:
    """The packages and modules in a folder, by name."""
    return {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    }


def rows(heading: str) -> set[str]:
    """The names in the first column of the table under such a head."""
    table = re.search(rf"\| {heading} \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", PAGE)
    assert table is not None
    return {name.rstrip("/") for name in re.findall(r"^\| `([^`]+)` \|", table[1], re.MULTILINE)}


def layers(container: str) -> set[str]:
    """What import-linter's contract of a container names."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = next(contract for contract in contracts if contract.get("containers") == [container])
    assert found["exhaustive"]
    return {name.strip() for layer in found["layers"] for name in layer.split("|")}


def test_the_page_describes_every_room_and_no_other() -> None:
    assert rows("room") == children(PACKAGE)


def test_the_page_describes_every_stage_of_the_image_model_and_no_other() -> None:
    assert rows("stage") == children(PACKAGE / "hidream")


def test_the_order_of_rooms_names_every_room() -> None:
    assert layers("onbrand") - {"__main__"} == children(PACKAGE)
    assert layers("onbrand.hidream") == children(PACKAGE / "hidream")


def test_only_what_belongs_nowhere_else_is_at_the_root() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT_MODULES


def test_each_room_is_described_in_two_lines() -> None:
    described = re.findall(r"^\| `[^`]+` \| ([^|]+) \|$", PAGE, re.MULTILINE)
    assert len(described) >= len(children(PACKAGE))
    assert [text for text in described if len(text) > 160] == []


def test_each_arrow_of_the_picture_is_an_import_and_each_room_is_in_it() -> None:
    picture = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    assert picture is not None
    arrows = re.findall(r"^\s*(\w+) --> (\w+)$", picture[1], re.MULTILINE)
    drawn = {room for arrow in arrows for room in arrow}
    assert drawn == children(PACKAGE) - {"config", "errors", "logs", "concurrency", "postgres_address"}
    graph = grimp.build_graph("onbrand")
    for above, below in arrows:
        assert graph.find_shortest_chain(f"onbrand.{above}", f"onbrand.{below}", as_packages=True), (above, below)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w[\w/]*\.(?:py|json|toml|md))`", PAGE))))
def test_a_file_that_the_page_names_is_there(name: str) -> None:
    assert any((folder / name).exists() for folder in (REPOSITORY, PACKAGE))


def test_files_are_short_enough_to_read_at_once() -> None:
    lines = {
        path.relative_to(REPOSITORY).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {name: count for name, count in lines.items() if count > MOST_LINES and name not in TABLES} == {}
    assert statistics.median(lines.values()) <= MEDIAN_LINES
