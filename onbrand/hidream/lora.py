"""The brand's LoRA, loaded strictly.

diffusers 0.42 ignores keys it doesn't know: a LoRA in another trainer's naming loads "successfully" and changes
nothing. So the file is compared with the manifest before loading, and the network with the file after it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from onbrand.errors import WeightsDamaged
from onbrand.packs import Lora

ADAPTER = "brand"
_PREFIX = "transformer."


def apply_lora(pipeline: Any, path: Path, lora: Lora) -> None:
    """Load the LoRA onto the pipeline's transformer, check every adapted layer, and set its scale.

    Raises:
        WeightsDamaged: the file isn't exactly the adapter that the manifest describes.
    """
    weights = _read(path, lora)
    pipeline.load_lora_weights(
        path.parent, weight_name=path.name, adapter_name=ADAPTER, local_files_only=True, use_safetensors=True
    )
    layers = {
        name: module
        for name, module in pipeline.transformer.named_modules()
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_A
    }
    if layers.keys() != set(lora.adapted_modules):
        raise WeightsDamaged(f"{lora.file} did not adapt the modules that the brand pack's manifest names.")
    for name, layer in layers.items():
        is_loaded = torch.equal(layer.lora_A[ADAPTER].weight, weights[f"{_PREFIX}{name}.lora_A.weight"])
        is_loaded &= torch.equal(layer.lora_B[ADAPTER].weight, weights[f"{_PREFIX}{name}.lora_B.weight"])
        if not is_loaded or layer.lora_alpha[ADAPTER] != lora.alpha:
            raise WeightsDamaged(f"{lora.file} was not loaded into {name} as the brand pack's manifest says.")
    pipeline.set_adapters(ADAPTER, lora.scale)


def _read(path: Path, lora: Lora) -> dict[str, Tensor]:
    """The file's tensors, if they are two finite matrices of the manifest's rank for each of its modules."""
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise WeightsDamaged(f"{lora.file} is not a safetensors file.") from error
    expected = {f"{_PREFIX}{name}.lora_{side}.weight" for name in lora.adapted_modules for side in "AB"}
    if weights.keys() != expected:
        raise WeightsDamaged(f"{lora.file} adapts other modules than the brand pack's manifest names.")
    for key, weight in weights.items():
        rank = weight.shape[0 if ".lora_A." in key else -1]
        if weight.ndim != 2 or rank != lora.rank or not torch.isfinite(weight).all():
            raise WeightsDamaged(f"{lora.file} holds a matrix that is not finite or not of rank {lora.rank}.")
    return weights
