"""Prepare weights for faster starts: fuse and quantize once, and store the result (`weights/prepared.py`).

This is worth it for large models, especially in 8 bit, where a start then reads half the bytes. The operator chooses
the pack and the precision.
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
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.weights.prepared import MANIFEST, PreparedWeights, load_prepared, store_prepared
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import Folder, ObjectStoreFolder

_HOST = torch.device("cpu")  # nothing is drawn here, and host memory is larger than a GPU's


def prepare(
    base: Base,
    pack: BrandPack,
    precision: Precision,
    directory: Path,
    destination: Folder,
    *,
    on_part: Callable[[str, int], None] = lambda _name, _size: None,
) -> None:
    """Store the pack's transformer and the base's large text encoders at a precision, unless they are stored already.

    The files are written below `directory`. If `destination` is in an object store, they are copied there; otherwise it
    is `directory` itself. Host memory must have room for the transformer and, after that is freed, for all text
    encoders together. `on_part` is called with the name of each newly stored part and its size in bytes.

    Raises:
        WeightsMissing, WeightsUnusable: as for `load.load_pipeline`.
        DataDirUnwritable: the disk is full, or another process is preparing the same part.
        ObjectStoreRefused, ObjectStoreUnreachable: the object store refuses the files, or does not answer.
    """
    for owner_id, component, network in _parts(base, pack, precision, destination):
        prepared = store_prepared(directory, network, owner_id, component, precision)
        if prepared is None:
            raise DataDirUnwritable(
                f"Another process is preparing the {component} in {directory}: wait until it has finished."
            )
        if isinstance(destination, ObjectStoreFolder):
            _copy(prepared, directory, destination)
        on_part(component, sum(file.size for file in prepared.files))
        del network  # frees the transformer before the text encoders are loaded


def _parts(
    base: Base, pack: BrandPack, precision: Precision, destination: Folder
) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield each part that is not stored yet: the id of its pack or base, its component, and the network.

    The transformer comes first. Then all text encoders are loaded together.
    """
    manifest = pack.manifest
    if load_prepared(destination, pack.id, "transformer", precision) is None:
        plan = Plan(precision, Placement.ALL, needed=0, free=0)
        lora = (pack.path(manifest.lora.file), manifest.lora)
        yield pack.id, "transformer", load_transformer(base, lora, plan, _HOST)
    encoder = load_text_encoder(
        base,
        MODELS[base.manifest.model],
        token_limit=manifest.prompt_token_limit,
        precision=precision,
        device=_HOST,
        prepared_folder=destination,
    )
    for component, network in encoder.large_networks.items():
        if load_prepared(destination, base.id, component, precision) is None:
            yield base.id, component, network


def _copy(prepared: PreparedWeights, directory: Path, destination: ObjectStoreFolder) -> None:
    """Copy to the object store, with the manifest last: without a manifest the weights are not found."""
    for path in (*(file.path for file in prepared.files), f"{prepared.key}/{MANIFEST}"):
        destination.put(path, directory / path)
