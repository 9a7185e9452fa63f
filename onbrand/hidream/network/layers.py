"""The layers of HiDream's transformer: embeddings, attention, feed-forward, and the two kinds of blocks.

They compute what diffusers' layers of the same names compute, in the same order, so the results are equal in every bit
(`tests/integration/hidream/test_transformer.py`). Derived from diffusers (Apache-2.0),
models/transformers/transformer_hidream_image.py and models/embeddings.py. Left out are training, masks for pictures
that are not square, and attention processors. Why they are here: ADR 20.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.network.blank import Matrix
from onbrand.hidream.network.moe import FeedForward, RoutedExperts

_THETA = 10_000
_FREQUENCIES = 256
_LONGEST_PERIOD = 10_000


def rotations(positions: Tensor, axes: Sequence[int]) -> Tensor:
    """(B, S, 3) positions to the (B, S, 1, D/2, 2, 2) rotations of each pair of numbers (RoPE, arXiv 2104.09864)."""
    parts = [_rotations_of_axis(positions[..., axis], width) for axis, width in enumerate(axes)]
    return torch.cat(parts, dim=-3).unsqueeze(2)


def _rotations_of_axis(positions: Tensor, width: int) -> Tensor:
    # Apple's GPUs have no float64. diffusers makes the same exception.
    dtype = torch.float32 if positions.device.type == "mps" else torch.float64
    scale = torch.arange(0, width, 2, dtype=dtype, device=positions.device) / width
    angles = torch.einsum("...n,d->...nd", positions, 1.0 / (_THETA**scale))
    cosine, sine = torch.cos(angles), torch.sin(angles)
    return torch.stack([cosine, -sine, sine, cosine], dim=-1).view(*positions.shape, width // 2, 2, 2).float()


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate the first numbers of each head of (B, S, heads, D), as many as there are rotations for."""
    rotated = 2 * rotation.shape[-3]
    if rotated < x.shape[-1]:
        first, rest = x[..., :rotated], x[..., rotated:]
        return torch.cat([rotate(first, rotation), rest], dim=-1)
    pairs = x.float().reshape(*x.shape[:-1], -1, 1, 2)
    return (rotation[..., 0] * pairs[..., 0] + rotation[..., 1] * pairs[..., 1]).reshape(x.shape).type_as(x)


