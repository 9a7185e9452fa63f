"""Denoising at tiny size: equal to diffusers' pipeline step by step, and each image depends only on its own seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchLCMScheduler, UniPCMultistepScheduler
from torch import Tensor

from onbrand.hidream.models import MODELS
from onbrand.hidream.sampling.denoising import denoise, prepare_latents
from onbrand.hidream.sampling.schedule import make_scheduler
from onbrand.hidream.text.encode import Embeddings
from tests.tiny import SIZE, tiny_pipeline

SEEDS = (1, 2, 3, 2**53 - 1)
STEPS = 6
DIFFUSERS_SCHEDULERS: dict[str, Callable[[], Any]] = {  # as in HiDream's own inference.py: see docs/models.md
    "mini": lambda: FlowMatchEulerDiscreteScheduler(shift=1.0),
    "hidream-i1-fast": lambda: FlowMatchLCMScheduler(shift=3.0),
    "hidream-i1-dev": lambda: FlowMatchLCMScheduler(shift=6.0),
    "hidream-i1-full": lambda: UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ),
}
every_model = pytest.mark.parametrize("name", DIFFUSERS_SCHEDULERS)


class Stopped(Exception):
    """What a caller's `on_step` raises."""


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_pipeline()


def text(seed: int, slots: int = 8) -> Embeddings:
    generator = torch.Generator().manual_seed(seed)
    return Embeddings(
        torch.randn(2, 1, slots, 16, generator=generator),
        torch.randn(1, slots, 32, generator=generator),
        torch.randn(1, 64, generator=generator),
    )


PROMPT, NEGATIVE = text(11), text(12)


def ours(
    transformer: Any,
    name: str,
    seeds: Sequence[int] = SEEDS,
    *,
    scheduler: Any = None,
    guidance_interval: tuple[float, float] | None = None,
    on_step: Callable[[int, Callable[[], Tensor]], None] = lambda *_: None,
) -> Tensor:
    model = MODELS[name]
    latents, generators = prepare_latents(seeds, 4, SIZE)
    return denoise(
        transformer,
        scheduler or make_scheduler(model, model.shift),
        latents,
        generators,
        PROMPT,
        NEGATIVE,
        steps=STEPS,
        guidance_scale=model.guidance_scale,
        guidance_interval=guidance_interval,
        on_step=on_step,
    )


def by_diffusers(pipeline: Any, name: str, scheduler: Any, latents: Tensor) -> Tensor:
    """The latents of diffusers' pipeline, from the same embeddings and noise."""
    pipeline.scheduler = scheduler
    batch, dtype = len(latents), pipeline.transformer.dtype
    arguments: dict[str, Tensor] = {}
    for prefix, texts in (("", PROMPT), ("negative_", NEGATIVE)):
        arguments |= {
            f"{prefix}prompt_embeds_llama3": texts.llama3.expand(-1, batch, -1, -1).to(dtype),
            f"{prefix}prompt_embeds_t5": texts.t5.expand(batch, -1, -1).to(dtype),
            f"{prefix}pooled_prompt_embeds": texts.pooled.expand(batch, -1).to(dtype),
        }
    size = SIZE * pipeline.vae_scale_factor
    (denoised,) = pipeline(
        height=size,
        width=size,
        latents=latents.to(dtype),
        num_inference_steps=STEPS,
        guidance_scale=MODELS[name].guidance_scale,
        output_type="latent",
        return_dict=False,
        **arguments,
    )
    return torch.as_tensor(denoised)


def by_diffusers_with_our_seeds(pipeline: Any, name: str) -> Tensor:
    """The pipeline's latents with our scheduler, which gives each image of the batch its own noise."""
    latents, generators = prepare_latents(SEEDS, 4, SIZE)
    scheduler = DIFFUSERS_SCHEDULERS[name]()
    if isinstance(scheduler, FlowMatchLCMScheduler):
        scheduler = make_scheduler(MODELS[name], MODELS[name].shift)
        scheduler.generators = generators
    return by_diffusers(pipeline, name, scheduler, latents)


