"""`onbrand generate`: four pictures from a prompt, here and now, without a server, a queue or an account."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from onbrand import prompt
from onbrand.config import Settings
from onbrand.errors import DataDirUnwritable
from onbrand.job import Phase, download_name, image_seeds, new_seed
from onbrand.job import Progress as Step
from onbrand.packs import load_pack
from onbrand.png import Provenance, check, encode

_LOADING_SHARE = 20  # percent of the bar, once the imports are done


def generate(settings: Settings, text: str, out: Path, seed: int | None) -> list[Path]:
    """Draw four PNGs into `out` and return their paths; a bar shows progress on a terminal, plain lines elsewhere.

    Raises:
        PromptBlank, PromptTooLong, PromptInvalid: as for the page.
        WeightsMissing, WeightsDamaged: the model cannot be loaded.
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
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("Loading the model", total=None)  # a pulse, until the imports are done

        def say(sentence: str) -> None:
            if not console.is_terminal:
                console.print(sentence)

        def on_loading(step: Step) -> None:
            bar.update(task, total=100, completed=_LOADING_SHARE * step.step / step.steps)

        def on_drawing(step: Step) -> None:
            if step.phase is Phase.DRAWING:
                share = step.step / step.steps
                bar.update(
                    task,
                    description=f"Drawing, step {step.step} of {step.steps}",
                    completed=_LOADING_SHARE + (99 - _LOADING_SHARE) * share,
                )

        say("Loading the model")
        from onbrand.hidream.load import load_illustrator  # seconds of imports: the bar is there before them

        illustrator = load_illustrator(load_pack(settings.weights_dir), on_loading)
        say(f"Drawing four pictures from seed {job_seed}")
        seeds = image_seeds(job_seed)
        drawing = illustrator.draw(text, seeds, on_drawing, lambda: False)
        pack, started, name_id = illustrator.pack, datetime.now(), uuid4()
        paths = []
        for n, (pixels, image_seed) in enumerate(zip(drawing.pixels, seeds, strict=True), start=1):
            png = encode(
                pixels, Provenance(pack.id, pack.name, pack.version, illustrator.model, image_seed, job_id=None)
            )
            check(png)
            paths.append(_write(out / download_name(text, started, name_id, n), png))
        bar.update(task, description=f"Done, seed {job_seed}", completed=100)
    if drawing.prompt_truncated:
        console.print("The prompt was longer than the model reads; its end had no effect.")
    return paths


def _write(path: Path, png: bytes) -> Path:
    """Write a picture whole or not at all."""
    partial = path.with_suffix(".part")
    try:
        partial.write_bytes(png)
        partial.replace(path)
    except OSError as error:
        raise DataDirUnwritable(
            f"The pictures can't be written ({error.strerror}). Free some space, or give --out another folder."
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return path
