"""Adds a LoRA to the weights of its base while they stream by; what comes out is a transformer without a LoRA.

The sum is made and handed on in float32; the receiver casts or quantises it. Of an update a fortieth as large as the
weights, a sum in bfloat16 loses 6 % to rounding and one in float32 nothing; held as int8 afterwards it loses 15 %, and
21 % if it is added to weights that were int8 already (norms of errors, test_fuse.py; see also peft issue 2321).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from onbrand.errors import LoraBaseMismatch, LoraWithoutEffect, TensorsMismatch
from onbrand.hidream.weights.lora import Adapter, Update


def fused(
    tensors: Iterable[tuple[str, Tensor]], adapter: Adapter, device: torch.device | None = None
) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a transformer by diffusers' names, with `W + scaling * up @ down` for every adapted module.

    Adapted weights come out in float32, on `device` if one is given (a GPU adds faster); the others are handed on as
    they are. The given tensors are not changed.

    Raises:
        LoraBaseMismatch: the LoRA doesn't fit this transformer: a shape differs, or a module that it adapts is not
            there (known at the end only).
        LoraWithoutEffect: the LoRA leaves a module as it is.
        TensorsMismatch: the base has an adapted tensor twice.
    """
    waiting = {f"{module}.weight": (module, update) for module, update in adapter.updates.items()}
    done = set()
    for name, tensor in tensors:
        if name in done:
            raise TensorsMismatch(f"The base has {name} twice: copy it anew.")
        if name not in waiting:
            yield name, tensor
            continue
        module, update = waiting.pop(name)
        done.add(name)
        yield name, _sum(module, tensor if device is None else tensor.to(device), update, adapter.scaling)
    for module, _ in waiting.values():
        raise LoraBaseMismatch(
            f"The LoRA adapts {module}, which the base doesn't have: use the base it was trained on."
        )


def _sum(module: str, weight: Tensor, update: Update, scaling: float) -> Tensor:
    if weight.shape != (len(update.up), update.down.shape[1]):
        raise LoraBaseMismatch(
            f"The LoRA changes {len(update.up)}×{update.down.shape[1]} numbers of {module}, and the base has"
            f" {'×'.join(str(length) for length in weight.shape)} there: use the base it was trained on."
        )
    change = update.up.to(weight.device) @ update.down.to(weight.device)
    if not change.count_nonzero():
        raise LoraWithoutEffect(f"The LoRA leaves {module} as it is: train it longer, or without this module.")
    return change.mul_(scaling).add_(weight)  # in float32, whatever the weight is held in
