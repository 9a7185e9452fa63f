"""What a base of known limits can draw: `known.json` beside its weights. Bases of HiDream have none.

Whoever writes the file says which things the model has learned, other words for each, and which of them is nearest to
words that it hasn't (`models.mini.recipe.known`). The file decides what the page says before and beside a picture, and
nothing about the picture. So a base's manifest need not name it; if it does, the file is compared with its checksum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from onbrand.errors import WeightsMissing
from onbrand.packs.base import Base
from onbrand.packs.manifest import Line, parse_document
from onbrand.storage.files import STRICT

KNOWN = "known.json"


@dataclass(frozen=True)
class Thing:
    """A thing that the model can draw, and other words for it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Line
    words: tuple[Line, ...]


@dataclass(frozen=True)
class Known:
    """All of `known.json`. `near`: from a word that names nothing known to the places of the nearest things."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    most_things: Annotated[int, Field(ge=1, le=10)] | None  # in one picture; None: any number
    things: Annotated[tuple[Thing, ...], Field(min_length=1, max_length=1000)]
    near: dict[Line, tuple[int, ...]]

    def __post_init__(self) -> None:
        if any(not 0 <= index < len(self.things) for indices in self.near.values() for index in indices):
            raise ValueError("`near` names a thing that is not there")


def parse_known(document: bytes) -> Known:
    """Parse `known.json` strictly.

    Raises:
        ManifestInvalid: it is not one that this version understands.
    """
    return parse_document(document, Known, KNOWN)


def known_things(base: Base) -> Known | None:
    """What the base says about its limits; None if it has none.

    Raises:
        ManifestInvalid: the file is not one that this version understands.
        ChecksumMismatch: the base's manifest names the file, and it differs.
        FileUnreadable, FileChanged, ObjectStoreRefused, ObjectStoreUnreachable: as for `Base.read`.
    """
    is_listed = any(file.path == KNOWN for file in base.manifest.files)
    try:
        return parse_known(base.read(KNOWN) if is_listed else base.folder.read(KNOWN))
    except WeightsMissing:
        return None
