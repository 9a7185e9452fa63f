"""A loaded model with its brand pack, which turns a prompt and seeds into pictures. The worker uses nothing else of it.

A pipeline draws one request at a time and is not thread-safe. It chooses no seeds, and it stores nothing.
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
from onbrand.hidream.sampling.denoising import denoise, guided_steps, prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler, set_timesteps
from onbrand.hidream.text.embedding_cache import EmbeddingCache
from onbrand.hidream.text.encode import EncodedPrompt, TextEncoder
from onbrand.images.png import Provenance
from onbrand.jobs.models import IMAGE_SIZE, Pack, Phase, Progress
from onbrand.packs.manifest import Manifest

logger = logging.getLogger(__name__)

StepCallback = Callable[[int, Callable[[], Tensor] | None], None]


@dataclass(frozen=True)
class PipelineOutput:
    """The pictures of one request."""

    pixels: np.ndarray  # (B, 1024, 1024, 3) uint8 RGB, in the order of the seeds
    ignored: int  # code points at the end of the prompt that not every text encoder could read


@dataclass
class Pipeline:
    """A model with its brand pack, in memory. `load.load_pipeline` makes it."""

    pack: Pack
    manifest: Manifest
    transformer: Any  # `network.transformer.Transformer`, with the brand's LoRA fused
    text_encoder: TextEncoder
    decoder: Decoder
    plan: Plan
    embedding_cache: EmbeddingCache = field(default_factory=EmbeddingCache)
    max_batch: int | None = None  # pictures in one batch; None as long as the memory was enough for all

    @property
    def model(self) -> str:
        """The base model's name."""
        return self.manifest.base_model

    @property
    def precision(self) -> str:
        """The precision of the matrices."""
        return self.plan.precision

    @property
    def steps(self) -> int:
        """Denoising steps of one picture."""
        return self.manifest.steps

    def provenance(self, seed: int, seeds: Sequence[int], job_id: str | None) -> Provenance:
        """The provenance of the picture of `seed`, which was drawn in one batch with all of `seeds`."""
        pack = self.pack
        return Provenance(
            pack.id, pack.name, pack.version, self.model, seed, job_id, seeds=tuple(seeds), precision=self.precision
        )

    def can_draw(self) -> bool:
        """Whether the device still works: after some errors a GPU refuses every further call of this process."""
        try:
            return bool((torch.ones(1, device=self.transformer.device) + 1).item() == 2)
        except RuntimeError:
            return False

    def guided_steps(self) -> tuple[bool, ...]:
        """For each step, whether guidance is computed, which takes a second pass."""
        manifest = self.manifest
        scheduler = make_scheduler(MODELS[manifest.base_model], manifest.shift)
        set_timesteps(scheduler, manifest.steps, (), torch.device("cpu"))
        return guided_steps(scheduler.sigmas[:-1].tolist(), manifest.guidance_scale, manifest.guidance_interval)

    def encode(self, prompt: str) -> EncodedPrompt:
        """Encode a prompt with the brand's suffix, or take its embeddings from the cache."""
        return self.embedding_cache.get_or_encode(self.text_encoder, prompt, self.manifest.prompt_suffix)

    def draw(
        self,
        prompt: str,
        seeds: Sequence[int],
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> PipelineOutput:
        """Draw one picture for each seed, all of the same prompt.

        The same prompt, seeds and machine give the same pixels, bit for bit. A seed in another batch gives the same
        picture except for rounding.

        `on_progress` and `should_stop` are called at the start and after each step; the progress of some steps has
        previews. An exception from either ends the call. After a failed or stopped call the pipeline can draw again.
        If the memory is too small for all pictures together, this call and all later ones draw them one by one.

        Raises:
            Cancelled: `should_stop` returned True.
            BadImage: a picture is not finite or has a single colour.
            GpuMemory: the memory is too small even for one picture.
        """
        previews = Previews(self.decoder.projection)

        def at_step(step: int, clean: Callable[[], Tensor] | None) -> None:
            jpegs = previews.render(clean) if clean is not None else ()
            on_progress(Progress(Phase.DRAWING, step, self.steps, jpegs))
            if should_stop():
                raise Cancelled

        on_progress(Progress(Phase.ENCODING))
        try:
            encoded = self.encode(prompt)
        except torch.OutOfMemoryError as error:  # smaller batches would not help
            raise GpuMemory from error
        try:
            return self._draw(encoded, seeds, at_step)
        except torch.OutOfMemoryError as error:
            if self.max_batch == 1 or len(seeds) == 1:
                raise GpuMemory from error
        # Outside the handler, because its traceback keeps the tensors of the failed batch in memory.
        self.max_batch = 1
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        logger.warning(
            "Too little memory to draw %d pictures together; drawing one by one from now on",
            len(seeds),
            extra={"action": "model_output"},
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
            guidance_interval=manifest.guidance_interval,
            on_step=on_step,
        )


def _at_batch_step(
    at_step: StepCallback, batch: int, batches: int, steps: int, step: int, clean: Callable[[], Tensor]
) -> None:
    """Convert a step of one batch into a step of the whole request. There are previews only if there is one batch."""
    at_step((batch * steps + step) // batches, clean if batches == 1 else None)
