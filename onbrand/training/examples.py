"""The examples of each step, and their loss: which pictures, with which captions, noise and times.

All of it is a function of the seed and the step alone, so a run that goes on sees what it would have seen.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onbrand.training.cache import NO_TEXT, Cache
from onbrand.training.flow import TimeSampling, flow_loss
from onbrand.training.loop import step_generator
from onbrand.training.settings import TrainingSettings
from onbrand.training.velocity import stacked, training_attention, velocity

_ORDER = 7919  # set apart from the noise's generators


@dataclass(frozen=True)
class Examples:
    """The illustrations that are trained on. `captions` are by name, as the cache's latents are."""

    captions: Mapping[str, str]
    cache: Cache

    def names(self, seed: int, first: int, count: int) -> list[str]:
        """The names of examples `first` to `first + count` of the run: every illustration once, then again in another
        order.
        """
        known = sorted(self.captions)
        orders: dict[int, list[int]] = {}
        chosen = []
        for position in range(first, first + count):
            turn, place = divmod(position, len(known))
            if turn not in orders:
                orders[turn] = torch.randperm(len(known), generator=step_generator(seed + _ORDER, turn)).tolist()
            chosen.append(known[orders[turn][place]])
        return chosen


def example_loss(
    transformer: Any, examples: Examples, settings: TrainingSettings
) -> Callable[[int, torch.Generator], Iterator[Tensor]]:
    """What the loop calls at each step. The parts of the loss are as many as there are passes.

    Noise and times are drawn for the whole batch, so 4 passes of 1 picture train what 1 pass of 4 does. Pictures are
    never flipped: a shadow to one side or a lettering belongs to a brand.
    """
    times_of = TimeSampling(mean=math.log(settings.time_shift))
    device, dtype = transformer.device, compute_dtype(transformer)

    def parts(step: int, generator: torch.Generator) -> Iterator[Tensor]:
        names = examples.names(settings.seed, step * settings.batch, settings.batch)
        latents = torch.stack([examples.cache.latents[name] for name in names])
        is_dropped = torch.rand(len(names), generator=generator) < settings.caption_dropout
        captions = [
            NO_TEXT if dropped else examples.captions[name]
            for name, dropped in zip(names, is_dropped.tolist(), strict=True)
        ]
        noise = torch.randn(latents.shape, generator=generator)
        times = times_of.times(len(names), generator)
        for first in range(0, len(names), settings.at_once):
            some = slice(first, first + settings.at_once)
            noised = _Noised(latents[some].to(device), noise[some].to(device), times[some].to(device))
            with training_attention(device):
                errors = _errors(transformer, noised, examples.cache, captions[some], dtype)
                yield errors.sum() / len(names)

    return parts


@dataclass(frozen=True)
class _Noised:
    """Latents and noise (B, C, H, W), and times (B,), on the device."""

    latents: Tensor
    noise: Tensor
    times: Tensor


def _errors(transformer: Any, batch: _Noised, cache: Cache, captions: Sequence[str], dtype: torch.dtype) -> Tensor:
    texts = stacked([cache.texts[caption] for caption in captions], batch.latents.device, dtype)
    return flow_loss(lambda x, t: velocity(transformer, x, t, texts), batch.latents, batch.noise, batch.times)


@torch.no_grad()
def held_out_loss(
    transformer: Any, captions: Mapping[str, str], cache: Cache, sigmas: Sequence[float], seed: int
) -> dict[float, float]:
    """The mean loss of illustrations that aren't trained on, at each of the fixed noise levels, always the same noise.

    Each illustration's noise depends on its name and the seed, not on which others there are.
    """
    device, dtype = transformer.device, compute_dtype(transformer)
    totals = dict.fromkeys(sigmas, 0.0)
    for name, caption in sorted(captions.items()):
        latents = cache.latents[name][None]
        for sigma in sigmas:
            generator = torch.Generator().manual_seed((seed * 1_000_003 + _number(f"{name} {sigma}")) % 2**63)
            noise = torch.randn(latents.shape, generator=generator)
            batch = _Noised(latents.to(device), noise.to(device), torch.tensor([sigma], device=device))
            totals[sigma] += float(_errors(transformer, batch, cache, [caption], dtype))
    return {sigma: total / len(captions) for sigma, total in totals.items()}


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def compute_dtype(transformer: Any) -> torch.dtype:
    """The type of the transformer's inputs: that of the parameters that are neither 8-bit nor the LoRA's."""
    weight: Tensor = next(transformer.x_embedder.parameters())
    return weight.dtype
