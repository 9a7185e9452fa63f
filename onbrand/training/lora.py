"""A LoRA on HiDream's transformer: layers that learn beside frozen ones, and the file (arXiv 2106.09685).

The layers are our own because peft refuses 8-bit matrices. `packs.lora` reads the file; `hidream.weights.fuse` adds it
to a base.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn

from onbrand.hidream.weights.lora import Adapter
from onbrand.packs.lora_settings import PEFT_SETTINGS
from onbrand.training.whole_files import write_whole

_PREFIX = "transformer."  # diffusers', for the names in the file


class _Matrix(nn.Module):
    """One of the two matrices. A module of its own, so that its parameter has diffusers' name."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)


class Adapted(nn.Module):
    """A frozen linear layer, of any precision, and the change that is learnt beside it: (…, in) to (…, out).

    The change is kept and computed in float32 whatever the base is held in: a step of 2e-4 leaves four of five bfloat16
    weights as they were (measured, notes on training).
    """

    def __init__(self, base: nn.Module, down: Tensor, up: Tensor, alpha: float) -> None:
        super().__init__()
        self.base = base
        self.lora_A, self.lora_B = _Matrix(down), _Matrix(up)
        self.scaling = alpha / len(down)
        self.scale = 1.0  # how strongly it acts, as a brand pack's `scale`

    def forward(self, x: Tensor) -> Tensor:
        unchanged: Tensor = self.base(x)
        change = F.linear(F.linear(x.float(), self.lora_A.weight), self.lora_B.weight)
        return unchanged + (self.scale * self.scaling * change).to(unchanged.dtype)


def target_modules(network: nn.Module, targets: str) -> tuple[str, ...]:
    """The names of the modules that a LoRA adapts, sorted: those that the pattern matches as a whole.

    Raises:
        ValueError: no module has such a name.
    """
    names = tuple(sorted(name for name, _ in network.named_modules() if re.fullmatch(targets, name)))
    if not names:
        raise ValueError("the network has none of the modules that a LoRA adapts")
    return names


def add_lora(network: nn.Module, targets: str, rank: int, alpha: float, seed: int) -> None:
    """Put a LoRA that changes nothing yet on a transformer; after it only its matrices get gradients.

    They begin as peft's do: the first uniform within ±1/√in, the second zero.
    """
    network.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name in target_modules(network, targets):
        base: Any = network.get_submodule(name)
        out_features, in_features = int(base.out_features), int(base.in_features)
        device = next(base.parameters()).device
        down = torch.empty(rank, in_features).uniform_(-1, 1, generator=generator) / in_features**0.5
        adapted = Adapted(base, down.to(device), torch.zeros(out_features, rank, device=device), alpha)
        network.set_submodule(name, adapted)


def set_scale(network: nn.Module, scale: float) -> None:
    """How strongly the LoRA acts from now on; 0 leaves the bare base."""
    for module in network.modules():
        if isinstance(module, Adapted):
            module.scale = scale


@torch.no_grad()
def set_lora(network: nn.Module, adapter: Adapter) -> None:
    """Take the matrices of a file.

    Raises:
        ValueError: the file has other modules than the network, or matrices of another shape.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, Adapted)}
    if layers.keys() != adapter.updates.keys():
        raise ValueError("the file is a LoRA of another network")
    for name, update in adapter.updates.items():
        layers[name].lora_A.weight.copy_(update.down)
        layers[name].lora_B.weight.copy_(update.up)


def write_lora(path: Path, weights: Mapping[str, Tensor], rank: int, alpha: float) -> None:
    """The adapter's weights, by parameter name, as diffusers names them; rank, alpha and modules stand in the header.

    From a header with any settings diffusers takes all of them, the modules too (`load_lora_weights`).

    The file is there whole or not at all. The same weights give the same bytes.
    """
    tensors = {
        f"{_PREFIX}{name}": weight.detach().float().cpu().contiguous()
        for name, weight in sorted(weights.items())
        if ".lora_" in name
    }
    if not tensors:
        raise ValueError("there is no LoRA among the weights")
    modules = sorted({name.removeprefix(_PREFIX).partition(".lora_")[0] for name in tensors})
    peft = {"r": rank, "lora_alpha": alpha, "target_modules": modules}
    settings = json.dumps({f"{_PREFIX}{key}": value for key, value in peft.items()}, sort_keys=True)
    # One entry alone: safetensors writes several in an order that differs from process to process.
    write_whole(path, save(tensors, metadata={PEFT_SETTINGS: settings}))
