"""What a review consists of. It is only data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

SAMPLES = 10  # drawn with the pack
ORIGINALS = 3  # the brand's own, which the pack was not trained on
BASES = 3  # drawn with the bare base, without the brand
CARDS = SAMPLES + ORIGINALS + BASES


class Kind(StrEnum):
    """What a card shows. Together they are the key, which nobody gets before their own verdict."""

    PACK = "pack"
    ORIGINAL = "original"
    BASE = "base"


class Answer(StrEnum):
    """What a designer says of one picture."""

    AS_IS = "as_is"
    SMALL_FIX = "small_fix"
    NO = "no"

    @property
    def is_usable(self) -> bool:
        """Whether the studio would use the picture."""
        return self is not Answer.NO


class Reason(StrEnum):
    """Why a picture isn't used as it is."""

    COLOUR = "colour"
    LINE = "line"
    SHADING = "shading"
    BACKGROUND = "background"
    COMPOSITION = "composition"
    WRONG_OBJECT = "wrong_object"
    ARTEFACT = "artefact"
    COPY = "copy"


class Outcome(StrEnum):
    """What follows from a verdict. It decides nothing if the reviewer's answers can't be told from chance."""

    APPROVED = "approved"
    REJECTED = "rejected"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class CardAnswer:
    """What one reviewer said of one card."""

    answer: Answer
    reasons: frozenset[Reason] = frozenset()


class AsideKind(StrEnum):
    """What a drawing of the pack is compared with after the verdict."""

    BASE = "base"  # the same prompt and seed, drawn with the bare base
    TRAINING = "training"  # one of the illustrations that the pack was trained on


@dataclass(frozen=True)
class Aside:
    """A picture that is shown beside a card of the pack, after the verdict. `source` is a training picture's name."""

    place: int  # 1–3
    kind: AsideKind
    source: str | None
    is_flagged: bool  # nearer to the drawing than any two of the brand's own pictures are to each other
    is_mirrored: bool  # it is like the drawing, left to right
    sha256: str  # of the stored PNG
    tile_sha256: str  # of its rendition


@dataclass(frozen=True)
class Card:
    """One card of a review. `seed` is None for an original, and `source` is the file name of an original alone."""

    n: int  # 1–16, its place after the shuffle
    kind: Kind
    prompt: str  # of an original: its caption
    seed: int | None
    source: str | None
    sha256: str  # of the stored picture
    asides: tuple[Aside, ...] = ()  # by place; as secret as `kind`, because only a card of the pack has any


@dataclass(frozen=True)
class Review:
    """A review of one pack. `cards` are in the order in which everybody sees them."""

    id: UUID
    pack_id: str
    pack_name: str
    pack_version: str
    opened_at: datetime
    opened_by: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Verdict:
    """What one reviewer answered about a whole review, and what followed. It never changes."""

    review_id: UUID
    reviewer: str  # the name that Entra told
    user_id: UUID  # the object id in Entra
    given_at: datetime
    outcome: Outcome
    answers: tuple[CardAnswer, ...]  # of cards 1 to 16
    took_back: bool  # whether this pack was live and no longer is, since this review