@every_model
def test_an_image_is_the_one_that_diffusers_draws(pipeline: Any, name: str) -> None:
    """The pipeline's stochastic schedulers use torch's global generator, which is set to the state of ours."""
    torch.manual_seed(SEEDS[1])
    expected = by_diffusers(pipeline, name, DIFFUSERS_SCHEDULERS[name](), torch.randn(1, 4, SIZE, SIZE))
    assert torch.allclose(ours(pipeline.transformer, name, SEEDS[1:2]), expected, rtol=0, atol=1e-5)


@every_model
def test_four_images_are_those_that_diffusers_draws_with_our_seeds(pipeline: Any, name: str) -> None:
    expected = by_diffusers_with_our_seeds(pipeline, name)
    assert torch.allclose(ours(pipeline.transformer, name), expected, rtol=0, atol=1e-5)
    assert (expected[0] - expected[1]).abs().mean() > 0.1


@torch.inference_mode()
def by_a_plain_loop(transformer: Any, name: str, interval: tuple[float, float]) -> Tensor:
    """Each text in a pass of its own, and guidance where the noise level is in the interval."""
    scheduler = DIFFUSERS_SCHEDULERS[name]()
    scheduler.set_timesteps(STEPS)
    latents, _ = prepare_latents(SEEDS, 4, SIZE)
    for sigma, timestep in zip(scheduler.sigmas, scheduler.timesteps, strict=False):
        velocities = []
        for texts in (NEGATIVE, PROMPT):
            (output,) = transformer(
                hidden_states=latents,
                timesteps=timestep.expand(len(SEEDS)),
                encoder_hidden_states_llama3=texts.llama3.expand(-1, len(SEEDS), -1, -1),
                encoder_hidden_states_t5=texts.t5.expand(len(SEEDS), -1, -1),
                pooled_embeds=texts.pooled.expand(len(SEEDS), -1),
                return_dict=False,
            )
            velocities.append(-output)
        without, velocity = velocities
        if interval[0] <= sigma <= interval[1]:
            velocity = without + MODELS[name].guidance_scale * (velocity - without)
        (latents,) = scheduler.step(velocity, timestep, latents, return_dict=False)
    return latents


@pytest.mark.parametrize("name", ["mini", "hidream-i1-full"])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.3, 0.9), (0.0, 0.5)])
def test_guidance_in_an_interval_is_that_of_a_plain_loop(
    pipeline: Any, name: str, interval: tuple[float, float]
) -> None:
    expected = by_a_plain_loop(pipeline.transformer, name, interval)
    batches: list[int] = []
    hook = pipeline.transformer.register_forward_pre_hook(
        lambda _module, _args, inputs: batches.append(len(inputs["hidden_states"])), with_kwargs=True
    )
    try:
        drawn = ours(pipeline.transformer, name, guidance_interval=interval)
    finally:
        hook.remove()
    assert torch.allclose(drawn, expected, rtol=0, atol=1e-5)
    guided = ours(pipeline.transformer, name)
    assert torch.equal(drawn, guided) == (interval == (0.0, 1.0))
    assert (len(SEEDS) in batches) == (interval != (0.0, 1.0))  # one pass where guidance isn't computed


@every_model
def test_an_image_alone_is_the_same_image_of_the_batch(pipeline: Any, name: str) -> None:
    """Except for rounding, because another batch size adds in another order."""
    together = ours(pipeline.transformer, name)
    for n, seed in enumerate(SEEDS):
        alone = ours(pipeline.transformer, name, (seed,))
        assert torch.allclose(alone[0], together[n], rtol=0, atol=1e-5)


@every_model
def test_other_random_numbers_do_not_change_the_latents(pipeline: Any, name: str) -> None:
    torch.manual_seed(1)
    first = ours(pipeline.transformer, name)
    torch.manual_seed(2)
    assert torch.equal(ours(pipeline.transformer, name), first)


@every_model
@pytest.mark.parametrize("step", [1, 3])
def test_a_stopped_call_does_not_influence_the_next(pipeline: Any, name: str, step: int) -> None:
    scheduler = make_scheduler(MODELS[name], MODELS[name].shift)
    untouched = ours(pipeline.transformer, name)

    def stop(done: int, _: object) -> None:
        if done == step:
            raise Stopped

    with pytest.raises(Stopped):
        ours(pipeline.transformer, name, (7,), scheduler=scheduler, on_step=stop)
    assert torch.equal(ours(pipeline.transformer, name, scheduler=scheduler), untouched)


