"""Turns latents into pixels, and refuses results that are not pictures."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import BadImage
from onbrand.hidream.decoding.preview import Projection


class Decoder(Protocol):
    """The part of a model that turns latents into pictures."""

    @property
    def scale_factor(self) -> int:
        """Pixels per latent, along one side."""
        ...

    @property
    def projection(self) -> Projection:
        """The linear projection that is nearest to this decoder; it makes the previews."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents as the transformer makes them to (B, 3, H·f, W·f) RGB, about -1 to 1, not clamped."""
        ...


class KlDecoder:
    """diffusers' AutoencoderKL. Its encoder half is not used and may be missing."""

    def __init__(self, vae: Any, projection: Projection) -> None:
        self._vae = vae
        self.projection = projection
        self.scale_factor: int = 2 ** (len(vae.config.block_out_channels) - 1)

    def decode(self, latents: Tensor) -> Tensor:
        """See `Decoder`."""
        return decode_kl(self._vae, latents)


def decode_kl(vae: Any, latents: Tensor) -> Tensor:
    """Undo the VAE's scaling and shift of the latents, then decode them: shapes as in `Decoder.decode`."""
    weight = next(vae.decoder.parameters())
    latents = latents.to(weight.device, weight.dtype) / vae.config.scaling_factor + vae.config.shift_factor
    return torch.as_tensor(vae.decode(latents, return_dict=False)[0])


def decode(decoder: Decoder, latents: Tensor) -> np.ndarray:
    """(B, C, H, W) latents to (B, H·f, W·f, 3) uint8 RGB.

    One picture is decoded at a time: for four pictures that takes a quarter of the memory.

    Raises:
        BadImage: a picture is not finite or has a single colour.
    """
    return np.stack([to_pixels(decoder.decode(latent[None]))[0] for latent in latents])


def to_pixels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) RGB from -1 to 1, clamped, to (B, H, W, 3) uint8.

    The conversion to uint8 would turn a NaN into black without an error, so NaNs are refused before.

    Raises:
        BadImage: a picture is not finite or has a single colour.
    """
    lowest, highest = torch.aminmax(images)  # one of them is not finite if any value isn't
    if not torch.isfinite(lowest + highest):
        raise BadImage
    levels = images.float().clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    pixels = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    if any(_has_one_colour(picture) for picture in pixels):
        raise BadImage
    return pixels


def _has_one_colour(picture: np.ndarray) -> bool:
    first = picture[0, 0]
    return bool((picture[0] == first).all() and (picture == first).all())
