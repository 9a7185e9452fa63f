"""`onbrand pack verify`: reads every byte of packs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.config import load_settings
from onbrand.errors import WeightsMissing, WeightsUnusable

if TYPE_CHECKING:
    from onbrand.packs.base import Base
    from onbrand.packs.manifest import BrandPack, Manifest


def verify(
    pack: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID|DIR]", help="A pack's id, the beginning of an id, or a folder. Default: all packs."
        ),
    ] = None,
) -> None:
    """Read every byte of a pack, compare its LoRA with manifest and base, and say whether it can be used."""
    from onbrand.packs.base import base_at_hand
    from onbrand.packs.manifest import load_pack
    from onbrand.packs.promotion import short
    from onbrand.packs.store import PackStore

    silence_logs()
    settings = load_settings()
    base, exit_code = base_at_hand(settings), 0
    checks: dict[str, Callable[[], Manifest]] = {}
    if pack is not None and Path(pack).is_dir():
        one = load_pack(Path(pack))
        checks[one.id] = partial(_verify_folder, one, base)
    else:
        store = PackStore.open(settings)
        for found in store.list() if pack is None else [store.find(pack)]:
            checks[found.id] = partial(store.verify, found.id, base)
    for pack_id, check in checks.items():
        try:
            manifest = check()
        except (WeightsMissing, WeightsUnusable) as error:
            sys.stderr.write(f"onbrand: {error.message}\n")
            exit_code = 1
        else:
            typer.echo(f"{short(pack_id)} is undamaged: its LoRA adapts {_against(manifest, base)}")
    raise typer.Exit(exit_code)


def _verify_folder(pack: BrandPack, base: Base | None) -> Manifest:
    from onbrand.packs.lora import inspect_pack
    from onbrand.storage.files import LocalFolder

    pack.verify()
    inspect_pack(LocalFolder(pack.directory), pack.manifest, base)
    return pack.manifest


def _against(manifest: Manifest, base: Base | None) -> str:
    from onbrand.packs.lora_coverage import left_out, told

    modules = manifest.lora.adapted_modules
    if base is not None and base.id == manifest.base:
        return f"{told(modules, left_out(modules, base))}, and fits the base"
    return f"{told(modules, None)} (not compared with its base, which is not here)"