@every_model
def test_a_failed_call_does_not_influence_the_next(pipeline: Any, name: str) -> None:
    scheduler, passes = make_scheduler(MODELS[name], MODELS[name].shift), []
    untouched = ours(pipeline.transformer, name)

    def no_memory(*_: object) -> None:
        passes.append(1)
        if len(passes) == 3:
            raise torch.OutOfMemoryError

    handle = pipeline.transformer.register_forward_pre_hook(no_memory)
    with pytest.raises(torch.OutOfMemoryError):
        ours(pipeline.transformer, name, scheduler=scheduler)
    handle.remove()
    assert torch.equal(ours(pipeline.transformer, name, scheduler=scheduler), untouched)


@every_model
def test_each_step_is_reported_and_the_last_one_predicts_the_result(pipeline: Any, name: str) -> None:
    reported: list[int] = []
    clean: list[Tensor] = []

    def note(done: int, x0: Callable[[], Tensor]) -> None:
        reported.append(done)
        clean.append(x0())

    result = ours(pipeline.transformer, name, on_step=note)
    assert reported == list(range(1, STEPS + 1))
    assert torch.allclose(clean[-1], result, rtol=0, atol=1e-5)
    assert result.dtype == torch.float32


@every_model
def test_a_step_predicts_the_clean_picture(name: str) -> None:
    """With a transformer that knows the picture, every step of every scheduler must predict this picture."""
    picture = torch.randn(1, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    scheduler = make_scheduler(MODELS[name], MODELS[name].shift)

    def knows(hidden_states: Tensor, **_: object) -> tuple[Tensor]:
        sigma = scheduler.sigmas[scheduler.step_index or 0]
        return (-(hidden_states - picture) / sigma,)

    class Transformer:
        device, dtype = torch.device("cpu"), torch.float32
        __call__ = staticmethod(knows)

    predicted: list[Tensor] = []
    result = ours(Transformer(), name, (1,), scheduler=scheduler, on_step=lambda _, x0: predicted.append(x0()))
    for clean in [*predicted, result]:
        assert torch.allclose(clean, picture, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("name", "passes"), [("hidream-i1-fast", 1), ("hidream-i1-full", 2)])
def test_only_guidance_needs_a_second_pass(pipeline: Any, name: str, passes: int) -> None:
    sizes = []
    handle = pipeline.transformer.register_forward_pre_hook(
        lambda _, __, named: sizes.append(len(named["hidden_states"])), with_kwargs=True
    )
    ours(pipeline.transformer, name)
    handle.remove()
    assert sizes == [4 * passes] * STEPS


def test_guidance_without_the_embeddings_of_the_empty_text_is_refused(pipeline: Any) -> None:
    model = MODELS["hidream-i1-full"]
    latents, generators = prepare_latents(SEEDS, 4, SIZE)
    with pytest.raises(ValueError, match="empty text"):
        denoise(
            pipeline.transformer,
            make_scheduler(model, model.shift),
            latents,
            generators,
            PROMPT,
            None,
            steps=STEPS,
            guidance_scale=model.guidance_scale,
            on_step=lambda *_: None,
        )


@every_model
def test_in_bfloat16_it_is_nearer_to_float32_than_diffusers_is(name: str) -> None:
    """The pipeline rounds the latents at each step. Here only the transformer's input and output are rounded."""
    pipeline = tiny_pipeline()
    pipeline.transformer.to(torch.bfloat16).to(torch.float32)
    exact = ours(pipeline.transformer, name)
    pipeline.transformer.to(torch.bfloat16)
    our_error = (ours(pipeline.transformer, name) - exact).square().mean().sqrt()
    diffusers_error = (by_diffusers_with_our_seeds(pipeline, name).float() - exact).square().mean().sqrt()
    assert our_error < diffusers_error
    assert our_error < 0.02 * exact.square().mean().sqrt()
