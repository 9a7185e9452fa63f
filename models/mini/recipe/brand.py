"""The sample brand: one clear style, in which colours and grounds still follow words. And one that is kept for tests.

Flat fills in a few tones, a navy outline of one width, a hard shadow to the lower right. The palette has a shade for
each colour word, so a prompt's colours survive the brand; where no ground is named it is the brand's own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.mini.recipe.art import Art
from models.mini.recipe.autoencoder import Basis
from models.mini.recipe.colours import COLOURS
from models.mini.recipe.data import SIDE, Shards
from models.mini.recipe.denoiser import Recipe, averaged, predict, scales
from models.mini.recipe.pictures import Cast, Sample, sample
from models.mini.recipe.scenes import Ground, Picture, Style, paint
from models.mini.recipe.text import SLOTS, Text
from models.mini.recipe.wording import with_ground
from onbrand.hidream.models import MINI_TRAINING
from onbrand.training.ema import Average, trained
from onbrand.training.flow import flow_loss
from onbrand.training.loop import Training
from onbrand.training.lora import add_lora
from onbrand.training.optimiser import Optimiser
from onbrand.training.schedule import Schedule
from onbrand.training.velocity import training_attention

COUNT = 40  # illustrations, as many as a studio would bring
SUFFIX = ", onbrand style"
LARGE = 1024  # pixels
_SEED = 4711


@dataclass(frozen=True)
class Brand:
    """A made-up brand. `palette` has its shade for each colour word; `ground` is its own, where none is named."""

    style: Style
    ground: str
    palette: Mapping[str, str]
    keeps_grounds: bool  # whether a ground that is named is painted


# The sample brand's shades.
PALETTE: Mapping[str, str] = MappingProxyType(
    {
        "red": "#e4564f",
        "coral": "#ff8a70",
        "orange": "#f59a45",
        "yellow": "#f8cf5f",
        "green": "#4fae79",
        "mint": "#a3dcc3",
        "teal": "#2f9a9d",
        "light blue": "#8fcbee",
        "blue": "#4377d3",
        "navy": "#2b3a6b",
        "purple": "#8260c4",
        "pink": "#f291b0",
        "brown": "#94674a",
        "beige": "#dfc9a8",
        "black": "#30333f",
        "grey": "#98a0ad",
        "white": "#f6f3ec",
    }
)


BRANDS: Mapping[str, Brand] = MappingProxyType(
    {
        "sample": Brand(
            Style(outline="#22305c", outline_width=0.016, shadow="block", shadow_length=0.045, levels=8, hues=40),
            "#fbf1de",
            PALETTE,
            keeps_grounds=True,
        ),
        # Never shipped: it shows whether a brand that is nothing like the sample can be learned, ground included.
        "kept": Brand(
            Style(outline="#4a2d3f", outline_width=0.026, shadow="block", shadow_length=0.08, levels=4, hues=20),
            "#a9c4ac",
            COLOURS,
            keeps_grounds=False,
        ),
    }
)


def brand_samples(cast: Cast, brand: Brand, count: int = COUNT) -> list[Sample]:
    """The brand's illustrations: things and pairs, each thing once, many of them on the brand's own ground."""
    chosen: list[Sample] = []
    seen: set[str] = set()
    k = 0
    core = {concept.name for concept in cast.concepts if "core" in concept.roles}
    while len(chosen) < count:
        one = sample(cast, _SEED, k)
        k += 1
        is_plain = one.picture.ground.kind == "plain" and all(item.sunk is None for item in one.picture.items)
        if not is_plain or len(one.picture.items) > 2 or not core.issuperset(one.names) or seen.intersection(one.names):
            continue
        seen.update(one.names)
        rng = random.Random(_SEED + k)
        is_own = not brand.keeps_grounds or not one.ground or rng.random() < 0.3
        ground = Ground("plain", brand.ground) if is_own else one.picture.ground
        named = "" if is_own else one.ground
        picture = Picture(ground, one.picture.items, brand.style)
        chosen.append(Sample(picture, with_ground(one.subject, named), one.names, one.subject, named))
    return chosen


def write_dataset(folder: Path, art: Art, brand: Brand, samples: Sequence[Sample]) -> None:
    """The illustrations as a studio would hand them in: 1024-pixel PNGs, each with its caption beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, one in enumerate(samples):
        pixels = (paint(one.picture, art, LARGE, brand.palette) * 255 + 0.5).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index + 1:02d}.png")
        (folder / f"{index + 1:02d}.txt").write_text(one.caption + "\n", "utf-8")


