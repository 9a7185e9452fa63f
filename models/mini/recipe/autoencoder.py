"""The encoder: principal components of the 8×8 blocks of a 128-pixel picture. `decoder.py` trains the decoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8  # pixels


@dataclass(frozen=True)
class Basis:
    """`mean` (192,), `components` (192, C) orthonormal, `deviations` (C,): of each component over the training data."""

    mean: Tensor
    components: Tensor
    deviations: Tensor

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 8H, 8W, 3) uint8 sRGB to (B, C, H, W) components, not scaled. RGB counts from -1 to 1."""
        blocks = F.pixel_unshuffle(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, BLOCK)
        return torch.einsum("bkhw,kc->bchw", blocks - self.mean[:, None, None], self.components)

    def decode(self, latents: Tensor) -> Tensor:
        """The way back: (B, C', H, W) with C' ≤ C to (B, 3, 8H, 8W) from about -1 to 1."""
        components = self.components[:, : latents.shape[1]]
        blocks = torch.einsum("bchw,kc->bkhw", latents, components) + self.mean[:, None, None]
        return F.pixel_shuffle(blocks, BLOCK)


def fit_basis(pictures: Tensor, count: int) -> Basis:
    """The first `count` principal components of the blocks of (B, 128, 128, 3) uint8 pictures."""
    blocks = F.pixel_unshuffle(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, BLOCK)
    rows = blocks.permute(0, 2, 3, 1).reshape(-1, blocks.shape[1]).double()
    mean = rows.mean(dim=0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    values, vectors = torch.linalg.eigh(covariance)
    order = values.argsort(descending=True)[:count]
    return Basis(mean.float(), vectors[:, order].float().contiguous(), values[order].clamp(min=0).sqrt().float())
