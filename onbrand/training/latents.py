"""Pictures to latents, as the transformer draws them: the way back of `hidream.decoding`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.hidream.decoding.load_vae import load_vae
from onbrand.hidream.decoding.vae import PcaVae
from onbrand.hidream.models import Model, Precision
from onbrand.packs.base import Base


def load_picture_encoder(base: Base, model: Model, device: torch.device) -> Callable[[np.ndarray], Tensor]:
    """A function from an (S, S, 3) uint8 picture to its (C, H, W) float32 latents on the CPU.

    It computes in float32: an encoder in bfloat16 would round what is trained. The mean of AutoencoderKL's distribution
    is taken, so the same picture gives the same latents each time.

    Raises:
        WeightsMissing, WeightsUnusable: as for `hidream.load.load_pipeline`.
    """
    vae = load_vae(base, model, Precision.FLOAT32, device, has_encoder=True)

    @torch.inference_mode()
    def encode(pixels: np.ndarray) -> Tensor:
        picture = to_tensor(pixels)[None].to(device)
        latents: Tensor = _encoded(vae, picture)[0].float().cpu().clone()
        return latents

    return encode


def _encoded(vae: Any, picture: Tensor) -> Tensor:
    if isinstance(vae, PcaVae):
        components: Tensor = vae.encode(picture)
        return components
    mean: Tensor = vae.encode(picture, return_dict=False)[0].mode()
    scaled: Tensor = (mean - vae.config.shift_factor) * vae.config.scaling_factor  # the inverse of `decode.decode_kl`
    return scaled


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(S, S, 3) uint8 RGB to (3, S, S) from -1 to 1."""
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float() / 127.5 - 1


def encode_pictures(
    encode: Callable[[np.ndarray], Tensor], pictures: Iterable[tuple[str, np.ndarray]]
) -> dict[str, Tensor]:
    """The latents of each picture by its name, one picture at a time."""
    return {name: encode(pixels) for name, pixels in pictures}