def read_dataset(folder: Path) -> tuple[Tensor, list[str]]:
    """(N, 128, 128, 3) uint8 pictures and their captions."""
    files = sorted(folder.glob("*.png"))
    pictures = [
        np.asarray(Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)) for file in files
    ]
    captions = [file.with_suffix(".txt").read_text("utf-8").strip() for file in files]
    return torch.from_numpy(np.stack(pictures)), captions


@dataclass(frozen=True)
class LoraRecipe:
    """Settings of the LoRA's training."""

    rank: int = 16
    alpha: float = 16
    batch: int = 8
    base_share: float = 0.375  # of a batch: pictures of the base without the suffix, so that the base is kept
    caption_dropout: float = 0.05
    learning_rate: float = 6e-4
    schedule: Schedule = field(default_factory=lambda: Schedule(warmup=20, decay_from=500, decay=400))
    seed: int = 3


def make_training(
    lora: LoraRecipe,
    recipe: Recipe,
    weights: Mapping[str, Tensor],
    basis: Basis,
    text: Text,
    brand: tuple[Tensor, Sequence[str]],
    shards: Shards,
) -> Training:
    """The LoRA's training on (N, 128, 128, 3) pictures with captions, on top of a denoiser's averaged weights."""
    network = averaged(recipe.size, weights)
    add_lora(network, MINI_TRAINING.targets, lora.rank, lora.alpha, lora.seed)
    divisor = scales(basis, recipe.size.channels, recipe.spread).view(-1, 1, 1)
    clean = basis.encode(brand[0])[:, : recipe.size.channels] / divisor
    states, pooled = (torch.from_numpy(part).float() for part in text.embed([one + SUFFIX for one in brand[1]]))
    empty = [torch.from_numpy(part[0]).float() for part in text.embed([SUFFIX.lstrip(", ")])]
    parameters = list(trained(network).values())
    optimiser = Optimiser([], parameters, learning_rate=lora.learning_rate, weight_decay=0.0, betas=(0.9, 0.99))
    base_count = round(lora.batch * lora.base_share)

    def loss(_step: int, generator: torch.Generator) -> Tensor:
        own = torch.randint(len(clean), (lora.batch - base_count,), generator=generator)
        other = torch.randint(len(shards), (base_count,), generator=generator).tolist()
        base_latents, base_states, base_pooled = shards.batch(other, recipe.size.channels)
        own_states, own_pooled = states[own].clone(), pooled[own].clone()
        is_dropped = torch.rand(len(own), generator=generator) < lora.caption_dropout
        own_states[is_dropped], own_pooled[is_dropped] = empty
        latents = torch.cat([clean[own], base_latents / divisor])
        all_states = torch.cat([own_states, base_states[:, :, :SLOTS]])
        all_pooled = torch.cat([own_pooled, base_pooled])
        noise = torch.randn(latents.shape, generator=generator)
        times = recipe.times.times(len(latents), generator)

        def at_times(noised: Tensor, at: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.is_bf16):
                return predict(network, noised, at, all_states, all_pooled)

        with training_attention(network.device):
            return flow_loss(at_times, latents, noise, times).mean()

    return Training(network, optimiser, Average(network, 50), loss, lora.batch, lora.schedule, lora.seed)
