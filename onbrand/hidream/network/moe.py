"""HiDream's routed experts without GPU synchronization: diffusers' `MOEFeedForwardSwiGLU`, computed another way.

diffusers reads from the GPU how many tokens each expert got, 48 times in a forward pass. Each time the GPU has to wait,
and the block cannot be compiled. Here the tokens are sorted by expert, and one grouped product multiplies all experts;
the row offsets of the experts stay on the device. The result is the same. Routing and the shared expert are diffusers'
own modules.

torch 2.13 has a kernel for the grouped product in bfloat16 on Hopper and data-centre Blackwell GPUs. On other devices
it loops over the experts and reads the offsets on the host: the result is the same, with the same waiting as in
diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.network.int8 import get_matrix, register_matrix

_ALIGNMENT = 8  # the bytes of a bfloat16 row must be a multiple of 16


class RoutedExperts(nn.Module):
    """A feed-forward in which each token uses some of E experts, and all use a shared one: (B, S, D) to (B, S, D).

    The weights of all experts are stacked. `w13` is (E, 2H, D): rows 0 to H are diffusers' `w1`, rows H to 2H are `w3`.
    `w2` is (E, D, H). With int8, each has its scales beside it (`int8.py`).
    """

    grouped_mm = staticmethod(F.grouped_mm)  # `onbrand bench --also loop` replaces it

    def __init__(self, experts: Any, *, is_int8: bool) -> None:
        """Make the empty counterpart of diffusers' `experts`, on the same device. The weights are loaded later.

        Raises:
            ValueError: the grouped product does not support this width.
        """
        super().__init__()
        first = experts.experts[0].w1
        hidden, width = first.weight.shape
        if width % _ALIGNMENT:
            raise ValueError(f"routed experts need a width that is a multiple of {_ALIGNMENT}")
        self.experts = len(experts.experts)
        self.hidden = hidden
        self.active = experts.num_activated_experts
        self.gate = experts.gate
        self.shared_experts = experts.shared_experts
        with first.weight.device:
            register_matrix(self, "w13", (self.experts, 2 * hidden, width), first.weight.dtype, is_int8=is_int8)
            register_matrix(self, "w2", (self.experts, width, hidden), first.weight.dtype, is_int8=is_int8)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        expert, expert_weight, _ = self.gate(
            x
        )  # (T, k): the experts, and their weights in the sum, which do not add up to 1
        expert, order = expert.flatten().sort()
        numbers = torch.arange(self.experts, device=x.device)
        ends = torch.searchsorted(expert, numbers, right=True, out_int32=True)  # not bincount, which synchronizes
        rows = tokens[order // self.active]
        up, gated = self.grouped_mm(rows, get_matrix(self, "w13", x.dtype).mT, offs=ends).chunk(2, dim=-1)
        rows = self.grouped_mm(F.silu(up) * gated, get_matrix(self, "w2", x.dtype).mT, offs=ends)
        # Gather the rows back. index_add would use atomic additions, whose order, and so whose rounding, is random.
        rows = rows[order.argsort()].view(*expert_weight.shape, -1) * expert_weight.unsqueeze(-1)
        routed: Tensor = rows.sum(dim=1).view_as(x) + self.shared_experts(x)
        return routed

    def source_slices(self) -> Iterator[tuple[str, str, tuple[int | slice, ...]]]:
        """For each expert's weights: the name in diffusers, the stacked parameter here, and the index into it."""
        for expert in range(self.experts):
            yield f"experts.{expert}.w1.weight", "w13", (expert, slice(None, self.hidden))
            yield f"experts.{expert}.w3.weight", "w13", (expert, slice(self.hidden, None))
            yield f"experts.{expert}.w2.weight", "w2", (expert,)
