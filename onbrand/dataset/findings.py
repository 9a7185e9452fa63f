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


@dataclass(frozen=True)
class Kind:
    """A kind of finding. `label` names it in two or three words."""

    severity: Severity
    label: str


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        # --- the folder
        "no_pictures": Kind(_E, "no pictures"),
        "few_pictures": Kind(_W, "few pictures"),
        "many_pictures": Kind(_W, "many pictures"),
        "two_sub_styles": Kind(_W, "two styles"),
        "several_grounds": Kind(_W, "several grounds"),
        "ground_unknown": Kind(_W, "ground not known"),
        "ignored_files": Kind(_N, "left out"),
        "ignored_folder": Kind(_N, "folder left out"),
        # --- the file
        "name_unreadable": Kind(_E, "unreadable name"),
        "name_taken": Kind(_E, "same name twice"),
        "link_leaves_folder": Kind(_E, "link to elsewhere"),
        "link_broken": Kind(_E, "broken link"),
        "file_unreadable": Kind(_E, "can't be read"),
        "file_empty": Kind(_E, "empty file"),
        "file_too_large": Kind(_E, "file too large"),
        "vector": Kind(_E, "vector file"),
        "format_unsupported": Kind(_E, "other format"),
        "not_a_picture": Kind(_E, "no picture"),
        "damaged": Kind(_E, "damaged"),
        "misnamed": Kind(_W, "wrong ending"),
        # --- the picture
        "too_many_pixels": Kind(_E, "too many pixels"),
        "too_small": Kind(_E, "too small"),
        "enlarged": Kind(_W, "enlarged"),
        "too_narrow": Kind(_E, "too long or too wide"),
        "padded": Kind(_N, "made square"),
        "bars": Kind(_W, "bars at the sides"),
        "animated": Kind(_E, "animated"),
        "several_pages": Kind(_E, "several pages"),
        "blank": Kind(_E, "nothing to see"),
        "transparent": Kind(_N, "placed on the ground"),
        "colour_model": Kind(_E, "unusual colours"),
        "cmyk": Kind(_W, "print colours"),
        "cmyk_unknown": Kind(_E, "print colours"),
        "profile_damaged": Kind(_E, "damaged colour profile"),
        "colour_profile": Kind(_N, "colours converted"),
        "sixteen_bit": Kind(_N, "16 bits rounded"),
        "turned": Kind(_N, "turned upright"),
        "jpeg_artefacts": Kind(_W, "JPEG specks"),
        # --- the captions
        "caption_missing": Kind(_E, "no caption"),
        "caption_empty": Kind(_E, "empty caption"),
        "caption_too_long": Kind(_E, "caption too long"),
        "caption_invalid": Kind(_E, "caption with odd characters"),
        "caption_unreadable": Kind(_E, "caption can't be read"),
        "captions_differ": Kind(_E, "two captions"),
        "caption_cut": Kind(_W, "long caption"),
        "caption_repeated": Kind(_W, "same caption twice"),
        "caption_style": Kind(_W, "style in the captions"),
        "caption_without_picture": Kind(_W, "caption without picture"),
        # --- the pictures beside each other
        "duplicate": Kind(_E, "same picture twice"),
        "near_duplicate": Kind(_W, "looks like another"),
        "outlier": Kind(_W, "stands apart"),
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
    def label(self) -> str:
        """What its kind is called."""
        return KINDS[self.kind].label

    @property
    def severity(self) -> Severity:
        """The severity of its kind."""
        return KINDS[self.kind].severity


def shown(name: str) -> str:
    """A file's name as it can be shown on any terminal and page: what can't be printed becomes `�`."""
    return "".join(char if char.isprintable() else "�" for char in name)


def listed(names: tuple[str, ...] | list[str], most: int = 4) -> str:
    """Names in a sentence: `a, b and 7 more`."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))
