"""How good the pictures are, by judges that the miniature can't have learned to please: a table and JSON.

Prompts are fixed by a seed, and each is drawn with four fixed seeds, the first time, nothing picked. Some ask for one
thing, some for two side by side; then each half of the picture is judged by itself. Clean drawings of the same prompts
go through the same measures, and so does the first edition: what matters is the distance.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from models.mini.recipe import measures
from models.mini.recipe.art import Art
from models.mini.recipe.colours import COLOURS, GROUNDS, rgb_of, to_oklab
from models.mini.recipe.concepts import Concept
from models.mini.recipe.judge import SIDE, Recogniser, recognise
from models.mini.recipe.pictures import PAIR_BOTTOM, PAIR_LONGEST, PAIR_PLACES, Cast
from models.mini.recipe.scenes import Ground, Item, Picture, paint
from onbrand.hidream.load import load_pipeline
from onbrand.packs.base import load_base
from onbrand.packs.manifest import load_pack
from onbrand.storage.files import LocalFolder

SEEDS = (11, 12, 13, 14)
LARGE = 1024  # pixels
# Words that name one colour each: between beige and white or coral and pink people differ, too.
ASKED = ("red", "orange", "yellow", "green", "teal", "blue", "navy", "purple", "pink", "black")
ASKED_GROUNDS = ("white", "cream", "light blue", "mint", "sage green", "yellow", "pink", "lavender", "navy", "coral")
_LEAST_CONTRAST = 0.2  # in Oklab, between the asked colour and the asked ground

_SHOWN = (
    ("pictures", "pictures", "d"),
    ("recognised", "recognised", ".0%"),
    ("asked colour", "right_colour", ".0%"),
    ("asked ground", "right_ground", ".0%"),
    ("acutance", "acutance", ".3f"),
    ("seams", "seams", ".3f"),
    ("diversity", "diversity", ".3f"),
    ("of two: recognised", "two_recognised", ".0%"),
    ("of two: asked colour", "two_colour", ".0%"),
)

Draw = Callable[[str, Sequence[int]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Thing:
    """What a right picture shows; without a colour the thing has its own."""

    name: str
    colour: str | None


@dataclass(frozen=True)
class Question:
    """One prompt, and what a right picture of it has: one thing, or two from left to right."""

    prompt: str
    things: tuple[Thing, ...]
    ground: str


@dataclass(frozen=True)
class Figures:
    """Shares are from 0 to 1; acutance, seams and diversity as in `measures`.

    `two_recognised` and `two_colour` are shares of the halves of pictures with two things; all others are of pictures
    with one.
    """

    pictures: int
    recognised: float
    right_colour: float
    right_ground: float
    acutance: float
    seams: float
    diversity: float
    two_recognised: float
    two_colour: float


def questions(cast: Cast, names: Sequence[str], count: int, seed: int = 77) -> list[Question]:
    """`count` prompts about one of the things in `names`, most with a colour, all with a ground."""
    return _questions(cast, names, count, 1, random.Random(seed))


def questions_of_two(cast: Cast, names: Sequence[str], count: int, seed: int = 78) -> list[Question]:
    """`count` prompts about two of the things side by side, most with colours, all with a ground."""
    return _questions(cast, names, count, 2, random.Random(seed))


def _questions(cast: Cast, names: Sequence[str], count: int, things: int, rng: random.Random) -> list[Question]:
    concepts = {concept.name: concept for concept in cast.concepts}
    order = [name for name in names if name in concepts]
    asked: list[Question] = []
    waiting: list[str] = []
    while len(asked) < count:
        if len(waiting) < things:
            rng.shuffle(order)
            waiting = list(order)
        ground = rng.choice(ASKED_GROUNDS)
        shown = tuple(_thing(rng, concepts[waiting.pop(0)], ground) for _ in range(things))
        nouns = [_noun(thing, concepts[thing.name]) for thing in shown]
        asked.append(Question(f"{' and '.join(nouns)} on a {ground} background", shown, ground))
    return asked


def _thing(rng: random.Random, concept: Concept, ground: str) -> Thing:
    is_plain = "one" in concept.roles or rng.random() < 0.3
    return Thing(concept.name, None if is_plain else _seen_colour(rng, ground))


def _noun(thing: Thing, concept: Concept) -> str:
    words = f"{thing.colour} {thing.name}" if thing.colour else thing.name
    return words if concept.is_plural else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _seen_colour(rng: random.Random, ground: str) -> str:
    behind = to_oklab(rgb_of(GROUNDS[ground]))
    seen = [word for word in ASKED if np.linalg.norm(to_oklab(rgb_of(COLOURS[word])) - behind) > _LEAST_CONTRAST]
    return rng.choice(seen)


def clean_drawings(cast: Cast, art: Art, asked: Sequence[Question]) -> Draw:
    """What a perfect miniature would draw: the clean drawings of the prompt's thing, in its colour, on its ground."""
    by_prompt = {question.prompt: question for question in asked}
    by_name = {concept.name: drawings for concept, drawings in zip(cast.concepts, cast.drawings, strict=True)}

    def draw(prompt: str, seeds: Sequence[int]) -> list[np.ndarray]:
        question = by_prompt[prompt]
        pictures = []
        for seed in seeds:
            drawings = [by_name[thing.name][seed % len(by_name[thing.name])] for thing in question.things]
            items = _placed(drawings, [thing.colour for thing in question.things])
            painted = paint(Picture(Ground("plain", GROUNDS[question.ground]), items), art, LARGE)
            pictures.append((painted * 255 + 0.5).astype(np.uint8))
        return pictures

    return draw


