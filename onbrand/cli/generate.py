"""`onbrand generate`: four pictures from a prompt, on this machine, without a server, a queue or an account."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from onbrand.cli.drawing import Bar, load, write
from onbrand.config import Settings, load_settings
from onbrand.errors import DataDirUnwritable, PackNotFound
from onbrand.jobs import prompt
from onbrand.jobs.models import download_name, image_seeds, new_seed

if TYPE_CHECKING:
    from onbrand.packs.manifest import BrandPack


def generate_command(
    text: Annotated[str, typer.Argument(metavar="PROMPT", help="What to draw, in up to 500 characters.")],
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")],
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**53 - 1, help="The same seed draws the same pictures. Default: random.")
    ] = None,
) -> None:
    """Draw four PNG files from a prompt on this machine, without a server."""
    for path in generate(load_settings(), text, out, seed):
        typer.echo(path)


def generate(settings: Settings, text: str, out: Path, seed: int | None) -> list[Path]:
    """Draw four PNGs into `out` and return their paths. A terminal shows a progress bar; otherwise lines are printed.

    Raises:
        PromptBlank, PromptTooLong, PromptInvalid: the API would refuse the prompt, too.
        PackNotFound, WeightsMissing, WeightsUnusable: the pack or the model cannot be loaded.
        DataDirUnwritable: `out` cannot be written.
    """
    from onbrand.images.png import check, encode

    text = prompt.normalise(text)
    _require_writable(out)
    job_seed = new_seed() if seed is None else seed
    with Bar() as bar:
        pipeline = load(settings, _pack(settings), settings.precision, bar)
        bar.say(f"Drawing four pictures from seed {job_seed}")
        seeds = image_seeds(job_seed)
        drawing = pipeline.draw(text, seeds, bar.on_drawing, lambda: False)
        started, name_id = datetime.now(), uuid4()
        paths = []
        for n, (pixels, image_seed) in enumerate(zip(drawing.pixels, seeds, strict=True), start=1):
            png = encode(pixels, pipeline.provenance(image_seed, seeds, job_id=None))
            check(png)
            paths.append(write(out / download_name(text, started, name_id, n), png))
        bar.done(f"Done, seed {job_seed}")
    if drawing.ignored:
        bar.remark("The prompt was longer than the model reads. Its end had no effect.")
    return paths


def _require_writable(out: Path) -> None:
    """Make the folder if it is missing."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError
    except OSError:
        raise DataDirUnwritable(
            "The pictures can't be written there. Give --out a folder that you may write."
        ) from None


def _pack(settings: Settings) -> BrandPack:
    """The pack that ONBRAND_PACK names by its id, or the base's bundled pack: aliases would need the database."""
    from onbrand.packs.store import PackStore

    store = PackStore.open(settings)
    if len(settings.pack) == 64:
        return store.fetch(settings.pack)
    if store.bundled is None:
        raise PackNotFound("This model has no bundled pack: set ONBRAND_PACK to the id of one in the pack store.")
    return store.bundled
