"""Read the matrices of a LoRA file as tensors.

`packs.lora` decides whether a file is a LoRA that can be used, and whether it is the one that the brand pack's manifest
describes. `fuse.py` adds the matrices to the transformer.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from onbrand.errors import LoraInvalid, WeightsMissing
from onbrand.packs.lora import Description, describe_lora, require_described
from onbrand.packs.lora_settings import shown
from onbrand.packs.manifest import Lora
from onbrand.storage.files import LocalFolder


@dataclass(frozen=True)
class Update:
    """The change of one module's weight `(out, in)`: `up @ down`, multiplied by the adapter's scaling."""

    down: Tensor  # (rank, in), float32
    up: Tensor  # (out, rank), float32


@dataclass(frozen=True)
class Adapter:
    """A LoRA to be fused. `scaling` is the manifest's scale * alpha / rank (arXiv 2106.09685, section 4.1)."""

    scaling: float
    updates: Mapping[str, Update]  # by the transformer's module names


def describe(path: Path) -> Description:
    """Describe a LoRA file as a brand pack's manifest must describe it.

    Raises:
        WeightsMissing: the file does not exist, or is a folder, a pipe or a device.
        LoraInvalid: it is not a LoRA that can be used; the message says why and what to do.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise WeightsMissing(
            f"The LoRA {shown(str(path))} cannot be read ({error.strerror}): name a file that is there."
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise WeightsMissing(f"The LoRA {shown(str(path))} is not a file: name a file that is there.")
    return describe_lora(LocalFolder(path.parent), path.name, found.st_size)


def read_adapter(path: Path, lora: Lora) -> Adapter:
    """Read the file's matrices. Modules, rank and alpha must be those of the manifest.

    If the file has no alpha, the manifest's is used. The checksum is not compared here, but in `BrandPack.verify`.

    Raises:
        WeightsMissing: the file does not exist.
        LoraInvalid: it is not a LoRA that can be used; the message says why and what to do.
        LoraManifestMismatch: it is not exactly the LoRA that the manifest describes.
    """
    found = describe(path)
    require_described(shown(path.name), found, lora)
    try:
        # From bytes, not from the path: safetensors can't open a path that is not UTF-8, and maps the file into
        # memory, while the file may be replaced.
        tensors = load(path.read_bytes())
        updates = {
            module: Update(tensors[one.down].to(torch.float32), tensors[one.up].to(torch.float32))
            for module, one in found.matrices.items()
        }
    except (OSError, SafetensorError, KeyError) as error:
        raise LoraInvalid(f"{shown(path.name)} changed while it was read: copy the LoRA again.") from error
    return Adapter(lora.scale * lora.alpha / lora.rank, updates)
