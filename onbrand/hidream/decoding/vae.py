"""The mini model's decoder: 16×16 latents to a 1024×1024 picture with crisp edges.

The latents are the leading principal components of the 8×8 blocks of a 128×128 picture. One matrix multiplication
decodes them to that size (`PcaVae.preview`). An illustration is flat colours with edges between them, so the large
picture isn't drawn pixel by pixel: around each place there is a lighter, a darker and a middle colour, and three smooth
maps say which of them is seen. Enlarged, colours and maps stay smooth, and the edge is where one map overtakes
another: crisp at any size. The lighter and the darker colour are the extremes of the small picture's neighbourhood; a
small convolutional network corrects the small picture, the colours and the maps, and says which colours count as light
(two of equal lightness meet at an edge, too). A fill has one colour, so shades that nearly are one become one (`calm`).
Where there are few pixels yet, the network looks at most of the picture. The encoder (`PcaVae.encode`) is one matrix
multiplication too; only training uses it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onbrand.hidream.decoding.preview import Projection

BLOCK = 8  # pixels of the small picture per latent, along one side
COMPONENTS = 3 * BLOCK * BLOCK
PIXELS = 8 * BLOCK  # of the large picture per latent, along one side
_WIDE = 4  # residual steps at the latents' resolution: 9 latents to each side are seen
_COLOURS = 3  # a place has: a lighter one, a darker one and the one between
_NEIGHBOURHOOD = 5  # pixels of the small picture, along one side: where the extreme colours are looked for
_STEEPNESS = 40.0  # of the first two maps, before the network corrects them
_CRISPNESS = 2.0  # of the corrected maps: an edge is about two pixels of the large picture wide
_BETWEEN = -2.0  # the third map: low, so the colour between is seen only where the others are about equal
_LEAST_CONTRAST = 0.05  # of the tone; less is no edge
_CALM_WITHIN = 7  # pixels of the small picture, along one side
_CALM_TIMES = 2
_CALM_DEVIATION = 0.12  # of colours, whose parts go from -1 to 1: shades that are closer count as one
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def _convolution(channels: int, to: int) -> nn.Conv2d:
    """Of 3×3 pixels; beyond its border a picture goes on as it is there."""
    return nn.Conv2d(channels, to, 3, padding=1, padding_mode="replicate")


class Residual(nn.Module):
    """`x + g * b(silu(a(x)))`, with one learned gain per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = _convolution(channels, channels)
        self.b = _convolution(channels, channels)
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
        self.c0 = nn.Sequential(_convolution(latent_channels, w16), *(Residual(w16) for _ in range(_WIDE)))
        self.c1 = nn.Sequential(nn.Conv2d(w16, 64 * 16, 1), nn.PixelShuffle(4), Residual(64), Residual(64))
        self.c2 = nn.Sequential(nn.Conv2d(64, w128 * 4, 1), nn.PixelShuffle(2))
        self.c2b = nn.Sequential(_convolution(w128 + 3, w128), Residual(w128))
        self.corrections = _convolution(w128, 3 + 1 + 3 * (_COLOURS - 1))  # picture, tone, two colours
        self.axis = _convolution(w128, 3)  # which colours count as light, beside the luma
        self.maps = nn.Sequential(
            _convolution(w128, w256 * 4),
            nn.PixelShuffle(2),
            nn.SiLU(),
            _convolution(w256, _COLOURS),
        )
        for parameter in (*self.corrections.parameters(), *self.axis.parameters(), *self.maps[-1].parameters()):
            nn.init.zeros_(parameter)  # without training nothing is corrected

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
        return self.draw(latents, self.c0(latents))[1]

    def draw(self, latents: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The small picture (B, 3, 8H, 8W), corrected and calm, and the large one that is drawn from it.

        `features` are `c0`'s: of these latents, or the part of a whole picture's that is beside them.
        """
        small = self.preview(latents)
        features = self.c2(self.c1(features))
        features = self.c2b(torch.cat([features, small], dim=1))
        correction, tone_correction, to_lighter, to_darker = self.corrections(features).split((3, 1, 3, 3), dim=1)
        small = calm(small + correction)
        light = small.new_tensor(_LUMA)[:, None, None] + self.axis(features)
        tone = (small * light).sum(dim=1, keepdim=True) + tone_correction
        lighter, highest = _extreme(small, tone, 1)
        darker, lowest = _extreme(small, tone, -1)
        above = _STEEPNESS * (tone - (highest + lowest) / 2) / (highest - lowest + _LEAST_CONTRAST)
        maps = enlarge(torch.cat([above, -above, torch.full_like(above, _BETWEEN)], dim=1), 2) + self.maps(features)
        shares = enlarge(_CRISPNESS * maps, 4).softmax(dim=1)
        colours = (lighter + to_lighter, darker + to_darker, small)
        seen = (
            share * enlarge(colour, BLOCK) for share, colour in zip(shares.chunk(_COLOURS, dim=1), colours, strict=True)
        )
        return small, sum(seen, start=torch.zeros(()))


def _extreme(small: Tensor, tone: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """(B, 3, H, W) the colour, and (B, 1, H, W) its tone, where the tone is highest (1) or lowest (-1) nearby."""
    half = _NEIGHBOURHOOD // 2
    at = F.max_pool2d(sign * tone.detach(), _NEIGHBOURHOOD, 1, half, return_indices=True)[1].flatten(2)
    colour = small.flatten(2).gather(2, at.expand(-1, 3, -1)).view_as(small)
    return colour, tone.flatten(2).gather(2, at).view_as(tone)


def calm(pictures: Tensor) -> Tensor:
    """(B, 3, N, N) from -1 to 1, each pixel the mean of those nearby that have nearly its colour.

    A bilateral filter without a weight for the distance, repeated: shades of one fill become one, edges stay.
    """
    side, half = _CALM_WITHIN, _CALM_WITHIN // 2
    for _ in range(_CALM_TIMES):
        rows = pictures.flatten(2)
        padded = F.pad(pictures, (half, half, half, half), mode="replicate")
        near = F.unfold(padded, side).view(len(pictures), 3, side * side, -1)
        away = (near - rows[:, :, None]).square().sum(dim=1, keepdim=True)
        weights = torch.exp(away / (-2 * _CALM_DEVIATION**2))
        pictures = ((near * weights).sum(dim=2) / weights.sum(dim=2)).view_as(pictures)
    return pictures


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
