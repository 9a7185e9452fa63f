"""Matrices as 8-bit whole numbers: half of bfloat16's memory, and a smaller file to load.

Symmetric, with one scale for each output row, weights only: sums are those of the input's dtype. `fill.fill` quantises
while it loads; a LoRA is fused before that, never into quantised weights. Which modules of a network are held so is
the network's business.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE_SUFFIX = "_scale"  # a stored matrix `weight` has its scales beside it as `weight_scale`
_LARGEST = 127


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(…, rows, columns) of any float dtype to int8 of the same shape and (…, rows) float32 scales.

    The scales have bfloat16's precision, so that they lose nothing when sums are in bfloat16: a full one, rounded
    there, would stretch its whole row by up to 0.4 %. A row that isn't finite has a scale that isn't finite.
    """
    weight = weight.float()
    scale = weight.abs().amax(-1) / _LARGEST
    scale = scale.clamp_min(torch.finfo(torch.bfloat16).tiny).bfloat16().float()  # rows of nothing but zeros
    return (weight / scale.unsqueeze(-1)).round().clamp(-_LARGEST, _LARGEST).to(torch.int8), scale


def dequantize(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """(…, rows, columns) in `dtype`, in one kernel and without a float32 matrix in between."""
    return weight * scale.to(dtype).unsqueeze(-1)


def register_matrix(module: nn.Module, name: str, shape: tuple[int, ...], dtype: torch.dtype, *, is_int8: bool) -> None:
    """Give `module` an unfilled (…, rows, columns) matrix, or an int8 one and its scales.

    All are parameters: diffusers' group offloading brings no buffer back from the device.
    """
    if is_int8:
        scale = torch.empty(shape[:-1], dtype=torch.float32)
        module.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=torch.int8), requires_grad=False))
        module.register_parameter(name + SCALE_SUFFIX, nn.Parameter(scale, requires_grad=False))
    else:
        module.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False))


def get_matrix(module: nn.Module, name: str, dtype: torch.dtype) -> Tensor:
    """The matrix that `register_matrix` made, ready to multiply by something in `dtype`."""
    weight: Tensor = getattr(module, name)
    return dequantize(weight, getattr(module, name + SCALE_SUFFIX), dtype) if weight.dtype == torch.int8 else weight


class Int8Linear(nn.Module):
    """`nn.Linear` with int8 weights: (…, in_features) to (…, out_features).

    The matrix is written out in the input's dtype for each product: 3 bytes of traffic for each of HiDream's 14 billion
    8-bit parameters, 13 ms of an H100's 390 for a step (counted: 3.35 TB/s; 311 TFLOP at 800 a second). Scaling the
    product instead would spare none of it, and touch the product, which is larger than the matrix, once more.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        shape = (linear.out_features, linear.in_features)
        with linear.weight.device:
            register_matrix(self, "weight", shape, linear.weight.dtype, is_int8=True)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, get_matrix(self, "weight", x.dtype), self.bias)


def quantize_linears(module: nn.Module, keep: Callable[[str], bool]) -> None:
    """Replace each `nn.Linear` inside `module`, which has no weights yet (meta device), unless `keep` says its name."""
    for name, linear in list(module.named_modules()):
        if isinstance(linear, nn.Linear) and not keep(name):
            module.set_submodule(name, Int8Linear(linear))
