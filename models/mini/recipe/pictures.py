"""Picture k of the training data: what it shows and what its caption says, drawn from k and the seed alone.

Every colour in a caption stands beside its thing, and every ground that is named is painted as named. What a caption
leaves open varies: without a ground it is white or a pale colour, without a colour a thing has its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.mini.recipe.colours import COLOURS
from models.mini.recipe.concepts import Concept
from models.mini.recipe.scenes import FLOOR, TOKEN, Ground, Item, Picture
from models.mini.recipe.wording import any_ground, caption, floor_of, noun, style_of

# Two things stand half a picture apart, which is four of the network's tokens, and on plain grounds an eighth, one
# token, higher than on a floor: what it learns of a thing at one place holds at the others.
PAIR_PLACES = 0.25, 0.75
PAIR_LONGEST = 0.46
PAIR_BOTTOM = FLOOR - TOKEN
_PAIR_SCENES = 0.1
_CORE = 2.5  # with two things or more, how many times more often a core thing comes


@dataclass(frozen=True)
class Sample:
    """One training picture with its caption; `names` are the concepts in it.

    `subject` and `ground` are the caption's parts: "a red mug", "on white"; the ground is "" where it isn't named.
    """

    picture: Picture
    caption: str
    names: tuple[str, ...]
    subject: str
    ground: str


@dataclass(frozen=True)
class Cast:
    """The concepts with their drawings; `weights` say how often each is chosen."""

    concepts: Sequence[Concept]
    drawings: Sequence[Sequence[str]]
    weights: Sequence[float]

    def with_role(self, role: str) -> list[int]:
        """Indices of the concepts that can be that."""
        return [index for index, concept in enumerate(self.concepts) if role in concept.roles]


def sample(cast: Cast, seed: int, k: int) -> Sample:
    """Picture k: the same for the same seed and concepts, on any machine."""
    rng = random.Random(seed * 1_000_003 + k)
    layout = rng.choices(list(_LAYOUTS), [share for _, share in _LAYOUTS.values()])[0]
    return _LAYOUTS[layout][0](cast, rng)


def _pick(cast: Cast, rng: random.Random, role: str = "", core: float = 1.0) -> int:
    """One of the things, or of those with a role; `core` says how many times more often a core thing comes."""
    indices = list(cast.with_role(role)) if role else list(range(len(cast.concepts)))
    favours = [core if "core" in cast.concepts[index].roles else 1.0 for index in indices]
    shares = [cast.weights[index] * favour for index, favour in zip(indices, favours, strict=True)]
    return rng.choices(indices, shares)[0]


def _colour(cast: Cast, rng: random.Random, index: int, share: float = 0.6) -> str | None:
    if "one" in cast.concepts[index].roles or rng.random() > share:
        return None
    return rng.choice(list(COLOURS))


def _finish(
    rng: random.Random, items: list[Item], subject: str, ground: tuple[Ground, str], names: list[str]
) -> Sample:
    style, style_words = style_of(rng, ground[0])
    picture = Picture(ground[0], tuple(items), style)
    words = caption(rng, subject, ground[1], style_words)
    return Sample(picture, words, tuple(names), subject, ground[1])


def _drawn(cast: Cast, rng: random.Random, index: int) -> str:
    return rng.choice(cast.drawings[index])


def _single(cast: Cast, rng: random.Random) -> Sample:
    index = _pick(cast, rng)
    colour = _colour(cast, rng, index)
    ground = any_ground(rng, [colour], 0.16)
    is_centred = ground[0].kind in ("plain", "disc", "split", "sky")
    bottom = None if is_centred else floor_of(ground[0], 0.5)
    longest = 0.68 if ground[0].kind in ("plain", "split") else 0.56
    subject = noun(rng, cast.concepts[index], colour)
    detail = None
    drawing = _drawn(cast, rng, index)
    if colour and "ribbon" in cast.concepts[index].roles and rng.random() < 0.7:
        detail = rng.choice([other for other in COLOURS if other != colour])
        drawing = rng.choice(cast.drawings[index][:2])  # the others' ribbons have the box's hue
        subject += f" with {'an' if detail[0] in 'aeiou' else 'a'} {detail} ribbon"
    item = Item(drawing, colour, 0.5, bottom, longest, detail=detail)
    return _finish(rng, [item], subject, ground, [cast.concepts[index].name])


def _two(cast: Cast, rng: random.Random) -> tuple[int, int]:
    first = _pick(cast, rng, core=_CORE)
    second = first
    while second == first:
        second = _pick(cast, rng, core=_CORE)
    return first, second


def _beside(cast: Cast, rng: random.Random) -> Sample:
    left, right = _two(cast, rng)
    colours = [_colour(cast, rng, index) for index in (left, right)]
    ground = any_ground(rng, colours, _PAIR_SCENES)
    bottom = floor_of(ground[0], PAIR_BOTTOM)
    items = [
        Item(_drawn(cast, rng, index), colour, x, bottom, PAIR_LONGEST)
        for index, colour, x in zip((left, right), colours, PAIR_PLACES, strict=True)
    ]
    nouns = [noun(rng, cast.concepts[index], colour) for index, colour in zip((left, right), colours, strict=True)]
    word = rng.choice(["and", "and", "and", "beside", "next to"])
    return _finish(rng, items, f"{nouns[0]} {word} {nouns[1]}", ground, [cast.concepts[i].name for i in (left, right)])


def _row(cast: Cast, rng: random.Random) -> Sample:
    indices = [_pick(cast, rng) for _ in range(3)]
    is_pair = rng.random() < 0.35  # two cups and a laptop
    if is_pair:
        indices[1] = indices[0]
    colours = [_colour(cast, rng, index, 0.4) for index in indices]
    ground = any_ground(rng, colours)
    bottom = floor_of(ground[0], 0.64)
    drawings = [_drawn(cast, rng, index) for index in indices]
    if is_pair:
        colours[1], drawings[1] = colours[0], drawings[0]
    places = zip(drawings, colours, (0.19, 0.5, 0.81), strict=True)
    items = [Item(drawing, colour, x, bottom, 0.28) for drawing, colour, x in places]
    nouns = [noun(rng, cast.concepts[index], colour) for index, colour in zip(indices, colours, strict=True)]
    subject = f"{nouns[0]}, {nouns[1]} and {nouns[2]}"
    if is_pair:
        subject = f"{_counted(cast, indices[0], colours[0], 2)} and {nouns[2]}"
    return _finish(rng, items, subject, ground, [cast.concepts[index].name for index in indices])


def _several(cast: Cast, rng: random.Random) -> Sample:
    index = _pick(cast, rng)
    colour = _colour(cast, rng, index)
    count = rng.choice([2, 2, 3])
    ground = any_ground(rng, [colour])
    places: Sequence[float] = PAIR_PLACES if count == 2 else (0.19, 0.5, 0.81)
    longest, bottom = (PAIR_LONGEST, PAIR_BOTTOM) if count == 2 else (0.28, 0.64)
    drawing = _drawn(cast, rng, index)
    items = [Item(drawing, colour, x, floor_of(ground[0], bottom), longest) for x in places]
    subject = _counted(cast, index, colour, count)
    return _finish(rng, items, subject, ground, [cast.concepts[index].name])


def _counted(cast: Cast, index: int, colour: str | None, count: int) -> str:
    """ "two blue cups" """
    name = cast.concepts[index].name
    if not name.endswith("s"):
        name += "es" if name.endswith(("x", "ch", "sh")) else "s"
    return " ".join(word for word in (("two", "three")[count - 2], colour or "", name) if word)


def _related(cast: Cast, rng: random.Random, role: str, words: Sequence[str], large: Item, small: Item) -> Sample:
    """A small thing on, in or before a large one; `large` and `small` say where and in which order."""
    big = _pick(cast, rng, role, _CORE)
    little = big
    while little == big:
        little = _pick(cast, rng, "small", _CORE)
    colours = _colour(cast, rng, big), _colour(cast, rng, little)
    ground = any_ground(rng, colours, 0)
    while ground[0].kind not in ("plain", "disc"):
        ground = any_ground(rng, colours, 0)
    base = Item(_drawn(cast, rng, big), colours[0], large.x, large.bottom, large.longest, large.middle)
    extra = Item(
        _drawn(cast, rng, little), colours[1], small.x, small.bottom, small.longest, small.middle, sunk=small.sunk
    )
    items = [extra, base] if role == "holds" else [base, extra]
    nouns = noun(rng, cast.concepts[little], colours[1]), noun(rng, cast.concepts[big], colours[0])
    word = rng.choice(list(words))
    subject = f"{nouns[1]} {word} {nouns[0]}" if word in ("with", "holding") else f"{nouns[0]} {word} {nouns[1]}"
    if role == "plate":
        subject = f"{nouns[1]} with {nouns[0]} on it"
    return _finish(rng, items, subject, ground, [cast.concepts[little].name, cast.concepts[big].name])


def _on(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast,
        rng,
        "carries",
        ["on", "on top of"],
        Item("", None, 0.5, FLOOR, PAIR_LONGEST),
        Item("", None, 0.5, None, PAIR_LONGEST, sunk=0.05),
    )


def _inside(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast,
        rng,
        "holds",
        ["in", "inside"],
        Item("", None, 0.5, FLOOR, PAIR_LONGEST),
        Item("", None, 0.5, None, PAIR_LONGEST, sunk=0.38),
    )


def _before(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast,
        rng,
        "",
        ["in front of", "with"],
        Item("", None, 0.375, PAIR_BOTTOM, PAIR_LONGEST),
        Item("", None, 0.75, FLOOR, PAIR_LONGEST),
    )


def _sign(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast, rng, "plate", ["with"], Item("", None, 0.5, None, 0.66, 0.5), Item("", None, 0.5, None, 0.24, 0.52)
    )


_LAYOUTS = {
    "single": (_single, 36),
    "beside": (_beside, 24),
    "before": (_before, 8),
    "on": (_on, 15),
    "inside": (_inside, 11),
    "sign": (_sign, 1),
    "several": (_several, 3),
    "row": (_row, 2),
}
