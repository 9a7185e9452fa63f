"""How good the pictures are, by judges that the miniature can't have learned to please: a table and JSON.

Prompts are fixed by a seed, and each is drawn with four fixed seeds, the first time, nothing picked. Clean drawings of
the same prompts go through the same measures, and so does the first edition: what matters is the distance.
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
from models.mini.recipe.judge import SIDE, Recogniser, recognise
from models.mini.recipe.pictures import Cast
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

Draw = Callable[[str, Sequence[int]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Question:
    """One prompt, and what a right picture of it has."""

    prompt: str
    name: str
    colour: str | None
    ground: str


@dataclass(frozen=True)
class Figures:
    """Shares are from 0 to 1; acutance, seams and diversity as in `measures`."""

    pictures: int
    recognised: float
    right_colour: float
    right_ground: float
    acutance: float
    seams: float
    diversity: float


def questions(cast: Cast, names: Sequence[str], count: int, seed: int = 77) -> list[Question]:
    """`count` prompts about the things in `names`, most with a colour, all with a ground."""
    rng = random.Random(seed)
    concepts = {concept.name: concept for concept in cast.concepts}
    asked: list[Question] = []
    order = [name for name in names if name in concepts]
    while len(asked) < count:
        rng.shuffle(order)
        for name in order[: count - len(asked)]:
            ground = rng.choice(ASKED_GROUNDS)
            colour = None if "one" in concepts[name].roles or rng.random() < 0.3 else _seen_colour(rng, ground)
            article = "" if concepts[name].is_plural else "an " if (colour or name)[0] in "aeiou" else "a "
            thing = f"{colour} {name}" if colour else name
            asked.append(Question(f"{article}{thing} on a {ground} background", name, colour, ground))
    return asked


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
            drawing = by_name[question.name][seed % len(by_name[question.name])]
            item = Item(drawing, question.colour, 0.5, None, 0.68)
            painted = paint(Picture(Ground("plain", GROUNDS[question.ground]), (item,)), art, LARGE)
            pictures.append((painted * 255 + 0.5).astype(np.uint8))
        return pictures

    return draw


def drawn_by_pack(folder: Path) -> Draw:
    """What the product draws with a brand pack of the base that is in the folder above it."""
    pack = load_pack(folder)
    pipeline = load_pipeline(load_base(LocalFolder(folder.parent)), pack)

    def draw(prompt: str, seeds: Sequence[int]) -> list[np.ndarray]:
        return list(pipeline.draw(prompt, seeds, lambda _: None, lambda: False).pixels)

    return draw


def evaluate(draw: Draw, asked: Sequence[Question], judge: Recogniser, classes: Sequence[str]) -> Figures:
    """All measures over four pictures of each question."""
    named, colours, grounds, edges, borders, spread = [], [], [], [], [], []
    for question in asked:
        pictures = list(draw(question.prompt, SEEDS))
        seen = np.stack([measures.small(picture, SIDE) for picture in pictures])
        answers = recognise(judge, seen)[0]
        named += [classes[answer] == question.name for answer in answers]
        if question.colour:
            colours += [measures.has_colour(picture, question.colour, COLOURS) for picture in pictures]
        grounds += [measures.has_ground(picture, question.ground, GROUNDS) for picture in pictures]
        edges += [measures.acutance(picture) for picture in pictures]
        borders += [measures.seams(picture) for picture in pictures]
        spread.append(measures.diversity(pictures))
    means = [round(float(np.mean(part)), 4) for part in (named, colours, grounds, edges, borders, spread)]
    return Figures(len(named), *means)


def show(console: Console, rows: Mapping[str, Figures]) -> None:
    """The table: a row a source, clean drawings first."""
    table = Table("", "pictures", "recognised", "colour", "ground", "acutance", "seams", "diversity")
    for name, figures in rows.items():
        shares = [f"{share:.0%}" for share in (figures.recognised, figures.right_colour, figures.right_ground)]
        numbers = [f"{number:.3f}" for number in (figures.acutance, figures.seams, figures.diversity)]
        table.add_row(name, str(figures.pictures), *shares, *numbers)
    console.print(table)


def write(path: Path, rows: Mapping[str, Figures], asked: Sequence[Question]) -> None:
    """The same as JSON, with the prompts and the seeds."""
    document = {
        "seeds": SEEDS,
        "prompts": [question.prompt for question in asked],
        "figures": {name: asdict(figures) for name, figures in rows.items()},
    }
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
