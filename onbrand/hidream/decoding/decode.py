"""Latents to pixels, and the refusal of pictures that aren't any."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import BadImage
from onbrand.hidream.decoding.preview import Projection


class Decoder(Protocol):
    """The part of a model that makes pictures of latents."""

    @property
    def scale_factor(self) -> int:
        """Pixels of the picture per latent, one way."""
        ...

    @property
    def projection(self) -> Projection:
        """Its nearest linear approximation, for previews."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, H, W) latents as the transformer knows them to (B, 3, H·f, W·f) RGB, about -1 to 1, not clamped."""
        ...


class KlDecoder:
    """diffusers' AutoencoderKL, whose encoder half is not needed and need not be there."""

    def __init__(self, vae: Any, projection: Projection) -> None:
        self._vae = vae
        self.projection = projection
        self.scale_factor: int = 2 ** (len(vae.config.block_out_channels) - 1)

    def decode(self, latents: Tensor) -> Tensor:
        """As in `Decoder`."""
        return decode_kl(self._vae, latents)


def decode_kl(vae: Any, latents: Tensor) -> Tensor:
    """AutoencoderKL's decoder on latents as the transformer knows them: scaled and shifted back before."""
    weight = next(vae.decoder.parameters())
    latents = latents.to(weight.device, weight.dtype) / vae.config.scaling_factor + vae.config.shift_factor
    return torch.as_tensor(vae.decode(latents, return_dict=False)[0])


def decode(decoder: Decoder, latents: Tensor) -> np.ndarray:
    """(B, C, H, W) latents to (B, H·f, W·f, 3) uint8 RGB. One picture at a time: a quarter of the memory.

    Raises:
        BadImage: a picture isn't finite or is a single colour.
    """
    return np.stack([to_pixels(decoder.decode(latent[None]))[0] for latent in latents])


def to_pixels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) RGB from -1 to 1, clamped, to (B, H, W, 3) uint8.

    A NaN would silently become black in the cast, so it is looked for before.

    Raises:
        BadImage: a picture isn't finite or is a single colour.
    """
    images = images.float()
    if not torch.isfinite(images).all():
        raise BadImage
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    if any((picture == picture[0, 0]).all() for picture in pixels):
        raise BadImage
    return pixels
