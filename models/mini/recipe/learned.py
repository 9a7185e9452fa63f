"""Which things a run has learned: what `known.json` may promise.

Each thing is drawn with some seeds in one colour on white. It is learned if most of the pictures are nearer to its own
clean drawing than to that of any other thing, in the same colour, on the same ground, at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from models.mini.recipe.art import Art
from models.mini.recipe.colours import GROUNDS
from models.mini.recipe.data import SIDE
from models.mini.recipe.pictures import Cast
from models.mini.recipe.scenes import Ground, Item, Picture, paint

SEEDS = (21, 22, 23, 24)
LEAST = 0.75  # of a thing's pictures
_COLOUR, _GROUND = "blue", "white"
_PLACE = (0.5, 0.68)  # the middle, and the longer side: where the recipe puts a thing that is alone
_BLOCK = 4  # pixels that are compared as one, so that an edge may be a little aside

# Prompts and seeds, as many of each, to (N, 128, 128, 3) pictures from 0 to 1.
DrawSmall = Callable[[Sequence[str], Sequence[int]], np.ndarray]


def shares_learned(cast: Cast, art: Art, draw: DrawSmall) -> Mapping[str, float]:
    """For each thing the share of its pictures that show it rather than another."""
    names = [concept.name for concept in cast.concepts]
    prompts, clean = [], []
    for concept, drawings in zip(cast.concepts, cast.drawings, strict=True):
        colour = None if "one" in concept.roles else _COLOUR
        words = f"{colour} {concept.name}" if colour else concept.name
        article = "" if concept.is_plural else "an " if words[0] in "aeiou" else "a "
        prompts.append(f"{article}{words} on a {_GROUND} background")
        item = Item(drawings[0], colour, _PLACE[0], None, _PLACE[1])
        clean.append(paint(Picture(Ground("plain", GROUNDS[_GROUND]), (item,)), art, SIDE))
    drawn = draw([prompt for prompt in prompts for _ in SEEDS], list(SEEDS) * len(prompts))
    nearest = torch.cdist(_rows(drawn), _rows(np.stack(clean))).argmin(dim=1).view(len(names), len(SEEDS))
    hits = (nearest == torch.arange(len(names))[:, None]).float().mean(dim=1)
    return dict(zip(names, hits.tolist(), strict=True))


def _rows(pictures: np.ndarray) -> Tensor:
    count, side = len(pictures), SIDE // _BLOCK
    blocks = np.asarray(pictures, np.float32).reshape(count, side, _BLOCK, side, _BLOCK, 3).mean(axis=(2, 4))
    return torch.from_numpy(blocks.reshape(count, -1))
