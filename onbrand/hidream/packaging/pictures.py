"""Draw the pictures that a pack shows of itself, when it is built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onbrand.hidream.load import load_pipeline
from onbrand.images.rendition import encode
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack


def draw_pictures(base: Base, pack: BrandPack, prompts: Sequence[str]) -> Iterator[bytes]:
    """Load the model with the pack and draw one picture of each prompt, as a WebP of 512 × 512 pixels.

    The seeds are 1, 2, 3 …: the first picture of each prompt is taken, and none is chosen.

    Raises:
        WeightsMissing, WeightsUnusable, PackUnfit, NotEnoughMemory: the model cannot be loaded.
        BadImage, GpuMemory: a picture cannot be drawn.
    """
    pipeline = load_pipeline(base, pack)
    for seed, prompt in enumerate(prompts, start=1):
        yield encode(pipeline.draw(prompt, [seed], lambda _: None, lambda: False).pixels[0])
