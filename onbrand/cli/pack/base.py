"""`onbrand pack base`: makes a directory of weights a base, for which packs can be made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.config import ModelName


def base(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A model's weights, in diffusers' layout.")],
    model: Annotated[ModelName, typer.Option(help="The model that the weights are for.")],
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER=REPOSITORY@REVISION", help="Where a component came from. Once per component."),
    ] = None,
) -> None:
    """Write base.json, with the SHA-256 of every file of a model's weights. Packs name their base by it."""
    from onbrand.hidream.packaging.pin import parse_source, write_base

    silence_logs()
    pinned = write_base(directory, model, [parse_source(text) for text in source or ()])
    typer.echo(f"{len(pinned.manifest.files)} files of {pinned.manifest.model}: {pinned.id}")
    typer.echo(f"next: ONBRAND_MODEL={model} ONBRAND_MODEL_PATH={directory.resolve()}")
