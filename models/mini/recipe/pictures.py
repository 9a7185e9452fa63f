"""Picture k of the training data: what it shows and what its caption says, drawn from k and the seed alone.

Every colour in a caption stands beside its thing, and every ground that is named is painted as named. What a caption
leaves open varies: without a ground it is white or a pale colour, without a colour a thing has its own.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.mini.recipe.colours import COLOUR_SYNONYMS, COLOURS, GROUNDS, rgb_of, to_oklab
from models.mini.recipe.concepts import Concept
from models.mini.recipe.scenes import FLOOR, Ground, Item, Picture, Style

_LEAST_CONTRAST = 0.10  # in Oklab, between a named colour and the ground behind it
_PALE = ("cream", "light grey", "light blue", "mint", "light yellow", "peach", "light pink", "lavender", "beige")
_SCENES = {
    "table": ("on a wooden table", "on a table", "on a desk", "on a wooden desk"),
    "beach": ("on a beach", "on a sandy beach", "at the seaside"),
    "grass": ("on grass under a blue sky", "on a meadow", "outdoors on green grass", "in a park"),
    "sky": ("in the sky", "in a blue sky with clouds", "among clouds"),
    "night": ("at night", "at night under the moon and stars", "under a starry sky"),
    "snow": ("in the snow", "on snow in winter"),
    "city": ("over a city", "in front of a city", "in front of a city skyline", "above the city"),
}
_STYLE_WORDS = {
    "outline": ("with a {c} outline", "outlined in {c}", "with a bold {c} outline"),
    "block": ("with a long shadow", "with a hard shadow", "with a block shadow"),
    "flat": ("in flat colours", "flat fills", "as a flat icon"),
}
_LEADS = (
    "",
    "",
    "",
    "",
    "an illustration of ",
    "an icon of ",
    "a flat illustration of ",
    "a picture of ",
    "a drawing of ",
)


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
    """The concepts with their drawings; `weights` say how often each is chosen, `plain` which keep their colours."""

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


def _pick(cast: Cast, rng: random.Random, role: str = "") -> int:
    indices = cast.with_role(role) if role else range(len(cast.concepts))
    return rng.choices(list(indices), [cast.weights[index] for index in indices])[0]


def _colour(cast: Cast, rng: random.Random, index: int, share: float = 0.6) -> str | None:
    if "one" in cast.concepts[index].roles or rng.random() > share:
        return None
    return rng.choice(list(COLOURS))


def _noun(cast: Cast, rng: random.Random, index: int, colour: str | None) -> str:
    """A thing with its article and colour: "a red backpack", "blue headphones"."""
    concept = cast.concepts[index]
    is_synonym = bool(concept.synonyms) and rng.random() < 0.22
    name = rng.choice(concept.synonyms) if is_synonym else concept.name
    words = [name]
    if colour is not None:
        others = COLOUR_SYNONYMS.get(colour, ())
        words.insert(0, rng.choice(others) if others and rng.random() < 0.25 else colour)
    text = " ".join(words)
    if (concept.is_plural and not is_synonym) or text.endswith("s") or rng.random() < 0.08:
        return text
    return ("an " if text[0] in "aeiou" else "a ") + text


def _plain_ground(rng: random.Random) -> tuple[Ground, str]:
    """A ground of one or two colours, and how a caption names it; "" where it doesn't."""
    if rng.random() < 0.28:
        name = "white" if rng.random() < 0.5 else rng.choice(_PALE)
        return Ground("plain", GROUNDS[name]), ""
    name = "white" if rng.random() < 0.12 else rng.choice(list(GROUNDS))
    code = GROUNDS[name]
    kind = rng.choices(["plain", "disc", "floor", "podium", "shelf", "split"], [72, 12, 7, 4, 3, 2])[0]
    article = "an" if name[0] in "aeiou" else "a"
    if kind == "plain":
        phrase = rng.choice(
            [
                f"on {article} {name} background",
                f"on {article} {name} background",
                f"on {name}",
                f"{name} background",
                f"{article} {name} ground",
                f"against {article} {name} background",
            ]
        )
        return Ground("plain", code), phrase
    second = rng.choice([other for other in GROUNDS if other != name])
    other_article = "an" if second[0] in "aeiou" else "a"
    phrase = {
        "disc": f"in front of {other_article} {second} circle on {article} {name} background",
        "floor": f"on {other_article} {second} floor, {name} wall",
        "podium": f"on {other_article} {second} podium, {name} background",
        "shelf": f"on a shelf, {name} wall",
        "split": f"on a half {name}, half {second} background",
    }[kind]
    return Ground(kind, code, GROUNDS[second]), phrase


