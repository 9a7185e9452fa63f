"""`onbrand pack …`: making brand packs, keeping them on the shelf, and saying which one is live."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from onbrand.config import ModelName, load_settings
from onbrand.errors import WeightsMissing, WeightsUnusable
from onbrand.hidream.models import Precision

app = typer.Typer(no_args_is_help=True, help="Brand packs: make, keep and verify them, and say which one is live.")

_LONGEST_REASON = 200
_PIPED_WIDTH = 200  # one line a pack, for whoever greps
PackId = Annotated[str, typer.Argument(metavar="ID", help="the pack's id, or at least its first six digits")]


class Target(StrEnum):
    """What a pack can be promoted to."""

    PRODUCTION = "production"
    CANDIDATE = "candidate"


@app.command("list")
def list_packs(as_json: Annotated[bool, typer.Option("--json", help="one JSON document, for scripts")] = False) -> None:
    """Show all packs: which one is live, and who signed it off."""
    from rich.console import Console

    from onbrand.cli.pack_catalogue import catalogue
    from onbrand.local.database_url import url_for_command

    _quietly()
    settings = load_settings()
    found = asyncio.run(catalogue(settings, url_for_command(settings)))
    if as_json:
        typer.echo(found.as_json())
    else:
        screen = Console()
        found.show(screen if screen.is_terminal else Console(width=_PIPED_WIDTH))


@app.command()
def verify(
    pack: Annotated[
        str | None, typer.Argument(metavar="[ID|DIR]", help="an id, its beginning or a folder; by default all packs")
    ] = None,
) -> None:
    """Read every byte of a pack, and say whether it is whole."""
    from onbrand.packs.manifest import load_pack
    from onbrand.packs.promotion import short
    from onbrand.packs.store import PackStore

    _quietly()
    settings = load_settings()
    exit_code = 0
    checks: dict[str, Callable[[], object]] = {}
    if pack is not None and Path(pack).is_dir():
        one = load_pack(Path(pack))
        checks[one.id] = one.verify
    else:
        shelf = PackStore.open(settings)
        for found in shelf.list() if pack is None else [shelf.find(pack)]:
            checks[found.id] = partial(shelf.verify, found.id)
    for pack_id, check in checks.items():
        try:
            check()
        except (WeightsMissing, WeightsUnusable) as error:
            sys.stderr.write(f"onbrand: {error.message}\n")
            exit_code = 1
        else:
            typer.echo(f"{short(pack_id)} is whole")
    raise typer.Exit(exit_code)


@app.command()
def add(directory: Annotated[Path, typer.Argument(metavar="DIR", help="the pack's folder")]) -> None:
    """Put a pack on the shelf, in the object store."""
    from onbrand.cli.pack_catalogue import add as put
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import short

    _quietly()
    settings = load_settings()
    pack = asyncio.run(put(settings, url_for_command(settings), directory))
    typer.echo(f"{pack.manifest.name}, version {pack.manifest.version}, is on the shelf as {pack.id}")
    typer.echo(f"next: onbrand pack promote {short(pack.id)}")


@app.command()
def promote(
    pack: PackId,
    to: Annotated[Target, typer.Option(help="production is what people get")] = Target.PRODUCTION,
    without_sign_off: Annotated[
        str | None, typer.Option(metavar="REASON", help="do without a designer's sign-off; the reason is kept")
    ] = None,
) -> None:
    """Make a pack live; workers change to it before their next job."""
    from onbrand.cli.pack_catalogue import promote as move
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import Alias, short

    if without_sign_off is not None and not 1 <= len(without_sign_off.strip()) <= _LONGEST_REASON:
        hint = "--without-sign-off"
        raise typer.BadParameter(f"give the reason, in at most {_LONGEST_REASON} characters", param_hint=hint)
    _quietly()
    settings = load_settings()
    found, moved = asyncio.run(move(settings, url_for_command(settings), pack, Alias(to), without_sign_off))
    if moved.is_change:
        before = f"; before it was {short(moved.from_pack_id)}" if moved.from_pack_id else ""
        typer.echo(f"{to} is {short(found.id)} from now on{before}")
    else:
        typer.echo(f"nothing to do: {to} is {short(found.id)} already")


@app.command()
def rollback() -> None:
    """Make the pack live that was so before; doing it again takes it back."""
    from onbrand.cli.pack_catalogue import rollback as go_back
    from onbrand.local.database_url import url_for_command
    from onbrand.packs.promotion import short

    _quietly()
    moved = asyncio.run(go_back(url_for_command(load_settings())))
    typer.echo(f"production is {short(moved.pack_id)} again; previous is {short(moved.from_pack_id or '')}")


@app.command()
def build(
    lora: Annotated[Path, typer.Option(metavar="FILE", help="the LoRA, a .safetensors of diffusers or ai-toolkit")],
    name: Annotated[str, typer.Option(help="the brand, as people are shown it")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="the pack's folder, which must not exist yet")],
    version: Annotated[str, typer.Option(help="as people are shown it")] = "1",
    prompt_suffix: Annotated[str, typer.Option(help='what ends every prompt, such as ", onbrand style"')] = "",
    alpha: Annotated[float | None, typer.Option(help="the LoRA's, where its file doesn't say it")] = None,
    scale: Annotated[float, typer.Option(help="how strongly the LoRA acts")] = 1.0,
    steps: Annotated[int | None, typer.Option(help="denoising steps; by default the model's")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="by default the model's")] = None,
    shift: Annotated[float | None, typer.Option(help="of the scheduler's sigmas; by default the model's")] = None,
    example: Annotated[list[str] | None, typer.Option(help="a prompt that it draws well; may be repeated")] = None,
) -> None:
    """Make a pack from a LoRA, for the model that is configured. The model is loaded twice to measure the effect."""
    from onbrand.hidream.load import probe_lora
    from onbrand.hidream.packaging.build import build_pack
    from onbrand.packs.base import configured_base

    _quietly()
    settings = load_settings()
    pack = build_pack(
        configured_base(settings),
        lora,
        out,
        name=name,
        version=version,
        prompt_suffix=prompt_suffix,
        probe=probe_lora,
        alpha=alpha,
        scale=scale,
        steps=steps,
        guidance_scale=guidance_scale,
        shift=shift,
        examples=example or (),
    )
    typer.echo(f"{pack.manifest.name}, version {pack.manifest.version}: {pack.id}")
    typer.echo(f"next: onbrand pack add {out}")


@app.command()
def prepare(
    pack: PackId,
    precision: Annotated[Precision, typer.Option(help="how the matrices are to be held")] = Precision.INT8,
) -> None:
    """Fuse and quantise a pack's model once, so that workers start with it sooner."""
    from onbrand.hidream.packaging.prepare import prepare as derive
    from onbrand.packs.base import configured_base
    from onbrand.packs.store import PackStore
    from onbrand.storage.files import DERIVED, derived_folder

    _quietly()
    settings, shelf = load_settings(), PackStore.open(load_settings())
    derive(
        configured_base(settings),
        shelf.fetch(shelf.find(pack).id),
        precision,
        settings.data_dir / DERIVED,
        derived_folder(settings),
        on_part=lambda name, size: typer.echo(f"{name}: {size / 1e9:.2f} GB"),
    )
    typer.echo(f"prepared for ONBRAND_PRECISION={precision}")


@app.command()
def base(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="a model's weights, in diffusers' layout")],
    model: Annotated[ModelName, typer.Option(help="which model they are")],
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER=REPOSITORY@REVISION", help="where a component came from; once for each"),
    ] = None,
) -> None:
    """Pin the weights that packs are made for: write base.json, with the hash of every file."""
    from onbrand.hidream.packaging.pin import parse_source, write_base

    _quietly()
    pinned = write_base(directory, model, [parse_source(text) for text in source or ()])
    typer.echo(f"{len(pinned.manifest.files)} files of {pinned.manifest.model}: {pinned.id}")
    typer.echo(f"next: ONBRAND_MODEL={model} ONBRAND_MODEL_PATH={directory.resolve()}")


def _quietly() -> None:
    logging.getLogger().addHandler(logging.NullHandler())  # the answer says it all
