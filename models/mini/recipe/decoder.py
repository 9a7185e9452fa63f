"""The decoder's training: from 16×16 latents to the 1024×1024 picture that they were encoded from.

The network is `onbrand.hidream.decoding.vae.PcaVae`, fully convolutional, so it learns on crops, most of them where
there is something to see. Its latents get some noise, as much as a good denoiser leaves, and it learns to draw clean
edges all the same. A large picture takes longer to paint than to learn from, so they are painted once and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.data import make_cast
from models.mini.recipe.pictures import sample
from models.mini.recipe.scenes import Picture, paint
from onbrand.hidream.decoding.vae import BLOCK, PIXELS, PcaVae
from onbrand.training.ema import Average
from onbrand.training.loop import Training
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule

LARGE = 1024  # pixels
_CROP = 5  # latents, one way
_MARGIN = 1  # latents at the crop's edge whose pixels don't count: their surroundings are missing
_CROPS = 4  # of one picture
_LEAST_INTEREST = 1e-3  # of a crop without anything in it, against the deviation within a latent's pixels


@dataclass(frozen=True)
class DecoderRecipe:
    """Settings of the decoder's training; widths as in `PcaVae`."""

    w16: int = 192
    w128: int = 32
    w256: int = 16
    pictures: int = 2  # a step; each gives four crops
    distinct: int = 1000  # pictures in all
    learning_rate: float = 1e-3
    noise: float = 0.25  # the most, in units of a latent's deviation
    schedule: Schedule = field(default_factory=lambda: Schedule(warmup=100, decay_from=2000, decay=1500))
    seed: int = 5


def make_vae(recipe: DecoderRecipe, basis: Basis, divisor: Tensor) -> PcaVae:
    """The decoder for latents that were divided by `divisor` (C,); its linear part is the basis."""
    torch.manual_seed(recipe.seed)
    channels = len(divisor)
    vae = PcaVae(channels, recipe.w16, recipe.w128, recipe.w256)
    vae.mu.copy_(basis.mean)
    vae.V.copy_(basis.components[:, :channels])
    vae.scale.copy_(divisor)
    return vae


def make_training(
    recipe: DecoderRecipe,
    basis: Basis,
    divisor: Tensor,
    art_folder: Path | None,
    data_seed: int,
    first: int,
    kept: Path,
) -> Training:
    """What `onbrand.training.loop.run` runs; pictures from `first` on, which no denoiser has seen, `kept` as PNGs."""
    vae = make_vae(recipe, basis, divisor)
    art = Art(art_folder)
    cast = make_cast(art)
    optimiser = Optimiser([], vae.parameters(), learning_rate=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.99))

    def loss(step: int, generator: torch.Generator) -> Tensor:
        latents, targets = [], []
        for offset in range(recipe.pictures):
            k = first + (step * recipe.pictures + offset) % recipe.distinct
            large = _large_picture(kept / f"{k}.png", sample(cast, data_seed, k).picture, art)
            whole = encode_large(large, basis, divisor)
            for y, x in _places(large, generator):
                latents.append(whole[:, y : y + _CROP, x : x + _CROP])
                rows, columns = (slice(at * PIXELS, (at + _CROP) * PIXELS) for at in (y, x))
                targets.append(torch.from_numpy(large[rows, columns].transpose(2, 0, 1) * 2 - 1))
        batch, target = torch.stack(latents), torch.stack(targets)
        deviation = latents_deviation(basis, divisor).view(-1, 1, 1)
        level = recipe.noise * torch.rand(len(batch), 1, 1, 1, generator=generator) ** 2
        noised = batch + level * deviation * torch.randn(batch.shape, generator=generator)
        small, drawn = vae.decode_both(noised)
        return picture_loss(_inner(small, BLOCK), _inner(drawn, PIXELS), _inner(target, PIXELS))

    return Training(
        vae, optimiser, Average(vae, 300, every=2), loss, recipe.pictures * _CROPS, recipe.schedule, recipe.seed
    )


def _large_picture(path: Path, picture: Picture, art: Art) -> np.ndarray:
    """(1024, 1024, 3) from 0 to 1, from the file, which is written whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partly = path.with_suffix(".partial")
        pixels = (paint(picture, art, LARGE) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(partly, format="png", compress_level=1)
        partly.rename(path)
    with Image.open(path) as image:
        return np.asarray(image, np.float32) / 255


def _places(large: np.ndarray, generator: torch.Generator) -> list[tuple[int, int]]:
    """Rows and columns of latents where crops begin; a place is chosen the more often, the more there is to see."""
    within = large.reshape(16, PIXELS, 16, PIXELS, 3).std(axis=(1, 3)).mean(axis=-1)
    interest = F.avg_pool2d(torch.from_numpy(within)[None], _CROP, 1)[0] + _LEAST_INTEREST
    chosen = torch.multinomial(interest.flatten(), _CROPS, replacement=True, generator=generator).tolist()
    return [divmod(place, interest.shape[1]) for place in chosen]


def _inner(pictures: Tensor, pixels: int) -> Tensor:
    """Without the margin of latents of so many pixels each."""
    edge = _MARGIN * pixels
    return pictures[..., edge:-edge, edge:-edge]


def latents_deviation(basis: Basis, divisor: Tensor) -> Tensor:
    """(C,) the standard deviation of divided latents."""
    return basis.deviations[: len(divisor)] / divisor


def encode_large(large: np.ndarray, basis: Basis, divisor: Tensor) -> Tensor:
    """(1024, 1024, 3) sRGB from 0 to 1 to (C, 16, 16) latents."""
    factor = LARGE // 128
    small = large.reshape(128, factor, 128, factor, 3).mean(axis=(1, 3))
    pixels = torch.from_numpy((small * 255 + 0.5).astype(np.uint8))
    return basis.encode(pixels[None])[0, : len(divisor)] / divisor.view(-1, 1, 1)


def picture_loss(small: Tensor, drawn: Tensor, target: Tensor) -> Tensor:
    """L1 of the large picture's pixels, of its means, and of the small picture.

    L1 puts an edge whose place isn't known where it is probable, and leaves it steep. The same of the pixels'
    differences, often used for crisp edges, does the opposite: two wrong steps cost more than a slope.
    """
    means = F.avg_pool2d(target, PIXELS // BLOCK)
    coarse = (F.avg_pool2d(drawn, PIXELS // BLOCK) - means).abs().mean()
    return (drawn - target).abs().mean() + coarse + (small - means).abs().mean()
