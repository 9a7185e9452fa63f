"""What the miniature learns to draw: the table `concepts.txt`, read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent / "concepts.txt"
EMOJI_SETS = ("noto", "noto-v1", "fluent-emoji-flat")
OWN = "own"
ROLES = frozenset({"holds", "carries", "small", "plate", "one", "core", "ribbon"})


@dataclass(frozen=True)
class Concept:
    """One thing: its name, other words for it, its drawings as set/icon, and what it can be to another thing."""

    name: str
    synonyms: tuple[str, ...]
    drawings: tuple[str, ...]
    roles: frozenset[str]

    @property
    def is_plural(self) -> bool:
        """Whether it takes no article: coins, headphones."""
        return self.name in _PLURAL


_PLURAL = frozenset(
    [
        *("balloons", "books", "bread", "coins", "french fries", "glasses", "grapes", "headphones", "jeans"),
        *("scissors", "shopping bags", "socks", "sunglasses"),
    ]
)


def read_concepts(table: Path = TABLE) -> list[Concept]:
    """The table's concepts, in its order.

    Raises:
        ValueError: a line that isn't four fields, a role that doesn't exist, or a name that comes twice.
    """
    concepts = []
    for number, line in enumerate(table.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.split(";")]
        if len(fields) != 4:
            raise ValueError(f"{table.name}, line {number}: four fields are wanted, there are {len(fields)}")
        name, synonyms, drawings, roles = fields
        if not ROLES.issuperset(roles.split()):
            raise ValueError(f"{table.name}, line {number}: a role is none of {', '.join(sorted(ROLES))}")
        words = tuple(word.strip() for word in synonyms.split(",") if word.strip())
        concepts.append(Concept(name, words, tuple(drawings.split()), frozenset(roles.split())))
    names = [concept.name for concept in concepts]
    if len(set(names)) < len(names):
        raise ValueError(f"{table.name}: a name comes twice")
    return concepts
