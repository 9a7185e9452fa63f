"""The decoder's training: from 16×16 latents to the 1024×1024 picture that they were encoded from.

The network is `onbrand.hidream.decoding.vae.PcaVae`. Its part at the latents' resolution reads whole pictures; the
rest, fully convolutional, learns on crops, most of them where there is something to see. Latents come as the denoiser
leaves them: each picture is noised a little and drawn again, so the decoder learns what the denoiser's patches and
ragged edges stood for. A large picture takes longer to paint than to learn from, so they are painted once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from models.mini.recipe.denoiser import predict
from models.mini.recipe.pictures import sample
from models.mini.recipe.scenes import Picture, paint
from models.mini.recipe.text import Text
from onbrand.hidream.decoding.vae import BLOCK, PIXELS, PcaVae
from onbrand.training.ema import Average
from onbrand.training.loop import Training
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule
from onbrand.training.transformer import TrainedTransformer

LARGE = 1024  # pixels
_CROP = 8  # latents, one way
_MARGIN = 1  # latents at the crop's edge whose pixels don't count: their surroundings are missing
_REDRAWN_IN = 3  # steps
_LEAST_INTEREST = 1e-4  # of a crop without anything in it, against the deviation within a latent's pixels


@dataclass(frozen=True)
class DecoderRecipe:
    """Settings of the decoder's training; widths as in `PcaVae`."""

    w16: int = 192
    w128: int = 32
    w256: int = 16
    pictures: int = 4  # a step; each gives a crop
    distinct: int = 1000  # pictures in all
    learning_rate: float = 1e-3
    redrawn: float = 0.5  # the most noise from which the denoiser draws a picture again, as a time
    noise: float = 0.15  # the most, in units of a latent's deviation, that is added after that
    schedule: Schedule = field(default_factory=lambda: Schedule(warmup=100, decay_from=1300, decay=1000))
    seed: int = 5


# (B, C, 16, 16) clean latents, captions and a generator to latents as a denoiser leaves them.
Redraw = Callable[[Tensor, Sequence[str], torch.Generator], Tensor]


def make_redraw(network: TrainedTransformer, text: Text, most: float) -> Redraw:
    """Each picture is noised up to a time of its own, at most `most`, and comes back in some of Euler's steps."""

    @torch.no_grad()
    def redraw(latents: Tensor, captions: Sequence[str], generator: torch.Generator) -> Tensor:
        states, pooled = (torch.from_numpy(part).float() for part in text.embed(captions))
        start = most * torch.rand(len(latents), generator=generator)
        sigmas = start.view(-1, 1, 1, 1)
        drawn = (1 - sigmas) * latents + sigmas * torch.randn(latents.shape, generator=generator)
        for step in range(_REDRAWN_IN):
            times = start * (1 - step / _REDRAWN_IN)
            drawn = drawn - sigmas / _REDRAWN_IN * predict(network, drawn, times, states, pooled)
        return drawn

    return redraw


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
    redraw: Redraw,
    art_folder: Path | None,
    data_seed: int,
    first: int,
    kept: Path,
    *,
    start: Mapping[str, Tensor] | None = None,
) -> Training:
    """What `onbrand.training.loop.run` runs; pictures from `first` on, which no denoiser has seen, `kept` as PNGs.

    `start` is the weights of another decoder; parts that it lacks begin anew.
    """
    vae = make_vae(recipe, basis, divisor)
    if start is not None:
        vae.load_state_dict(dict(start), strict=False)
    art = Art(art_folder)
    cast = make_cast(art)
    optimiser = Optimiser([], vae.parameters(), learning_rate=recipe.learning_rate, weight_decay=0.0, betas=(0.9, 0.99))
    deviation = latents_deviation(basis, divisor).view(-1, 1, 1)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        ks = [first + (step * recipe.pictures + offset) % recipe.distinct for offset in range(recipe.pictures)]
        samples = [sample(cast, data_seed, k) for k in ks]
        large = [_large_picture(kept / f"{k}.png", one.picture, art) for k, one in zip(ks, samples, strict=True)]
        clean = torch.stack([encode_large(picture, basis, divisor) for picture in large])
        latents = redraw(clean, [one.caption for one in samples], generator)
        level = recipe.noise * torch.rand(len(latents), 1, 1, 1, generator=generator) ** 2
        latents = latents + level * deviation * torch.randn(latents.shape, generator=generator)
        places = [_place(picture, generator) for picture in large]
        target = torch.stack(
            [_crop(picture.permute(2, 0, 1), at, PIXELS) for picture, at in zip(large, places, strict=True)]
        )
        features = torch.stack([_crop(part, at, 1) for part, at in zip(vae.c0(latents), places, strict=True)])
        latents = torch.stack([_crop(part, at, 1) for part, at in zip(latents, places, strict=True)])
        small, drawn = vae.draw(latents, features)
        return picture_loss(small, drawn, target * 2 - 1, torch.stack([_counts(at) for at in places]))

    return Training(vae, optimiser, Average(vae, 300, every=2), loss, recipe.pictures, recipe.schedule, recipe.seed)


