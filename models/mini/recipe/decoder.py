"""The decoder's training: from 16×16 latents to the 1024×1024 picture that they were encoded from.

The network is `onbrand.hidream.decoding.vae.PcaVae`, fully convolutional, so it learns on crops. Its latents get some
noise, as much as a good denoiser leaves, and it learns to draw clean edges all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.data import make_cast
from models.mini.recipe.pictures import sample
from models.mini.recipe.scenes import paint
from onbrand.hidream.decoding.vae import PcaVae
from onbrand.training.ema import Average
from onbrand.training.loop import Training
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule

LARGE = 1024  # pixels
PIXELS = 64  # of the large picture per latent, one way
_CROP = 5  # latents, one way
_MARGIN = 1  # latents at the crop's edge whose pixels don't count: their surroundings are missing
_CROPS = 8  # of one picture, because painting it takes longer than learning from it


@dataclass(frozen=True)
class DecoderRecipe:
    """Settings of the decoder's training; widths as in `PcaVae`."""

    w16: int = 192
    w128: int = 32
    w256: int = 16
    pictures: int = 1  # a step; each gives eight crops
    learning_rate: float = 1e-3
    noise: float = 0.25  # the most, in units of a latent's deviation
    schedule: Schedule = field(default_factory=lambda: Schedule(warmup=100, decay_from=500, decay=400))
    seed: int = 5


def make_vae(recipe: DecoderRecipe, basis: Basis, divisor: Tensor) -> PcaVae:
    """The decoder for latents that were divided by `divisor` (C,); its linear part is the basis."""
    torch.manual_seed(recipe.seed)
    channels = len(divisor)
    vae = PcaVae(channels, recipe.w16, recipe.w128, recipe.w256)
    vae.mu.copy_(basis.mean)
    vae.V.copy_(basis.components[:, :channels])
    vae.scale.copy_(divisor)
    for parameter in vae.c3[-2].parameters():
        torch.nn.init.zeros_(parameter)  # it begins as its linear part
    return vae


def make_training(
    recipe: DecoderRecipe, basis: Basis, divisor: Tensor, art_folder: Path | None, data_seed: int, first: int
) -> Training:
    """What `onbrand.training.loop.run` runs; pictures from `first` on, which no denoiser has to have seen."""
    vae = make_vae(recipe, basis, divisor)
    art = Art(art_folder)
    cast = make_cast(art)
    optimiser = Optimiser([], vae.parameters(), learning_rate=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.99))

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, targets = [], []
        for offset in range(recipe.pictures):
            k = first + step * recipe.pictures + offset
            large = paint(sample(cast, data_seed, k).picture, art, LARGE)
            whole = encode_large(large, basis, divisor)
            for _ in range(_CROPS):
                y, x = torch.randint(0, 16 - _CROP + 1, (2,), generator=generator).tolist()
                latents.append(whole[:, y : y + _CROP, x : x + _CROP])
                rows, columns = (slice(at * PIXELS, (at + _CROP) * PIXELS) for at in (y, x))
                targets.append(torch.from_numpy(large[rows, columns].transpose(2, 0, 1) * 2 - 1))
        batch, target = torch.stack(latents), torch.stack(targets)
        deviation = latents_deviation(basis, divisor).view(-1, 1, 1)
        level = recipe.noise * torch.rand(len(batch), 1, 1, 1, generator=generator) ** 2
        noised = batch + level * deviation * torch.randn(batch.shape, generator=generator)
        edge = _MARGIN * PIXELS
        drawn = vae.decode(noised)[..., edge:-edge, edge:-edge]
        return picture_loss(drawn, target[..., edge:-edge, edge:-edge])

    return Training(
        vae, optimiser, Average(vae, 300, every=2), loss, recipe.pictures * _CROPS, recipe.schedule, recipe.seed
    )


def latents_deviation(basis: Basis, divisor: Tensor) -> Tensor:
    """(C,) the standard deviation of divided latents."""
    return basis.deviations[: len(divisor)] / divisor


def encode_large(large: np.ndarray, basis: Basis, divisor: Tensor) -> Tensor:
    """(1024, 1024, 3) sRGB from 0 to 1 to (C, 16, 16) latents."""
    factor = LARGE // 128
    small = large.reshape(128, factor, 128, factor, 3).mean(axis=(1, 3))
    pixels = torch.from_numpy((small * 255 + 0.5).astype(np.uint8))
    return basis.encode(pixels[None])[0, : len(divisor)] / divisor.view(-1, 1, 1)


def picture_loss(drawn: Tensor, target: Tensor) -> Tensor:
    """L1 of the pixels and of their differences, which keeps edges crisp."""
    across = (drawn.diff(dim=-1) - target.diff(dim=-1)).abs().mean()
    down = (drawn.diff(dim=-2) - target.diff(dim=-2)).abs().mean()
    coarse = (F.avg_pool2d(drawn, 8) - F.avg_pool2d(target, 8)).abs().mean()
    return (drawn - target).abs().mean() + 2 * (across + down) + coarse