def _any_ground(rng: random.Random, colours: Sequence[str | None], scenes: float = 0.2) -> tuple[Ground, str]:
    """A ground on which things of these colours can be seen."""
    ground = _some_ground(rng, scenes)
    while any(colour and _distance(COLOURS[colour], ground[0].behind) < _LEAST_CONTRAST for colour in colours):
        ground = _some_ground(rng, scenes)
    return ground


def _distance(one: str, other: str) -> float:
    return float(np.linalg.norm(to_oklab(rgb_of(one)) - to_oklab(rgb_of(other))))


def _some_ground(rng: random.Random, scenes: float) -> tuple[Ground, str]:
    if rng.random() < scenes:
        kind = rng.choice(list(_SCENES))
        wall = GROUNDS[rng.choice(_PALE)]
        return Ground(kind, wall, "#c68a55"), rng.choice(_SCENES[kind])
    return _plain_ground(rng)


def _style(rng: random.Random, ground: Ground) -> tuple[Style, str]:
    if ground.kind in ("plain", "disc") and rng.random() < 0.14:
        kinds = rng.sample(["outline", "block", "flat"], rng.choice([1, 1, 2, 3]))
        colour = rng.choice(["black", "black", "navy", "white", "brown"])
        words = [rng.choice(_STYLE_WORDS[kind]).format(c=colour) for kind in kinds]
        style = Style(
            outline=COLOURS[colour] if "outline" in kinds else "",
            outline_width=rng.choice([0.012, 0.02, 0.03]),
            shadow="block" if "block" in kinds else "",
            shadow_length=rng.choice([0.05, 0.10]),
            levels=rng.choice([4, 6]) if "flat" in kinds else 0,
        )
        return style, ", ".join(words)
    stands = ground.kind in ("floor", "table", "podium", "shelf", "grass", "beach", "snow", "night")
    return Style(shadow="soft" if stands or (ground.kind == "plain" and rng.random() < 0.25) else ""), ""


def with_ground(subject: str, ground: str) -> str:
    """ "a red mug on white", "a red mug, white background" """
    if ground.endswith("ground") and not ground.startswith(("on", "in ", "against")):
        return f"{subject}, {ground}"
    return f"{subject} {ground}".strip()


def _caption(rng: random.Random, subject: str, ground: str, style: str) -> str:
    text = with_ground(subject, ground)
    if style:
        text = f"{text}, {style}"
    text = rng.choice(_LEADS) + text
    return text[0].upper() + text[1:] if rng.random() < 0.25 else text


def _finish(
    rng: random.Random, items: list[Item], subject: str, ground: tuple[Ground, str], names: list[str]
) -> Sample:
    style, style_words = _style(rng, ground[0])
    picture = Picture(ground[0], tuple(items), style)
    caption = _caption(rng, subject, ground[1], style_words)
    return Sample(picture, caption, tuple(names), subject, ground[1])


def _drawn(cast: Cast, rng: random.Random, index: int) -> str:
    return rng.choice(cast.drawings[index])


def _bottom(ground: Ground, plain: float) -> float:
    return {
        "plain": plain,
        "disc": plain,
        "split": plain,
        "sky": plain,
        "city": 0.66,
        "podium": 0.855,
        "shelf": 0.865,
    }.get(ground.kind, FLOOR)


def _single(cast: Cast, rng: random.Random) -> Sample:
    index = _pick(cast, rng)
    colour = _colour(cast, rng, index)
    ground = _any_ground(rng, [colour], 0.16)
    is_centred = ground[0].kind in ("plain", "disc", "split", "sky")
    bottom = None if is_centred else _bottom(ground[0], 0.5)
    longest = 0.68 if ground[0].kind in ("plain", "split") else 0.56
    subject = _noun(cast, rng, index, colour)
    detail = None
    drawing = _drawn(cast, rng, index)
    if colour and "ribbon" in cast.concepts[index].roles and rng.random() < 0.7:
        detail = rng.choice([other for other in COLOURS if other != colour])
        drawing = rng.choice(cast.drawings[index][:2])  # the others' ribbons have the box's hue
        subject += f" with {'an' if detail[0] in 'aeiou' else 'a'} {detail} ribbon"
    item = Item(drawing, colour, 0.5, bottom, longest, detail=detail)
    return _finish(rng, [item], subject, ground, [cast.concepts[index].name])


