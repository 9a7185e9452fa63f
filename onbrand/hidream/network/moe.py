"""HiDream's routed experts without GPU synchronization: diffusers' `MOEFeedForwardSwiGLU`, computed another way.

diffusers reads from the GPU how many tokens each expert got, 48 times in a forward pass. Each time the GPU has to wait,
and the block cannot be compiled. Here the tokens are sorted by expert, and one grouped product multiplies all experts;
the row offsets of the experts stay on the device. The result is the same.

torch 2.13 has a kernel for the grouped product in bfloat16 on Hopper and data-centre Blackwell GPUs. On other devices
it loops over the experts and reads the offsets on the host: the result is the same, with the same waiting as in
diffusers.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.network.blank import Matrix
from onbrand.hidream.network.int8 import get_matrix, register_matrix

_MULTIPLE = 256
_ALIGNMENT = 8  # the bytes of a bfloat16 row must be a multiple of 16


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202): (B, S, D) to the same shape. `hidden` is rounded as diffusers does it."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        hidden = hidden_width(hidden)
        self.w1 = Matrix(width, hidden, bias=False)
        self.w2 = Matrix(hidden, width, bias=False)
        self.w3 = Matrix(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.w2(F.silu(self.w1(x)) * self.w3(x))
        return result


def hidden_width(hidden: int) -> int:
    """Two thirds of `hidden`, rounded up to a multiple of 256."""
    return _MULTIPLE * -(-int(2 * hidden / 3) // _MULTIPLE)


class Gate(nn.Module):
    """Which `active` of E experts each of the T tokens uses, and with which weight: softmax, not normalized again."""

    def __init__(self, width: int, experts: int, active: int) -> None:
        super().__init__()
        self.active = active
        self.weight = nn.Parameter(torch.empty(experts, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) to the (T, active) numbers of the experts and their weights."""
        scores = F.linear(x.reshape(-1, x.shape[-1]), self.weight).softmax(dim=-1)
        weights, experts = torch.topk(scores, k=self.active, dim=-1, sorted=False)
        return experts, weights


class RoutedExperts(nn.Module):
    """A feed-forward in which each token uses some of E experts, and all use a shared one: (B, S, D) to (B, S, D).

    The weights of all experts are stacked. `w13` is (E, 2H, D): rows 0 to H are diffusers' `w1`, rows H to 2H are `w3`.
    `w2` is (E, D, H). With int8, each has its scales beside it (`int8.py`).
    """

    grouped_mm = staticmethod(F.grouped_mm)  # `onbrand bench --also loop` replaces it

    def __init__(self, width: int, hidden: int, experts: int, active: int) -> None:
        """Make the experts with undefined content, in float32; the weights are loaded later.

        Raises:
            ValueError: the grouped product does not support this width.
        """
        super().__init__()
        if width % _ALIGNMENT:
            raise ValueError(f"routed experts need a width that is a multiple of {_ALIGNMENT}")
        self.experts = experts
        self.hidden = hidden_width(hidden)
        self.active = active
        self.gate = Gate(width, experts, active)
        self.shared_experts = FeedForward(width, hidden // 2)
        register_matrix(self, "w13", (experts, 2 * self.hidden, width), torch.float32, is_int8=False)
        register_matrix(self, "w2", (experts, width, self.hidden), torch.float32, is_int8=False)

    def quantize(self) -> None:
        """Replace the experts' matrices by empty 8-bit ones with scales, on the same device."""
        for name in ("w13", "w2"):
            matrix: Tensor = getattr(self, name)
            with matrix.device:
                register_matrix(self, name, tuple(matrix.shape), matrix.dtype, is_int8=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        expert, expert_weight = self.gate(x)
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
