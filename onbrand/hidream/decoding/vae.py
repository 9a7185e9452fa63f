"""The mini model's decoder: 16×16 latents to a 1024×1024 picture.

The latents are the leading principal components of the 8×8 blocks of a 128×128 picture. One matrix multiplication
decodes them to that size (`PcaVae.preview`); a small convolutional network then adds the details. The encoder
(`PcaVae.encode`) is one matrix multiplication too; only training uses it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.decoding.preview import Projection

BLOCK = 8  # pixels of the small picture per latent, along one side
COMPONENTS = 3 * BLOCK * BLOCK


class Residual(nn.Module):
    """`x + g * b(silu(a(x)))`, with one learned gain per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)
        self.g = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.b(F.silu(self.a(x)))
        return x + self.g * change


class PcaVae(nn.Module):
    """The decoder; module names are those of the stored weights. `w16`, `w128`, `w256`: channels at that resolution."""

    mu: Tensor
    V: Tensor
    scale: Tensor

    def __init__(self, latent_channels: int, w16: int, w128: int, w256: int) -> None:
        super().__init__()
        self.register_buffer("mu", torch.zeros(COMPONENTS))
        self.register_buffer("V", torch.zeros(COMPONENTS, latent_channels))
        self.register_buffer("scale", torch.ones(latent_channels))
        self.c0 = nn.Sequential(nn.Conv2d(latent_channels, w16, 3, padding=1), Residual(w16), Residual(w16))
        self.c1 = nn.Sequential(nn.Conv2d(w16, 64 * 16, 1), nn.PixelShuffle(4), Residual(64), Residual(64))
        self.c2 = nn.Sequential(nn.Conv2d(64, w128 * 4, 1), nn.PixelShuffle(2))
        self.c2b = nn.Sequential(nn.Conv2d(w128 + 3, w128, 3, padding=1), Residual(w128))
        self.c3 = nn.Sequential(
            nn.Conv2d(w128, w256 * 4, 3, padding=1),
            nn.PixelShuffle(2),
            nn.SiLU(),
            nn.Conv2d(w256, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, 64H, 64W) RGB from -1 to 1 to (B, C, H, W) latents: components of the picture at an eighth."""
        small = F.avg_pool2d(pictures, BLOCK)
        blocks = F.pixel_unshuffle(small, BLOCK) - self.mu[:, None, None]
        return torch.einsum("bkhw,kc->bchw", blocks, self.V) / self.scale[:, None, None]

    def preview(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents to (B, 3, 8H, 8W) RGB, about -1 to 1, by the linear part alone."""
        return linear_part(self)(latents)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents to (B, 3, 64H, 64W) RGB, about -1 to 1, not clamped."""
        small = self.preview(latents)
        features = self.c2(self.c1(self.c0(latents)))
        features = self.c2b(torch.cat([features, small], dim=1))
        large = enlarge(small, 8)
        detail: Tensor = self.c3(features)
        return large + detail


def enlarge(pictures: Tensor, factor: int) -> Tensor:
    """(B, C, N, N) to (B, C, factor·N, factor·N), bicubic.

    Two matrix products, which on a CPU take a quarter of the time of `F.interpolate`. The results differ by rounding.
    """
    side = pictures.shape[-1]
    identity = torch.eye(side, dtype=pictures.dtype, device=pictures.device)[None, None]
    weights = F.interpolate(identity, (factor * side, side), mode="bicubic", align_corners=False)[0, 0]
    return weights @ pictures @ weights.T


def linear_part(vae: PcaVae) -> Projection:
    """The linear part of the decoder, without its network."""
    return Projection(vae.V * vae.scale, vae.mu, BLOCK)


class PcaDecoder:
    """The mini model's decoder as a `decode.Decoder`."""

    def __init__(self, vae: PcaVae, scale_factor: int) -> None:
        self._vae = vae
        self.scale_factor = scale_factor
        linear = linear_part(vae)  # copied to the CPU, where previews are made
        self.projection = Projection(
            linear.weight.cpu(), linear.bias.cpu(), linear.block
        )  # previews are made on the CPU

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents to (B, 3, 64H, 64W) RGB."""
        return self._vae.decode(latents)
