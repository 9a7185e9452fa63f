"""Seeds to latents: the noise, and its denoising. What diffusers' `HiDreamImagePipeline` does, without the pipeline.

Text and pictures are done elsewhere (`encode`, `decode`). Tests compare each step with the pipeline's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from onbrand.hidream.sampling.schedule import set_timesteps
from onbrand.hidream.text.encode import Embeddings


def prepare_latents(seeds: Sequence[int], channels: int, size: int) -> tuple[Tensor, list[torch.Generator]]:
    """(B, channels, size, size) float32 noise, and the generators it came from: one an image, always on the CPU.

    A stochastic scheduler draws on from the same generators. So an image depends on its own seed alone: not on its
    neighbours, and not on the device that denoises it. Generators can't be used for a second drawing.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    shape = (1, channels, size, size)
    return torch.cat([torch.randn(shape, generator=generator) for generator in generators]), generators


@torch.inference_mode()
def denoise(
    transformer: Any,
    scheduler: Any,
    latents: Tensor,
    generators: Sequence[torch.Generator],
    prompt: Embeddings,
    negative: Embeddings | None,
    *,
    steps: int,
    guidance_scale: float,
    on_step: Callable[[int, Callable[[], Tensor]], None],
) -> Tensor:
    """(B, C, H, W) noise to latents of the same shape in float32, both where the transformer is.

    Above 1, `guidance_scale` needs `negative`, the embeddings of no text, and costs a second pass in the same batch.
    https://arxiv.org/abs/2207.12598

    `on_step(k, x0)` comes when step k of `steps`, counted from 1, is done on the device too; `x0()` are the clean
    latents that the step was heading for. What `on_step` raises ends the denoising, and the next one is as if this had
    not been.

    The pipeline keeps latents in the transformer's dtype. In bfloat16 that rounds the picture itself at every step;
    here only what the transformer reads and answers is rounded.
    """
    if guidance_scale <= 1:
        texts = [prompt]
    elif negative is None:
        raise ValueError("guidance needs the embeddings of no text")
    else:
        texts = [negative, prompt]
    device: torch.device = transformer.device
    text = _in_batch(texts, len(latents), device, transformer.dtype)
    timesteps = set_timesteps(scheduler, steps, generators, device)
    latents = latents.to(device, torch.float32)
    for index, timestep in enumerate(timesteps):
        velocity = _velocity(transformer, latents, timestep, text, guidance_scale)
        clean = partial(_clean, latents, velocity, scheduler.sigmas[index])
        (latents,) = scheduler.step(velocity, timestep, latents, return_dict=False)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)  # or steps would be told, and stopped at, long before they are done
        on_step(index + 1, clean)
    return latents


def _in_batch(texts: Sequence[Embeddings], batch: int, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """The texts as the transformer takes them: the first for `batch` images, then the second for as many."""

    def stacked(tensors: Iterable[Tensor], axis: int) -> Tensor:
        return torch.cat([tensor.to(device, dtype) for tensor in tensors], axis).repeat_interleave(batch, axis)

    return {
        "encoder_hidden_states_llama3": stacked((text.llama3 for text in texts), 1),
        "encoder_hidden_states_t5": stacked((text.t5 for text in texts), 0),
        "pooled_embeds": stacked((text.pooled for text in texts), 0),
    }


def _velocity(
    transformer: Any, latents: Tensor, timestep: Tensor, text: dict[str, Tensor], guidance_scale: float
) -> Tensor:
    """Noise minus clean latents, (B, C, H, W) float32, as the transformer sees it, guided if there are two texts."""
    passes = len(text["pooled_embeds"]) // len(latents)
    states = latents.to(text["pooled_embeds"].dtype).repeat(passes, 1, 1, 1)
    (output,) = transformer(hidden_states=states, timesteps=timestep.expand(len(states)), return_dict=False, **text)
    velocity: Tensor = -output.float()  # HiDream's transformer answers with the negative
    if passes == 1:
        return velocity
    without, with_prompt = velocity.chunk(2)
    return without + guidance_scale * (with_prompt - without)


def _clean(latents: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """x0 = x_t - σ·v, as x_t = (1 - σ)·x0 + σ·noise and v = noise - x0: whatever the scheduler makes of it."""
    return latents - sigma * velocity
