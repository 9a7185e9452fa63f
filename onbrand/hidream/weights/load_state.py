"""Tensors, as they arrive, into an allocated network: each checked, cast or quantised, and copied to its place.

Understands the names of the original weights (diffusers' or transformers' layout) and those of a network's own
`state_dict`, in which `derive.py` stores it. It neither reads files nor knows about LoRAs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from onbrand.errors import TensorsMismatch
from onbrand.hidream.network.int8 import SCALE_SUFFIX, quantise
from onbrand.hidream.network.moe import RoutedExperts

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)


@torch.no_grad()
def fill(
    module: nn.Module, tensors: Iterable[tuple[str, Tensor]], *, ignored: Callable[[str], bool] = lambda _: False
) -> None:
    """Copy each tensor into its place in `module`; those whose names `ignored` accepts are left out.

    What is quantised is moved to the module's device first: a GPU does it far faster. Parameters that are
    tied before count once, under any one of their names. Buffers outside the `state_dict` stay as they are.

    Raises:
        TensorsMismatch: a tensor is missing, left over, there twice, of another shape or kind than its place, or not
            finite where it is quantised.
        ValueError: the module has no memory yet.
    """
    stored = module.state_dict(keep_vars=True)
    if any(tensor.is_meta for tensor in stored.values()):
        raise ValueError("the network must have memory (to_empty) before it is filled")
    parts = _parts(module)
    waiting = {id(tensor): tensor.numel() for tensor in stored.values()}  # numbers that each one still lacks
    for name, tensor in tensors:
        if ignored(name):
            continue
        whole, part = parts.get(name, (name, ()))
        if whole not in stored:
            raise _mismatch(f"have {name[:200]!r}, which the model has no place for")
        for target, values in _fitted(name, tensor, stored, whole, part):
            waiting[id(stored[target])] -= values.numel()
            if waiting[id(stored[target])] < 0:
                raise _mismatch(f"have {name} twice")
            stored[target][part].copy_(values)
    missing = [name for name, tensor in stored.items() if waiting[id(tensor)]]
    if missing:
        raise _mismatch(f"lack {missing[0]} or a part of it")


def _parts(module: nn.Module) -> dict[str, tuple[str, tuple[int | slice, ...]]]:
    """For sources that are a part of something stored: its name, and which part of it."""
    return {
        f"{prefix}.{source}".removeprefix("."): (f"{prefix}.{whole}".removeprefix("."), part)
        for prefix, experts in module.named_modules()
        if isinstance(experts, RoutedExperts)
        for source, whole, part in experts.sources()
    }


def _fitted(
    name: str, tensor: Tensor, stored: dict[str, Tensor], whole: str, part: tuple[int | slice, ...]
) -> list[tuple[str, Tensor]]:
    """What to copy where: the tensor itself or, if it must become int8, its values and their scales."""
    place = stored[whole]
    if tensor.shape != place[part].shape:
        shapes = ["×".join(str(length) for length in shape) for shape in (tensor.shape, place[part].shape)]
        raise _mismatch(f"have {name} as {shapes[0]} numbers where the model needs {shapes[1]}")
    if tensor.dtype == place.dtype or (tensor.dtype in _FLOATS and place.dtype in _FLOATS):
        return [(whole, tensor)]
    if tensor.dtype not in _FLOATS or whole + SCALE_SUFFIX not in stored:
        raise _mismatch(f"have {name} as {str(tensor.dtype).removeprefix('torch.')}, which can't be converted")
    values, scale = quantise(tensor.to(place.device))
    if not scale.isfinite().all():
        raise _mismatch(f"have numbers in {name} that are not finite")
    return [(whole, values), (whole + SCALE_SUFFIX, scale)]


def _mismatch(what: str) -> TensorsMismatch:
    return TensorsMismatch(f"The weights {what}: copy them anew, all of the same model.")
