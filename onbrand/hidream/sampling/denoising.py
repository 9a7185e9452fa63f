"""Make the initial noise from seeds, and denoise it, as diffusers' `HiDreamImagePipeline` does.

Prompts are encoded in `text`, and latents are decoded in `decoding`. Tests compare each step with the pipeline's.
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
    """Make (B, channels, size, size) float32 noise. Also return the generators, one for each image, on the CPU.

    A stochastic scheduler takes its further noise from the same generators. Therefore an image depends only on its own
    seed, and not on the other images of the batch or on the device. Do not use the generators for a second batch.
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
    guidance_interval: tuple[float, float] | None = None,
    on_step: Callable[[int, Callable[[], Tensor]], None],
) -> Tensor:
    """(B, C, H, W) noise to clean latents of the same shape, in float32 on the transformer's device.

    A `guidance_scale` above 1 needs `negative`, the embeddings of the empty text. Then each step computes a second pass
    in the same batch: classifier-free guidance, https://arxiv.org/abs/2207.12598. With a `guidance_interval`, only the
    steps at those noise levels do; the others cost half: https://arxiv.org/abs/2404.07724

    `on_step(k, x0)` is called when the device has finished step k, counted from 1. `x0()` returns the clean latents
    that this step predicts. An exception from `on_step` ends the denoising and does not influence later calls.

    diffusers' pipeline keeps the latents in the transformer's dtype, so bfloat16 rounds the picture itself at every
    step. Here the latents stay in float32, and only the transformer's input and output are rounded.

    Raises:
        ValueError: guidance without `negative`.
    """
    if guidance_scale > 1 and negative is None:
        raise ValueError("guidance needs the embeddings of the empty text")
    device: torch.device = transformer.device
    alone = _in_batch([prompt], len(latents), device, transformer.dtype)
    both = alone if negative is None else _in_batch([negative, prompt], len(latents), device, transformer.dtype)
    timesteps = set_timesteps(scheduler, steps, generators, device)
    guided = guided_steps(scheduler.sigmas[:-1].tolist(), guidance_scale, guidance_interval)
    latents = latents.to(device, torch.float32)
    for index, timestep in enumerate(timesteps):
        text = both if guided[index] else alone
        velocity = _velocity(transformer, latents, timestep, text, guidance_scale)
        clean = partial(_clean, latents, velocity, scheduler.sigmas[index])
        (latents,) = scheduler.step(velocity, timestep, latents, return_dict=False)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)  # otherwise `on_step` would run long before the step is done
        on_step(index + 1, clean)
    return latents


def guided_steps(
    sigmas: Sequence[float], guidance_scale: float, interval: tuple[float, float] | None
) -> tuple[bool, ...]:
    """For each step, by its noise level, whether guidance is computed."""
    low, high = interval or (0.0, 1.0)
    return tuple(guidance_scale > 1 and low <= sigma <= high for sigma in sigmas)


def _in_batch(texts: Sequence[Embeddings], batch: int, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
    """The transformer's text inputs: the first text for `batch` images, then the second one for `batch` images."""

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
    """The predicted velocity (noise minus clean latents), (B, C, H, W) float32; with two texts, it is guided."""
    passes = len(text["pooled_embeds"]) // len(latents)
    states = latents.to(text["pooled_embeds"].dtype).repeat(passes, 1, 1, 1)
    (output,) = transformer(hidden_states=states, timesteps=timestep.expand(len(states)), return_dict=False, **text)
    velocity: Tensor = -output.float()  # HiDream's transformer returns the negative velocity
    if passes == 1:
        return velocity
    without, with_prompt = velocity.chunk(2)
    return without + guidance_scale * (with_prompt - without)


def _clean(latents: Tensor, velocity: Tensor, sigma: Tensor) -> Tensor:
    """x0 = x_t - σ·v, because x_t = (1 - σ)·x0 + σ·noise and v = noise - x0. This holds for every scheduler."""
    return latents - sigma * velocity
