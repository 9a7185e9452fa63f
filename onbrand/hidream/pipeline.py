"""A loaded model that draws: (prompt, seeds) to pictures. The one interface the worker knows of the image model.

It draws one request at a time and isn't thread-safe. It neither seeds, stores nor publishes anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.errors import Cancelled, GpuMemory
from onbrand.hidream.decoding.decode import Decoder, decode
from onbrand.hidream.decoding.preview import Previews
from onbrand.hidream.memory import Plan
from onbrand.hidream.models import MODELS
from onbrand.hidream.sampling.denoising import denoise, prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.hidream.text.encode import EncodedPrompt, TextEncoder
from onbrand.images.png import Provenance
from onbrand.jobs.models import IMAGE_SIZE, Pack, Phase, Progress
from onbrand.packs.manifest import Manifest

logger = logging.getLogger(__name__)

StepCallback = Callable[[int, Callable[[], Tensor] | None], None]


@dataclass(frozen=True)
class PipelineOutput:
    """What came of one request: (B, 1024, 1024, 3) uint8 RGB, in the order of the seeds."""

    pixels: np.ndarray
    ignored: int  # code points at the end of the prompt that the text encoders could not read


@dataclass
class Pipeline:
    """A model with its brand pack, in memory. Made by `load.load_pipeline`."""

    pack: Pack
    manifest: Manifest
    transformer: Any  # diffusers' HiDreamImageTransformer2DModel, the brand's LoRA fused in
    text_encoder: TextEncoder
    decoder: Decoder
    plan: Plan
    embedding_cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    max_batch: int | None = None  # pictures; None until the memory has been too small for all

    @property
    def model(self) -> str:
        """The base model's name."""
        return self.manifest.base_model

    @property
    def precision(self) -> str:
        """How the matrices are held."""
        return self.plan.precision

    @property
    def steps(self) -> int:
        """Denoising steps of one drawing."""
        return self.manifest.steps

    def provenance(self, seed: int, seeds: Sequence[int], job_id: str | None) -> Provenance:
        """What a picture of `seed`, drawn together with `seeds`, carries about where it comes from."""
        pack = self.pack
        return Provenance(
            pack.id, pack.name, pack.version, self.model, seed, job_id, seeds=tuple(seeds), precision=self.precision
        )

    def can_draw(self) -> bool:
        """Whether the device still answers: after some errors a GPU refuses everything that this process asks of it."""
        try:
            return bool((torch.ones(1, device=self.transformer.device) + 1).item() == 2)
        except RuntimeError:
            return False

    def encode(self, prompt: str) -> EncodedPrompt:
        """What the text encoders make of a prompt with the brand's suffix; remembered for the next time."""
        return self.embedding_cache.get_or_encode(self.text_encoder, prompt, self.manifest.prompt_suffix)

    def draw(
        self,
        prompt: str,
        seeds: Sequence[int],
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> PipelineOutput:
        """One picture for each seed, all of the same prompt.

        The same prompt, seeds and machine give the same pixels, bit for bit. A seed drawn in another batch gives the
        same picture up to rounding.

        `on_progress` and `should_stop` are called at the start and after each step; what either raises ends the
        drawing. A failed or stopped drawing leaves the model ready for the next one. Some of the steps bring previews.
        If the memory is too small for all pictures at once they are drawn again, and from then on, one after the other.

        Raises:
            Cancelled: `should_stop` said so.
            BadImage: a picture isn't finite or is a single colour.
            GpuMemory: the memory is too small even for one picture.
        """
        previews = Previews(self.decoder.projection)

        def at_step(step: int, clean: Callable[[], Tensor] | None) -> None:
            shown = previews.render(clean) if clean is not None else ()
            on_progress(Progress(Phase.DRAWING, step, self.steps, shown))
            if should_stop():
                raise Cancelled

        on_progress(Progress(Phase.ENCODING))
        try:
            encoded = self.encode(prompt)
        except torch.OutOfMemoryError as error:  # fewer pictures would not help
            raise GpuMemory from error
        try:
            return self._draw(encoded, seeds, at_step)
        except torch.OutOfMemoryError as error:
            if self.max_batch == 1 or len(seeds) == 1:
                raise GpuMemory from error
        # Outside the handler: its traceback would hold on to the tensors of the failed drawing.
        self.max_batch = 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "Too little memory for %d pictures at once; one by one", len(seeds), extra={"action": "model_output"}
        )
        try:
            return self._draw(encoded, seeds, at_step)
        except torch.OutOfMemoryError as error:
            raise GpuMemory from error

    @torch.inference_mode()
    def _draw(self, encoded: EncodedPrompt, seeds: Sequence[int], at_step: StepCallback) -> PipelineOutput:
        count = self.max_batch or len(seeds)
        batches = [seeds[start : start + count] for start in range(0, len(seeds), count)]
        at_step(0, None)
        pixels = []
        for index, batch in enumerate(batches):
            at_batch_step = partial(_at_batch_step, at_step, index, len(batches), self.steps)
            latents = self._denoise(encoded, batch, at_batch_step)
            pixels.append(decode(self.decoder, latents))
        return PipelineOutput(np.concatenate(pixels), encoded.ignored)

    def _denoise(
        self, encoded: EncodedPrompt, seeds: Sequence[int], on_step: Callable[[int, Callable[[], Tensor]], None]
    ) -> Tensor:
        manifest = self.manifest
        latents, generators = prepare_latents(
            seeds, self.transformer.config.in_channels, IMAGE_SIZE // self.decoder.scale_factor
        )
        is_guided = manifest.guidance_scale > 1
        negative = self.embedding_cache.get_or_encode(self.text_encoder, "", "").embeddings if is_guided else None
        return denoise(
            self.transformer,
            make_scheduler(MODELS[manifest.base_model], manifest.shift),
            latents,
            generators,
            encoded.embeddings,
            negative,
            steps=manifest.steps,
            guidance_scale=manifest.guidance_scale,
            on_step=on_step,
        )


def _at_batch_step(
    at_step: StepCallback, batch: int, batches: int, steps: int, step: int, clean: Callable[[], Tensor]
) -> None:
    """A step of one of several batches, as one of the whole drawing; previews show all pictures or none."""
    at_step((batch * steps + step) // batches, clean if batches == 1 else None)
