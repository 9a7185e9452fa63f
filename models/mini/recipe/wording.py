"""Grounds, styles and things, each with the words that a caption has for it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from models.mini.recipe.colours import COLOUR_SYNONYMS, COLOURS, GROUNDS, rgb_of, to_oklab
from models.mini.recipe.concepts import Concept
from models.mini.recipe.scenes import FLOOR, Ground, Style

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


def noun(rng: random.Random, concept: Concept, colour: str | None) -> str:
    """A thing with its article and colour: "a red backpack", "blue headphones"."""
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


def any_ground(rng: random.Random, colours: Sequence[str | None], scenes: float = 0.2) -> tuple[Ground, str]:
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


def style_of(rng: random.Random, ground: Ground) -> tuple[Style, str]:
    """A style on this ground, and its words; most pictures have none."""
    if ground.kind in ("plain", "disc") and rng.random() < 0.45:
        kinds = rng.sample(["outline", "block", "flat"], rng.choice([1, 2, 2, 3]))
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


def caption(rng: random.Random, subject: str, ground: str, style: str) -> str:
    """The whole caption, sometimes with a lead ("an icon of") and a capital."""
    text = with_ground(subject, ground)
    if style:
        text = f"{text}, {style}"
    text = rng.choice(_LEADS) + text
    return text[0].upper() + text[1:] if rng.random() < 0.25 else text


def floor_of(ground: Ground, plain: float) -> float:
    """Where things stand on this ground, as a fraction from the top; `plain` where there is no floor."""
    return {
        "plain": plain,
        "disc": plain,
        "split": plain,
        "sky": plain,
        "city": 0.66,
        "podium": 0.855,
        "shelf": 0.865,
    }.get(ground.kind, FLOOR)
