"""Seeds to latents: the noise, and its denoising by diffusers' pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from onbrand.hidream.encode import Embeddings
from onbrand.hidream.preview import predicted
from onbrand.job import IMAGE_SIZE


def noise(seeds: Sequence[int], channels: int, size: int) -> Tensor:
    """(B, channels, size, size) float32 noise, one generator an image and always on the CPU.

    So an image depends on its own seed alone: not on its neighbours, and not on the device that denoises it.
    """
    shape = (1, channels, size, size)
    return torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def denoise(
    pipeline: Any,
    latents: Tensor,
    prompt: Embeddings,
    negative: Embeddings,
    *,
    steps: int,
    guidance_scale: float,
    on_step: Callable[[int, Callable[[], Tensor]], None],
) -> Tensor:
    """(B, C, H, W) noise to latents of the same shape.

    `on_step(k, x0)` comes after step k of `steps`, counted from 1; `x0()` are the latents that the step is heading for.

    What `on_step` raises ends the denoising at once and leaves the pipeline as it was. (Its own way to stop,
    `_interrupt`, would run on through the remaining steps and return unfinished latents.)
    """
    batch = latents.shape[0]
    before = latents

    def after_step(_: Any, index: int, __: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        nonlocal before
        sigmas, after = pipeline.scheduler.sigmas, tensors["latents"]
        start = before
        on_step(index + 1, lambda: predicted(start, after, float(sigmas[index]), float(sigmas[index + 1])))
        before = after
        return tensors

    (denoised,) = pipeline(
        height=IMAGE_SIZE,
        width=IMAGE_SIZE,
        latents=latents,
        num_inference_steps=steps,
        guidance_scale=guidance_scale,
        prompt_embeds_llama3=prompt.llama3.expand(-1, batch, -1, -1),
        prompt_embeds_t5=prompt.t5.expand(batch, -1, -1),
        pooled_prompt_embeds=prompt.pooled.expand(batch, -1),
        negative_prompt_embeds_llama3=negative.llama3.expand(-1, batch, -1, -1),
        negative_prompt_embeds_t5=negative.t5.expand(batch, -1, -1),
        negative_pooled_prompt_embeds=negative.pooled.expand(batch, -1),
        callback_on_step_end=after_step,
        output_type="latent",
        return_dict=False,
    )
    return torch.as_tensor(denoised)