def _large_picture(path: Path, picture: Picture, art: Art) -> Tensor:
    """(1024, 1024, 3) from 0 to 1, from the file, which is written whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partly = path.with_suffix(".partial")
        pixels = (paint(picture, art, LARGE) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(partly, format="png", compress_level=1)
        partly.rename(path)
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image, np.float32) / 255)


def _place(large: Tensor, generator: torch.Generator) -> tuple[int, int]:
    """Row and column of latents where a crop begins; a place is chosen the more often, the more there is to see."""
    within = large.view(16, PIXELS, 16, PIXELS, 3).std(dim=(1, 3), correction=0).mean(dim=-1)
    interest = F.avg_pool2d(within[None], _CROP, 1)[0] + _LEAST_INTEREST
    row, column = divmod(int(torch.multinomial(interest.flatten(), 1, generator=generator)), interest.shape[1])
    return row, column


def _crop(whole: Tensor, place: tuple[int, int], pixels: int) -> Tensor:
    """The part of (…, H, W) that begins at a place in latents of so many pixels each."""
    rows, columns = (slice(at * pixels, (at + _CROP) * pixels) for at in place)
    return whole[..., rows, columns]


def _counts(place: tuple[int, int]) -> Tensor:
    """(1, crop, crop) whether a latent counts: not at the crop's edge, unless the picture's border is there."""
    counts = [
        torch.tensor([(i >= _MARGIN or at == 0) and (i < _CROP - _MARGIN or at + _CROP == 16) for i in range(_CROP)])
        for at in place
    ]
    return (counts[0][:, None] & counts[1][None, :])[None].float()


def latents_deviation(basis: Basis, divisor: Tensor) -> Tensor:
    """(C,) the standard deviation of divided latents."""
    return basis.deviations[: len(divisor)] / divisor


def encode_large(large: Tensor, basis: Basis, divisor: Tensor) -> Tensor:
    """(1024, 1024, 3) sRGB from 0 to 1 to (C, 16, 16) latents."""
    factor = LARGE // 128
    small = large.view(128, factor, 128, factor, 3).mean(dim=(1, 3))
    pixels = (small * 255 + 0.5).to(torch.uint8)
    return basis.encode(pixels[None])[0, : len(divisor)] / divisor.view(-1, 1, 1)


def picture_loss(small: Tensor, drawn: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """L1 of the large picture's pixels, of its means, and of the small picture, where a latent counts (B, 1, H, W).

    L1 puts an edge whose place isn't known where it is probable, and leaves it steep. The same of the pixels'
    differences, often used for crisp edges, does the opposite: two wrong steps cost more than a slope.
    """
    means = F.avg_pool2d(target, PIXELS // BLOCK)
    coarse = F.avg_pool2d(drawn, PIXELS // BLOCK)
    return sum(
        (_of_latents(one - other, counts) for one, other in ((drawn, target), (coarse, means), (small, means))),
        start=torch.zeros(()),
    )


def _of_latents(difference: Tensor, counts: Tensor) -> Tensor:
    """Its mean amount, over the pixels of latents that count."""
    of_each = F.avg_pool2d(difference.abs().mean(dim=1, keepdim=True), difference.shape[-1] // counts.shape[-1])
    return (of_each * counts).sum() / counts.sum()
