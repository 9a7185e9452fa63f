"""Latents to pixels, and the refusal of pictures that aren't any."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import BadImage
from onbrand.hidream.vae import PcaVae


def decode(vae: PcaVae, latents: Tensor) -> np.ndarray:
    """(B, 32, H, W) latents to (B, 64H, 64W, 3) uint8 RGB. One picture at a time: a quarter of the memory.

    Raises:
        BadImage: a picture isn't finite or is a single colour.
    """
    return np.stack([to_pixels(vae.decode(latent[None]))[0] for latent in latents])


def to_pixels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) RGB from -1 to 1, clamped, to (B, H, W, 3) uint8.

    A NaN would silently become black in the cast, so it is looked for before.

    Raises:
        BadImage: a picture isn't finite or is a single colour.
    """
    if not torch.isfinite(images).all():
        raise BadImage
    pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    if any((picture == picture[0, 0]).all() for picture in pixels):
        raise BadImage
    return pixels
