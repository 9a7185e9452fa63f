"""`onbrand evaluate`: chooses a run's checkpoint, and builds the brand pack of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.long_work import Telling
from onbrand.cli.output import AsJson, silence_logs
from onbrand.config import load_settings


def evaluate_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder that `onbrand train` wrote.")],
    name: Annotated[str, typer.Option(help="The brand's name, which people see.")],
    version: Annotated[str, typer.Option(help="The pack's version, which people see.")] = "1",
    checkpoint: Annotated[
        int | None, typer.Option(metavar="STEP", help="Take this checkpoint, whatever the rule says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run's checkpoints against the brand's own pictures, choose one, and build the pack."""
    silence_logs()
    settings = load_settings()
    with Telling() as telling:
        telling("Loading torch and diffusers", 0, 0)
        from onbrand.packs.base import configured_base
        from onbrand.training.evaluate import PAGE, evaluate, figures
        from onbrand.training.record import HELD_OUT

        evaluation, pack = evaluate(
            configured_base(settings),
            run,
            name=name,
            version=version,
            checkpoint=checkpoint,
            directory=settings.data_dir / "cache",
            tell=telling,
        )
    if as_json:
        typer.echo(json.dumps(figures(evaluation, pack), indent=2))
        return
    chosen = evaluation.chosen
    typer.echo(f"checkpoint {chosen.step} at strength {chosen.scale:g}; look at {run / PAGE}")
    if evaluation.doubt:
        typer.echo(f"! {evaluation.doubt}")
    typer.echo(f"{pack.manifest.name}, version {pack.manifest.version}: {pack.id}")
    typer.echo(f"next: onbrand pack add {pack.directory}")
    typer.echo(f"then: onbrand review open {pack.id[:12]} --originals {run / HELD_OUT}")
