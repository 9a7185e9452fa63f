"""A LoRA on HiDream's transformer: which matrices it adapts, and how it is stored (arXiv 2106.09685)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor

from onbrand.packs.lora_settings import PEFT_SETTINGS

# Image-side attention and the feed-forwards of every block; not modulation, routing or the text's own attention.
TARGETS = r".*_blocks\.\d+\.block\.(attn1\.to_(q|k|v|out)|ff_[it]\.w[123])"
_NAME = "default"  # peft's, for the adapter; it stands in parameters' names


def add_lora(transformer: Any, rank: int, alpha: float, seed: int) -> None:
    """Put a LoRA that changes nothing yet on diffusers' transformer; after it only its matrices get gradients.

    The matrices are float32 whatever the base is held in: a step of 2e-4 leaves four of five bfloat16 weights as they
    were (measured, notes on training).
    """
    torch.manual_seed(seed)
    transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=TARGETS), adapter_name=_NAME)
    for name, parameter in transformer.named_parameters():
        if ".lora_" in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)


def write_lora(path: Path, weights: Mapping[str, Tensor], rank: int, alpha: float) -> None:
    """The adapter's weights, by parameter name, as diffusers names them; rank and alpha stand in the header.

    The file is there whole or not at all.
    """
    tensors = {
        f"transformer.{name.replace(f'.{_NAME}.', '.')}": weight.detach().float().contiguous()
        for name, weight in sorted(weights.items())
        if ".lora_" in name
    }
    if not tensors:
        raise ValueError("there is no LoRA among the weights")
    settings = json.dumps({"transformer.r": rank, "transformer.lora_alpha": alpha}, sort_keys=True)
    partly = path.with_suffix(".partial")
    save_file(tensors, partly, metadata={"format": "pt", PEFT_SETTINGS: settings})
    os.replace(partly, path)