def _two(cast: Cast, rng: random.Random) -> tuple[int, int]:
    first = _pick(cast, rng)
    second = first
    while second == first:
        second = _pick(cast, rng)
    return first, second


def _beside(cast: Cast, rng: random.Random) -> Sample:
    left, right = _two(cast, rng)
    colours = [_colour(cast, rng, index) for index in (left, right)]
    ground = _any_ground(rng, colours)
    bottom = _bottom(ground[0], 0.70)
    items = [
        Item(_drawn(cast, rng, index), colour, x, bottom, 0.42)
        for index, colour, x in zip((left, right), colours, (0.27, 0.73), strict=True)
    ]
    nouns = [_noun(cast, rng, index, colour) for index, colour in zip((left, right), colours, strict=True)]
    word = rng.choice(["and", "and", "and", "beside", "next to"])
    return _finish(rng, items, f"{nouns[0]} {word} {nouns[1]}", ground, [cast.concepts[i].name for i in (left, right)])


def _row(cast: Cast, rng: random.Random) -> Sample:
    indices = [_pick(cast, rng) for _ in range(3)]
    is_pair = rng.random() < 0.35  # two cups and a laptop
    if is_pair:
        indices[1] = indices[0]
    colours = [_colour(cast, rng, index, 0.4) for index in indices]
    ground = _any_ground(rng, colours)
    bottom = _bottom(ground[0], 0.64)
    drawings = [_drawn(cast, rng, index) for index in indices]
    if is_pair:
        colours[1], drawings[1] = colours[0], drawings[0]
    places = zip(drawings, colours, (0.19, 0.5, 0.81), strict=True)
    items = [Item(drawing, colour, x, bottom, 0.28) for drawing, colour, x in places]
    nouns = [_noun(cast, rng, index, colour) for index, colour in zip(indices, colours, strict=True)]
    subject = f"{nouns[0]}, {nouns[1]} and {nouns[2]}"
    if is_pair:
        subject = f"{_counted(cast, indices[0], colours[0], 2)} and {nouns[2]}"
    return _finish(rng, items, subject, ground, [cast.concepts[index].name for index in indices])


def _several(cast: Cast, rng: random.Random) -> Sample:
    index = _pick(cast, rng)
    colour = _colour(cast, rng, index)
    count = rng.choice([2, 2, 3])
    ground = _any_ground(rng, [colour])
    places, longest, bottom = ((0.27, 0.73), 0.42, 0.70) if count == 2 else ((0.19, 0.5, 0.81), 0.28, 0.64)
    drawing = _drawn(cast, rng, index)
    items = [Item(drawing, colour, x, _bottom(ground[0], bottom), longest) for x in places]
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
    big = _pick(cast, rng, role) if role else _pick(cast, rng)
    little = big
    while little == big:
        little = _pick(cast, rng, "small")
    colours = _colour(cast, rng, big), _colour(cast, rng, little)
    ground = _any_ground(rng, colours, 0)
    while ground[0].kind not in ("plain", "disc"):
        ground = _any_ground(rng, colours, 0)
    base = Item(_drawn(cast, rng, big), colours[0], large.x, large.bottom, large.longest, large.middle)
    extra = Item(
        _drawn(cast, rng, little), colours[1], small.x, small.bottom, small.longest, small.middle, sunk=small.sunk
    )
    items = [extra, base] if role == "holds" else [base, extra]
    nouns = _noun(cast, rng, little, colours[1]), _noun(cast, rng, big, colours[0])
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
        Item("", None, 0.5, 0.88, 0.50),
        Item("", None, 0.5, None, 0.34, sunk=0.05),
    )


def _inside(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast,
        rng,
        "holds",
        ["in", "inside"],
        Item("", None, 0.5, 0.88, 0.52),
        Item("", None, 0.5, None, 0.36, sunk=0.38),
    )


def _before(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast, rng, "", ["in front of", "with"], Item("", None, 0.44, None, 0.58, 0.44), Item("", None, 0.72, 0.88, 0.34)
    )


def _sign(cast: Cast, rng: random.Random) -> Sample:
    return _related(
        cast, rng, "plate", ["with"], Item("", None, 0.5, None, 0.66, 0.5), Item("", None, 0.5, None, 0.24, 0.52)
    )


_LAYOUTS = {
    "single": (_single, 62),
    "beside": (_beside, 14),
    "before": (_before, 5),
    "on": (_on, 5),
    "inside": (_inside, 4),
    "sign": (_sign, 3),
    "several": (_several, 4),
    "row": (_row, 3),
}
