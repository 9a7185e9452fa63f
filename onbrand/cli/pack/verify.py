"""`onbrand pack verify`: reads every byte of packs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.config import load_settings
from onbrand.errors import WeightsMissing, WeightsUnusable


def verify(
    pack: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|DIR]", help="A pack's id, the beginning of an id, or a folder. Default: all packs."
        ),
    ] = None,
) -> None:
    """Read every byte of a pack, and say whether it is undamaged."""
    from onbrand.packs.manifest import load_pack
    from onbrand.packs.promotion import short
    from onbrand.packs.store import PackStore

    silence_logs()
    settings = load_settings()
    exit_code = 0
    checks: dict[str, Callable[[], object]] = {}
    if pack is not None and Path(pack).is_dir():
        one = load_pack(Path(pack))
        checks[one.id] = one.verify
    else:
        store = PackStore.open(settings)
        for found in store.list() if pack is None else [store.find(pack)]:
            checks[found.id] = partial(store.verify, found.id)
    for pack_id, check in checks.items():
        try:
            check()
        except (WeightsMissing, WeightsUnusable) as error:
            sys.stderr.write(f"onbrand: {error.message}\n")
            exit_code = 1
        else:
            typer.echo(f"{short(pack_id)} is undamaged")
    raise typer.Exit(exit_code)
