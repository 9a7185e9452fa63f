"""8-bit integer matrices: half the memory of bfloat16, and a smaller file to load.

The quantization is symmetric, with one scale for each output row, and for weights only: products are computed in the
input's dtype. `load_state` quantizes while it loads. A LoRA is fused before that, never into quantized weights. Each
network chooses its own modules to quantize.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE_SUFFIX = "_scale"  # the scales of a stored matrix `weight` are stored as `weight_scale`
_LARGEST = 127


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(…, rows, columns) of any float dtype to int8 of the same shape and (…, rows) float32 scales.

    The scales are rounded to bfloat16's precision here, before the weights are divided by them. If a product in
    bfloat16 rounded them later, the whole row would change by up to 0.4 %. A row that is not finite gets a scale that
    is not finite.
    """
    weight = weight.float()
    scale = weight.abs().amax(-1) / _LARGEST
    scale = scale.clamp_min(torch.finfo(torch.bfloat16).tiny).bfloat16().float()  # a row of zeros must not get scale 0
    return (weight / scale.unsqueeze(-1)).round().clamp(-_LARGEST, _LARGEST).to(torch.int8), scale


def dequantize(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """(…, rows, columns) in `dtype`, computed in one kernel without a float32 copy of the matrix."""
    return weight * scale.to(dtype).unsqueeze(-1)


def register_matrix(module: nn.Module, name: str, shape: tuple[int, ...], dtype: torch.dtype, *, is_int8: bool) -> None:
    """Register an empty (…, rows, columns) matrix in `module`; with `is_int8`, an int8 matrix and its scales.

    All are parameters and not buffers, because diffusers' group offloading does not move buffers back to host memory.
    """
    if is_int8:
        scale = torch.empty(shape[:-1], dtype=torch.float32)
        module.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=torch.int8), requires_grad=False))
        module.register_parameter(name + SCALE_SUFFIX, nn.Parameter(scale, requires_grad=False))
    else:
        module.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=dtype), requires_grad=False))


def get_matrix(module: nn.Module, name: str, dtype: torch.dtype) -> Tensor:
    """The matrix that `register_matrix` made, dequantized if it is int8, to be multiplied in `dtype`."""
    weight: Tensor = getattr(module, name)
    return dequantize(weight, getattr(module, name + SCALE_SUFFIX), dtype) if weight.dtype == torch.int8 else weight


class Int8Linear(nn.Module):
    """`nn.Linear` with int8 weights: (…, in_features) to (…, out_features).

    For each product the matrix is dequantized to the input's dtype. That moves 3 bytes for each of HiDream's 14 billion
    8-bit parameters: 13 ms of the 390 ms of a step on an H100 (counted: 3.35 TB/s; 311 TFLOP at 800 TFLOP/s). Scaling
    the result instead of the matrix would not save these bytes, and the result is larger than the matrix.
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


def quantize_linears(module: nn.Module, is_excluded: Callable[[str], bool]) -> None:
    """Replace every `nn.Linear` in `module`, which is on the meta device, unless `is_excluded` accepts its name."""
    for name, linear in list(module.named_modules()):
        if isinstance(linear, nn.Linear) and not is_excluded(name):
            module.set_submodule(name, Int8Linear(linear))
