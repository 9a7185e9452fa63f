"""`onbrand pack prepare`: weights that are fused and quantised in advance."""

from __future__ import annotations

from typing import Annotated

import typer

from onbrand.cli.output import silence_logs
from onbrand.cli.pack.options import PackId
from onbrand.config import load_settings
from onbrand.hidream.models import Precision


def prepare(
    pack: PackId,
    precision: Annotated[Precision, typer.Option(help="The type in which the matrices are stored.")] = Precision.INT8,
) -> None:
    """Fuse and quantise a pack's model once, so that workers start with it sooner."""
    from onbrand.hidream.packaging.prepare import prepare as prepare_weights
    from onbrand.packs.base import configured_base
    from onbrand.packs.store import PackStore
    from onbrand.storage.files import DERIVED, derived_folder

    silence_logs()
    settings = load_settings()
    store = PackStore.open(settings)
    prepare_weights(
        configured_base(settings),
        store.fetch(store.find(pack).id),
        precision,
        settings.data_dir / DERIVED,
        derived_folder(settings),
        on_part=lambda name, size: typer.echo(f"{name}: {size / 1e9:.2f} GB"),
    )
    typer.echo(f"prepared for ONBRAND_PRECISION={precision}")
