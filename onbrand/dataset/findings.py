"""What can be wrong with a data set: one row for each kind of finding, and the finding itself in a designer's words.

Each kind is explained in docs/dataset.md; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Severity(StrEnum):
    """How bad it is. With an error the folder is not used; a warning is worth a look; a note says what was done."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
KINDS: Mapping[str, Severity] = MappingProxyType(
    {
        # --- the folder
        "no_pictures": _E,
        "few_pictures": _W,
        "many_pictures": _W,
        "two_sub_styles": _W,
        "ground_unknown": _W,
        "ignored_files": _N,
        "ignored_folder": _N,
        # --- the file
        "name_unreadable": _E,
        "name_taken": _E,
        "link_leaves_folder": _E,
        "link_broken": _E,
        "file_unreadable": _E,
        "file_empty": _E,
        "file_too_large": _E,
        "vector": _E,
        "format_unsupported": _E,
        "not_a_picture": _E,
        "damaged": _E,
        "misnamed": _W,
        # --- the picture
        "too_many_pixels": _E,
        "too_small": _E,
        "enlarged": _W,
        "too_narrow": _E,
        "padded": _N,
        "bars": _W,
        "animated": _E,
        "several_pages": _E,
        "blank": _E,
        "transparent": _N,
        "colour_model": _E,
        "cmyk": _W,
        "cmyk_unknown": _E,
        "profile_damaged": _E,
        "colour_profile": _N,
        "sixteen_bit": _N,
        "turned": _N,
        "jpeg_artefacts": _W,
        # --- the captions
        "caption_missing": _E,
        "caption_empty": _E,
        "caption_too_long": _E,
        "caption_invalid": _E,
        "caption_unreadable": _E,
        "captions_differ": _E,
        "caption_cut": _W,
        "caption_repeated": _W,
        "caption_without_picture": _W,
        # --- the pictures beside each other
        "duplicate": _E,
        "near_duplicate": _W,
        "outlier": _W,
    }
)


@dataclass(frozen=True)
class Finding:
    """One thing that a designer should know. `file` is None when it is about the folder as a whole."""

    kind: str
    file: str | None
    cause: str  # what is so: whole sentences
    remedy: str  # what to do: whole sentences; empty for most notes, where nothing needs doing
    others: tuple[str, ...] = ()  # the other files that it is about

    @property
    def severity(self) -> Severity:
        """The severity of its kind."""
        return KINDS[self.kind]


def shown(name: str) -> str:
    """A file's name as it can be shown on any terminal and page: what can't be printed becomes `�`."""
    return "".join(char if char.isprintable() else "�" for char in name)


def listed(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    """Names in a sentence: `a, b and 7 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))
