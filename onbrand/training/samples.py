"""Samples: the run's fixed prompts with their fixed seeds, drawn as the product will draw them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import BadImage
from onbrand.hidream.decoding.decode import Decoder, decode
from onbrand.hidream.models import Model
from onbrand.hidream.sampling.denoising import denoise, prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler
from onbrand.training.cache import NO_TEXT, Cache
from onbrand.training.ema import trained

_GREY = 128


@dataclass(frozen=True)
class Sampler:
    """What draws. The LoRA on the transformer is used as it is at that moment."""

    model: Model
    transformer: Any
    decoder: Decoder
    cache: Cache
    side: int  # pixels

    def draw(self, prompt: str, seed: int) -> np.ndarray:
        """(S, S, 3) uint8. An early LoRA may draw what isn't a picture; that is grey, because a training goes on."""
        texts = self.cache.texts
        size = self.side // self.decoder.scale_factor
        latents, generators = prepare_latents([seed], self.transformer.config.in_channels, size)
        clean = denoise(
            self.transformer,
            make_scheduler(self.model, self.model.shift),
            latents,
            generators,
            texts[prompt],
            texts[NO_TEXT] if self.model.guidance_scale > 1 else None,
            steps=self.model.steps,
            guidance_scale=self.model.guidance_scale,
            on_step=lambda _step, _clean: None,
        )
        with torch.inference_mode():
            try:
                pixels: np.ndarray = decode(self.decoder, clean)[0]
                return pixels
            except BadImage:
                return np.full((self.side, self.side, 3), _GREY, np.uint8)


@contextmanager
@torch.no_grad()
def averaged(network: torch.nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with these weights for the `with` block; then it is bit for bit as before."""
    parameters = trained(network)
    kept = {name: parameter.clone() for name, parameter in parameters.items()}
    for name, weight in weights.items():
        parameters[name].copy_(weight)
    try:
        yield
    finally:
        for name, weight in kept.items():
            parameters[name].copy_(weight)
