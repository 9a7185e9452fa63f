"""HiDream's routed experts without a word to the host: diffusers' `MOEFeedForwardSwiGLU`, computed another way.

diffusers asks the GPU how many tokens each expert got, 48 times a forward, and so keeps it waiting and the block from
being compiled. Here the tokens are sorted by expert and all experts multiplied in one grouped product, whose limits
stay on the device. The result is the same; routing and the shared expert are diffusers' own modules.

torch 2.13 has a kernel for the grouped product in bfloat16 on Hopper and datacentre Blackwell. Elsewhere it loops over
the experts and reads the limits on the host, so an older GPU gets the same result and waits as it does with diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.network.int8 import get_matrix, register_matrix

_ALIGNMENT = 8  # a row of bfloat16 must have a multiple of 16 bytes


class RoutedExperts(nn.Module):
    """A feed-forward in which each token takes some of E experts, and all take a shared one: (B, S, D) to (B, S, D).

    Weights are stacked by expert: `w13` (E, 2H, D), of which the upper half is diffusers' `w1`, the lower `w3`; `w2`
    (E, D, H). As int8 each has its scales beside it (`int8.py`).
    """

    grouped_mm = staticmethod(F.grouped_mm)  # `onbrand bench` tries another

    def __init__(self, experts: Any, *, is_int8: bool) -> None:
        """Take the place of diffusers' `experts`, without their weights; on the device where they are.

        Raises:
            ValueError: the width is one that the grouped product doesn't take.
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
        expert, share, _ = self.gate(x)  # (T, k): which experts, and each one's part in the sum; parts don't sum to 1
        expert, order = expert.flatten().sort()
        every = torch.arange(self.experts, device=x.device)
        ends = torch.searchsorted(expert, every, right=True, out_int32=True)  # not bincount: that asks the device
        rows = tokens[order // self.active]
        up, gated = self.grouped_mm(rows, get_matrix(self, "w13", x.dtype).mT, offs=ends).chunk(2, dim=-1)
        rows = self.grouped_mm(F.silu(up) * gated, get_matrix(self, "w2", x.dtype).mT, offs=ends)
        # Back by gathering: adding into place would use atomics, whose order is left to chance.
        rows = rows[order.argsort()].view(*share.shape, -1) * share.unsqueeze(-1)
        routed: Tensor = rows.sum(dim=1).view_as(x) + self.shared_experts(x)
        return routed

    def source_slices(self) -> Iterator[tuple[str, str, tuple[int | slice, ...]]]:
        """diffusers' name of each expert's weights, the stack they belong to, and where in it."""
        for expert in range(self.experts):
            yield f"experts.{expert}.w1.weight", "w13", (expert, slice(None, self.hidden))
            yield f"experts.{expert}.w3.weight", "w13", (expert, slice(self.hidden, None))
            yield f"experts.{expert}.w2.weight", "w2", (expert,)
