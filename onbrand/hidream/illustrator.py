"""A loaded model that draws: (prompt, seeds) to pictures. The one interface the worker knows of the image model.

It draws one request at a time and isn't thread-safe: diffusers keeps the schedule's position in the pipeline. It
neither seeds, stores nor publishes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import Cancelled, GpuMemory
from onbrand.hidream.decode import decode
from onbrand.hidream.encode import TextEncoder, embed, token_ids
from onbrand.hidream.preview import Previews, Projection
from onbrand.hidream.sample import denoise, noise
from onbrand.hidream.vae import PcaVae
from onbrand.job import IMAGE_SIZE, Pack, Phase, Progress
from onbrand.packs import Manifest


@dataclass(frozen=True)
class Drawing:
    """What came of one request: (B, 1024, 1024, 3) uint8 RGB, in the order of the seeds."""

    pixels: np.ndarray
    prompt_truncated: bool  # the text encoder could not read all of the prompt


@dataclass(frozen=True)
class Illustrator:
    """A model with its brand pack, in memory. Made by `load.load_illustrator`."""

    pack: Pack
    manifest: Manifest
    pipeline: Any  # diffusers' HiDreamImagePipeline, without text encoders and VAE
    text_encoder: TextEncoder
    vae: PcaVae
    projection: Projection  # fitted to the VAE's decoder

    @property
    def model(self) -> str:
        """The base model's name."""
        return self.manifest.base_model

    @property
    def steps(self) -> int:
        """Denoising steps of one drawing."""
        return self.manifest.steps

    def draw(
        self,
        prompt: str,
        seeds: Sequence[int],
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Drawing:
        """One picture for each seed, all of the same prompt.

        The same prompt, seeds and machine give the same pixels, bit for bit. A seed drawn in another batch gives the
        same picture up to rounding.

        `on_progress` and `should_stop` are called at the start and after each step; what either raises ends the
        drawing. A failed or stopped drawing leaves the model ready for the next one. Some of the steps bring previews.

        Raises:
            Cancelled: `should_stop` said so.
            BadImage: a picture isn't finite or is a single colour.
            GpuMemory: the accelerator has too little memory for this many pictures at once.
        """

        previews = Previews(self.projection)

        def at_step(step: int, clean: Callable[[], Tensor] | None) -> None:
            shown = previews.at(clean) if clean is not None else ()
            on_progress(Progress(Phase.DRAWING, step, self.steps, shown))
            if should_stop():
                raise Cancelled

        try:
            with torch.inference_mode():
                return self._draw(prompt, seeds, on_progress, at_step)
        except torch.OutOfMemoryError as error:
            raise GpuMemory from error

    def _draw(
        self,
        prompt: str,
        seeds: Sequence[int],
        on_progress: Callable[[Progress], None],
        at_step: Callable[[int, Callable[[], Tensor] | None], None],
    ) -> Drawing:
        on_progress(Progress(Phase.ENCODING))
        manifest, config = self.manifest, self.pipeline.transformer.config
        tokenizer, limit = self.text_encoder.tokenizer, manifest.prompt_token_limit
        ids, is_truncated = token_ids(tokenizer, prompt, manifest.prompt_suffix, limit)
        negative_ids, _ = token_ids(tokenizer, "", "", limit)
        latents = noise(seeds, config.in_channels, IMAGE_SIZE // self.pipeline.vae_scale_factor)
        at_step(0, None)
        latents = denoise(
            self.pipeline,
            latents,
            embed(self.text_encoder, ids),
            embed(self.text_encoder, negative_ids),
            steps=manifest.steps,
            guidance_scale=manifest.guidance_scale,
            on_step=at_step,
        )
        return Drawing(decode(self.vae, latents), is_truncated)
