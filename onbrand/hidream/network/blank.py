"""Networks without content, which `load_state` fills: matrices that skip their random numbers, and memory for them.

`nn.Linear` and `nn.Module.to_empty` would do. But on the meta device, the random numbers of the first and the copy of
the second import sympy, which takes 0.4 s of each start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Matrix(nn.Linear):
    """`nn.Linear` without random numbers."""

    def reset_parameters(self) -> None:
        """Do nothing."""


class Table(nn.Embedding):
    """`nn.Embedding` without random numbers."""

    def reset_parameters(self) -> None:
        """Do nothing."""


def allocate(network: nn.Module, device: torch.device) -> None:
    """Give every parameter and buffer memory on `device`, with undefined content. What is tied stays tied."""
    made: dict[int, Tensor] = {}

    def empty(tensor: Tensor) -> Tensor:
        if id(tensor) not in made:
            made[id(tensor)] = torch.empty(tensor.shape, dtype=tensor.dtype, device=device)
        return made[id(tensor)]

    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(empty(parameter), parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            module._buffers[name] = empty(buffer)
