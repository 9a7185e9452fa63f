"""Load a stream of tensors into an allocated network: check each, cast or quantize it, and copy it.

Two kinds of tensor names are accepted: those of the original weights (diffusers' or transformers' layout), and those of
the network's own `state_dict`, which `prepared.py` stores. This module reads no files and knows nothing about LoRAs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from onbrand.errors import TensorsMismatch
from onbrand.hidream.network.int8 import SCALE_SUFFIX, quantize
from onbrand.hidream.network.moe import RoutedExperts

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@torch.no_grad()
def load_state(
    module: nn.Module, tensors: Iterable[tuple[str, Tensor]], *, is_ignored: Callable[[str], bool] = lambda _: False
) -> None:
    """Copy each tensor to the parameter or buffer of its name in `module`, except the names that `is_ignored` accepts.

    A tensor that has to be quantized is moved to the module's device first, because a GPU quantizes much faster. Tied
    parameters need only one tensor, under any of their names. Buffers outside the `state_dict` are not changed.

    Raises:
        TensorsMismatch: a tensor is missing, left over, there twice, of another shape or kind than its place, or not
            finite where it is quantized.
        ValueError: the module is still on the meta device.
    """
    stored = module.state_dict(keep_vars=True)
    if any(tensor.is_meta for tensor in stored.values()):
        raise ValueError("the network must have memory (to_empty) before it is filled")
    stacked = _stacked_parts(module)
    needed = {id(tensor): tensor.numel() for tensor in stored.values()}  # how many numbers each one still needs
    for name, tensor in tensors:
        if is_ignored(name):
            continue
        target, index = stacked.get(name, (name, ()))
        if target not in stored:
            raise _mismatch(f"have {name[:200]!r}, which the model does not have")
        for key, values in _converted(name, tensor, stored, target, index):
            needed[id(stored[key])] -= values.numel()
            if needed[id(stored[key])] < 0:
                raise _mismatch(f"have {name} twice")
            stored[key][index].copy_(values)
    missing = [name for name, tensor in stored.items() if needed[id(tensor)]]
    if missing:
        raise _mismatch(f"lack {missing[0]} or a part of it")


def _stacked_parts(module: nn.Module) -> dict[str, tuple[str, tuple[int | slice, ...]]]:
    """For each source tensor that is a part of a stacked parameter: the parameter's name, and the index of the part."""
    return {
        f"{prefix}.{source}".removeprefix("."): (f"{prefix}.{target}".removeprefix("."), index)
        for prefix, experts in module.named_modules()
        if isinstance(experts, RoutedExperts)
        for source, target, index in experts.source_slices()
    }


def _converted(
    name: str, tensor: Tensor, stored: dict[str, Tensor], target: str, index: tuple[int | slice, ...]
) -> list[tuple[str, Tensor]]:
    """What to copy to which parameter: the tensor itself or, if the parameter is int8, the values and their scales."""
    parameter = stored[target]
    if tensor.shape != parameter[index].shape:
        shapes = ["×".join(str(length) for length in shape) for shape in (tensor.shape, parameter[index].shape)]
        raise _mismatch(f"have {name} with the shape {shapes[0]}, but the model needs {shapes[1]}")
    if tensor.dtype == parameter.dtype or (tensor.dtype in _FLOATS and parameter.dtype in _FLOATS):
        return [(target, tensor)]
    if tensor.dtype not in _FLOATS or target + SCALE_SUFFIX not in stored:
        raise _mismatch(f"have {name} as {str(tensor.dtype).removeprefix('torch.')}, which cannot be converted")
    values, scale = quantize(tensor.to(parameter.device))
    if not scale.isfinite().all():
        raise _mismatch(f"have numbers in {name} that are not finite")
    return [(target, values), (target + SCALE_SUFFIX, scale)]


def _mismatch(what: str) -> TensorsMismatch:
    return TensorsMismatch(f"The weights {what}: copy them again, all from the same model.")
