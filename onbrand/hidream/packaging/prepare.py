"""Preparing a worker's start: what would be fused and quantised each time is stored as it is held (`derive.py`).

It pays for models whose start is a matter of gigabytes, in 8 bit above all: half the bytes to read. Which pack and
which precision is the operator's choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from onbrand.errors import DataDirUnwritable
from onbrand.hidream.load import load_transformer
from onbrand.hidream.memory import Placement, Plan
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.encoders import load_text_encoder
from onbrand.hidream.weights.prequantized import MANIFEST, Artefact, load_artefact, store_artefact
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder, ObjectStoreFolder

_HOST = torch.device("cpu")  # nothing is drawn, and host memory is the larger one


def prepare(
    base: Base,
    pack: BrandPack,
    precision: Precision,
    directory: Path,
    place: Folder,
    *,
    on_part: Callable[[str, int], None] = lambda _name, _size: None,
) -> None:
    """Store the pack's transformer and the base's large text encoders at a precision; those that are there are kept.

    They are written below `directory` and, where `place` is in an object store, copied there; needs host memory for
    the transformer, then for all text encoders. `on_part` hears of each part and its bytes.

    Raises:
        WeightsMissing, WeightsUnusable: as for `load.load_pipeline`.
        DataDirUnwritable: the disk is full, or another process is preparing the same.
        ObjectStoreRefused, ObjectStoreUnreachable: the object store does not take it.
    """
    for of, component, network in _parts(base, pack, precision, place):
        artefact = store_artefact(directory, network, of, component, precision)
        if artefact is None:
            raise DataDirUnwritable(f"Another process is preparing the {component} in {directory}: wait for it.")
        if isinstance(place, ObjectStoreFolder):
            _copy(artefact, directory, place)
        on_part(component, sum(file.size for file in artefact.files))
        del network  # before the next ones are loaded


def _parts(base: Base, pack: BrandPack, precision: Precision, place: Folder) -> Iterator[tuple[str, str, nn.Module]]:
    """What each part is of, its component, and the network: loaded one after the other, and only if it isn't there."""
    manifest = pack.manifest
    if load_artefact(place, pack.id, "transformer", precision) is None:
        held = Plan(precision, Placement.ALL, needed=0, free=0)
        lora = (pack.path(manifest.lora.file), manifest.lora)
        yield pack.id, "transformer", load_transformer(base, lora, held, _HOST)
    encoder = load_text_encoder(
        base,
        MODELS[base.manifest.model],
        token_limit=manifest.prompt_token_limit,
        precision=precision,
        device=_HOST,
        artefacts=place,
    )
    for component, network in encoder.large.items():
        if load_artefact(place, base.id, component, precision) is None:
            yield base.id, component, network


def _copy(artefact: Artefact, directory: Path, place: ObjectStoreFolder) -> None:
    """To the object store, the manifest last: without it nothing is there."""
    for path in (*(file.path for file in artefact.files), f"{artefact.key}/{MANIFEST}"):
        place.put(path, directory / path)