def _placed(drawings: Sequence[str], colours: Sequence[str | None]) -> tuple[Item, ...]:
    """One drawing in the middle, or two side by side, as the recipe places them."""
    if len(drawings) == 1:
        return (Item(drawings[0], colours[0], 0.5, None, 0.68),)
    return tuple(
        Item(drawing, colour, x, PAIR_BOTTOM, PAIR_LONGEST)
        for drawing, colour, x in zip(drawings, colours, PAIR_PLACES, strict=True)
    )


def drawn_by_pack(folder: Path) -> Draw:
    """What the product draws with a brand pack of the base that is in the folder above it."""
    pack = load_pack(folder)
    pipeline = load_pipeline(load_base(LocalFolder(folder.parent)), pack)

    def draw(prompt: str, seeds: Sequence[int]) -> list[np.ndarray]:
        return list(pipeline.draw(prompt, seeds, lambda _: None, lambda: False).pixels)

    return draw


def evaluate(draw: Draw, asked: Sequence[Question], judge: Recogniser, classes: Sequence[str]) -> Figures:
    """All measures over four pictures of each question; some must ask for one thing, some for two."""
    if len({len(question.things) for question in asked}) < 2:
        raise ValueError("An evaluation asks for one thing in some prompts and for two in others.")
    named: tuple[list[bool], list[bool]] = [], []  # of things that are alone, and of things side by side
    colours: tuple[list[bool], list[bool]] = [], []
    grounds, edges, borders, spread = [], [], [], []
    for question in asked:
        pictures = list(draw(question.prompt, SEEDS))
        is_two = len(question.things) > 1
        for at, thing in enumerate(question.things):
            parts = [_half(picture, at) for picture in pictures] if is_two else pictures
            answers = recognise(judge, np.stack([measures.small(part, SIDE) for part in parts]))[0]
            named[is_two].extend(classes[answer] == thing.name for answer in answers)
            if thing.colour:
                colours[is_two].extend(measures.has_colour(part, thing.colour, COLOURS) for part in parts)
        if is_two:
            continue
        grounds += [measures.has_ground(picture, question.ground, GROUNDS) for picture in pictures]
        edges += [measures.acutance(picture) for picture in pictures]
        borders += [measures.seams(picture) for picture in pictures]
        spread.append(measures.diversity(pictures))
    of_one = (named[0], colours[0], grounds, edges, borders, spread)
    means = [round(float(np.mean(part)), 4) for part in (*of_one, named[1], colours[1])]
    return Figures(len(named[0]) + len(named[1]) // 2, *means)


def _half(picture: np.ndarray, at: int) -> np.ndarray:
    """The square in which the left (0) or the right (1) of two things should be."""
    side = picture.shape[0] // 2
    return picture[side // 2 : side // 2 + side, at * side : (at + 1) * side]


def show(console: Console, rows: Mapping[str, Figures]) -> None:
    """The table: a column a source, clean drawings first."""
    table = Table("", *rows)
    for label, figure, form in _SHOWN:
        table.add_row(label, *(format(getattr(figures, figure), form) for figures in rows.values()))
    console.print(table)


def write(path: Path, rows: Mapping[str, Figures], asked: Sequence[Question]) -> None:
    """The same as JSON, with the prompts and the seeds."""
    document = {
        "seeds": SEEDS,
        "prompts": [question.prompt for question in asked],
        "figures": {name: asdict(figures) for name, figures in rows.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