class TimeEmbedding(nn.Module):
    """(B,) timesteps to (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = TwoLayers(_FREQUENCIES, width)

    def forward(self, timesteps: Tensor, dtype: torch.dtype) -> Tensor:
        half = _FREQUENCIES // 2
        exponent = -math.log(_LONGEST_PERIOD) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half
        angles = timesteps[:, None].float() * torch.exp(exponent)[None, :]
        embedded: Tensor = self.timestep_embedder(torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1).to(dtype))
        return embedded


class PooledEmbedding(nn.Module):
    """(B, W) pooled text to (B, D)."""

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.pooled_embedder = TwoLayers(text_width, width)

    def forward(self, pooled: Tensor) -> Tensor:
        embedded: Tensor = self.pooled_embedder(pooled)
        return embedded


class TwoLayers(nn.Module):
    """diffusers' `TimestepEmbedding`: a matrix, SiLU, a matrix."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.linear_1 = Matrix(width_in, width)
        self.linear_2 = Matrix(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear_2(F.silu(self.linear_1(x)))
        return y


class PatchEmbedding(nn.Module):
    """(B, S, p²C) patches to (B, S, D)."""

    def __init__(self, patch_numbers: int, width: int) -> None:
        super().__init__()
        self.proj = Matrix(patch_numbers, width)

    def forward(self, patches: Tensor) -> Tensor:
        tokens: Tensor = self.proj(patches)
        return tokens


class TextProjection(nn.Module):
    """(B, S, W) of one text layer to (B, S, D)."""

    def __init__(self, text_width: int, width: int) -> None:
        super().__init__()
        self.linear = Matrix(text_width, width, bias=False)

    def forward(self, text: Tensor) -> Tensor:
        tokens: Tensor = self.linear(text)
        return tokens


class Output(nn.Module):
    """(B, S, D) tokens and their (B, D) modulation to (B, S, p²C) patches."""

    def __init__(self, width: int, patch_numbers: int) -> None:
        super().__init__()
        self.norm_final = _norm(width)
        self.linear = Matrix(width, patch_numbers)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Matrix(width, 2 * width))

    def forward(self, tokens: Tensor, modulation: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(modulation)[:, None].chunk(2, dim=-1)
        patches: Tensor = self.linear(_modulate(self.norm_final(tokens), shift, scale))
        return patches


class Attention(nn.Module):
    """Attention among the image's tokens and, unless `is_single`, the text's, which have matrices of their own."""

    to_out: Matrix
    to_out_t: Matrix

    def __init__(self, heads: int, head_width: int, *, is_single: bool) -> None:
        super().__init__()
        self.heads = heads
        width = heads * head_width
        for suffix in ("",) if is_single else ("", "_t"):
            for name in ("to_q", "to_k", "to_v", "to_out"):
                self.register_module(name + suffix, Matrix(width, width))
            for name in ("q_rms_norm", "k_rms_norm"):
                self.register_module(name + suffix, nn.RMSNorm(width, 1e-5))

    def forward(self, image: Tensor, text: Tensor | None, rotation: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, I, D) and (B, T, D) or None to the same shapes; `rotation` is for I + T tokens."""
        query, key, value = self._projected(image, "")
        if text is not None:
            of_text = self._projected(text, "_t")
            query, key, value = (torch.cat(pair, dim=1) for pair in zip((query, key, value), of_text, strict=True))
        query, key = rotate(query, rotation), rotate(key, rotation)
        mixed = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        mixed = mixed.transpose(1, 2).flatten(2)
        if text is None:
            return self.to_out(mixed), None
        count = image.shape[1]
        return self.to_out(mixed[:, :count]), self.to_out_t(mixed[:, count:])

    def _projected(self, tokens: Tensor, suffix: str) -> tuple[Tensor, Tensor, Tensor]:
        """(B, S, D) tokens to queries, keys and values, (B, S, heads, D / heads) each."""
        query = getattr(self, "q_rms_norm" + suffix)(getattr(self, "to_q" + suffix)(tokens))
        key = getattr(self, "k_rms_norm" + suffix)(getattr(self, "to_k" + suffix)(tokens))
        value = getattr(self, "to_v" + suffix)(tokens)
        query, key, value = (each.unflatten(-1, (self.heads, -1)) for each in (query, key, value))
        return query, key, value


class SingleBlock(nn.Module):
    """One block in which image and text are one row of tokens."""

    def __init__(self, heads: int, head_width: int, experts: int, active: int) -> None:
        super().__init__()
        width = heads * head_width
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Matrix(width, 6 * width))
        self.norm1_i = _norm(width)
        self.attn1 = Attention(heads, head_width, is_single=True)
        self.norm3_i = _norm(width)
        self.ff_i = _feed_forward(width, experts, active)

    def forward(self, tokens: Tensor, modulation: Tensor, rotation: Tensor) -> Tensor:
        """(B, S, D) tokens to the same shape."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.adaLN_modulation(modulation)[:, None].chunk(6, dim=-1)
        attended, _ = self.attn1(_modulate(self.norm1_i(tokens), shift1, scale1), None, rotation)
        tokens = gate1 * attended + tokens
        result: Tensor = gate2 * self.ff_i(_modulate(self.norm3_i(tokens), shift2, scale2)) + tokens
        return result


class DoubleBlock(nn.Module):
    """One block in which image and text have matrices of their own, and attend to each other."""

    def __init__(self, heads: int, head_width: int, experts: int, active: int) -> None:
        super().__init__()
        width = heads * head_width
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), Matrix(width, 12 * width))
        self.norm1_i, self.norm1_t = _norm(width), _norm(width)
        self.attn1 = Attention(heads, head_width, is_single=False)
        self.norm3_i, self.norm3_t = _norm(width), _norm(width)
        self.ff_i = _feed_forward(width, experts, active)
        self.ff_t = FeedForward(width, 4 * width)

    def forward(self, image: Tensor, text: Tensor, modulation: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        """(B, I, D) image and (B, T, D) text to the same shapes."""
        parts = self.adaLN_modulation(modulation)[:, None].chunk(12, dim=-1)
        shift1, scale1, gate1, shift2, scale2, gate2 = parts[:6]
        shift1_t, scale1_t, gate1_t, shift2_t, scale2_t, gate2_t = parts[6:]
        attended, attended_t = self.attn1(
            _modulate(self.norm1_i(image), shift1, scale1), _modulate(self.norm1_t(text), shift1_t, scale1_t), rotation
        )
        image = gate1 * attended + image
        text = gate1_t * attended_t + text
        image = gate2 * self.ff_i(_modulate(self.norm3_i(image), shift2, scale2)) + image
        text = gate2_t * self.ff_t(_modulate(self.norm3_t(text), shift2_t, scale2_t)) + text
        return image, text


class Named(nn.Module):
    """Holds a block under the name `block`, as in the stored weights."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """As the block's."""
        result: Tensor | tuple[Tensor, Tensor] = self.block(*inputs)
        return result


def _norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


def _modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return x * (1 + scale) + shift


def _feed_forward(width: int, experts: int, active: int) -> nn.Module:
    return RoutedExperts(width, 4 * width, experts, active) if experts else FeedForward(width, 4 * width)
