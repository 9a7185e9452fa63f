"""`onbrand generate`: four pictures from a prompt, here and now, without a server, a queue or an account."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from onbrand.cli.drawing import Bar, load, write
from onbrand.config import Settings
from onbrand.errors import DataDirUnwritable, PackNotFound
from onbrand.images.png import check, encode
from onbrand.jobs import prompt
from onbrand.jobs.models import download_name, image_seeds, new_seed
from onbrand.packs.manifest import BrandPack
from onbrand.packs.store import PackStore


def generate(settings: Settings, text: str, out: Path, seed: int | None) -> list[Path]:
    """Draw four PNGs into `out` and return their paths; a bar shows progress on a terminal, plain lines elsewhere.

    Raises:
        PromptBlank, PromptTooLong, PromptInvalid: as for the page.
        PackNotFound, WeightsMissing, WeightsUnusable: the model cannot be loaded.
        DataDirUnwritable: `out` cannot be written.
    """
    text = prompt.normalise(text)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError
    except OSError:
        raise DataDirUnwritable(
            "The pictures can't be written there. Give --out a folder that you may write."
        ) from None
    job_seed = new_seed() if seed is None else seed
    with Bar() as bar:
        illustrator = load(settings, _pack(settings), settings.precision, bar)
        bar.say(f"Drawing four pictures from seed {job_seed}")
        seeds = image_seeds(job_seed)
        drawing = illustrator.draw(text, seeds, bar.on_drawing, lambda: False)
        started, name_id = datetime.now(), uuid4()
        paths = []
        for n, (pixels, image_seed) in enumerate(zip(drawing.pixels, seeds, strict=True), start=1):
            png = encode(pixels, illustrator.provenance(image_seed, seeds, job_id=None))
            check(png)
            paths.append(write(out / download_name(text, started, name_id, n), png))
        bar.done(f"Done, seed {job_seed}")
    if drawing.ignored:
        bar.remark("The prompt was longer than the model reads; its end had no effect.")
    return paths


def _pack(settings: Settings) -> BrandPack:
    """The pack that ONBRAND_PACK names by its id; aliases are in the database, so otherwise the one of the base."""
    shelf = PackStore.open(settings)
    if len(settings.pack) == 64:
        return shelf.fetch(settings.pack)
    if shelf.bundled is None:
        raise PackNotFound("This model has no brand pack of its own: set ONBRAND_PACK to the id of one on the shelf.")
    return shelf.bundled
