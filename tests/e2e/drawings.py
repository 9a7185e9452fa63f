"""Real pictures for the stage: drawn by the mini model, once for each prompt and process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from onbrand.config import REPOSITORY
from onbrand.images.png import encode
from onbrand.jobs.models import Progress, image_seeds
from onbrand.packs.base import load_base
from onbrand.packs.manifest import SAMPLE, load_pack
from onbrand.storage.files import LocalFolder

if TYPE_CHECKING:  # it brings torch, for which only those who draw should wait
    from onbrand.hidream.pipeline import Pipeline

ROBOT = "a robot on a light blue background"
ROCKET = "a rocket"
MINI = REPOSITORY / "models" / "mini"
BRAND_PACK = load_pack(MINI / SAMPLE)
STEPS = BRAND_PACK.manifest.steps
STEP_REACHED = 7  # where a drawing is looked at
_SEED = 7


@dataclass(frozen=True)
class Drawn:
    """Four PNGs of 1024×1024, in the order of their seeds, and the JPEGs that showed them about half way."""

    pngs: tuple[bytes, ...]
    previews: tuple[bytes, ...]


@cache
def draw(prompt: str) -> Drawn:
    """What the model makes of a prompt; each time the same."""
    illustrator, seeds = _illustrator(), image_seeds(_SEED)
    previews: list[tuple[bytes, ...]] = []  # not every step brings some

    def watch(progress: Progress) -> None:
        if progress.step <= STEP_REACHED and progress.previews:
            previews.append(progress.previews)

    pixels = illustrator.draw(prompt, seeds, watch, lambda: False).pixels
    pngs = [
        encode(picture, illustrator.provenance(seed, seeds, job_id=None))
        for picture, seed in zip(pixels, seeds, strict=True)
    ]
    return Drawn(tuple(pngs), previews[-1])


@cache
def _illustrator() -> Pipeline:
    from onbrand.hidream.load import load_pipeline

    return load_pipeline(load_base(LocalFolder(MINI)), BRAND_PACK)
