"""The schedulers: the right class for each model, a seed for each image, and no state from earlier batches."""

from __future__ import annotations

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FlowMatchLCMScheduler, UniPCMultistepScheduler
from torch import Tensor

from onbrand.hidream.models import MODELS
from onbrand.hidream.sampling.diffusers_schedulers import SeededLCMScheduler
from onbrand.hidream.sampling.schedule import EulerScheduler, make_scheduler, set_timesteps

CPU = torch.device("cpu")
STOCHASTIC = ("hidream-i1-fast", "hidream-i1-dev")


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def stepped(scheduler: SeededLCMScheduler, *seeds: int) -> Tensor:
    timesteps = set_timesteps(scheduler, 4, generators(*seeds), CPU)
    zeros = torch.zeros(len(seeds), 4, 8, 8)
    (latents,) = scheduler.step(zeros, timesteps[0], zeros, return_dict=False)
    return torch.as_tensor(latents)


@pytest.mark.parametrize(
    ("name", "kind", "settings"),
    [
        ("hidream-i1-fast", FlowMatchLCMScheduler, {"shift": 2.5}),
        ("hidream-i1-dev", FlowMatchLCMScheduler, {"shift": 2.5}),
        (
            "hidream-i1-full",
            UniPCMultistepScheduler,
            {"flow_shift": 2.5, "prediction_type": "flow_prediction", "use_flow_sigmas": True},
        ),
    ],
)
def test_each_model_has_its_scheduler_with_the_packs_shift(name: str, kind: type, settings: dict[str, object]) -> None:
    scheduler = make_scheduler(MODELS[name], 2.5)
    assert issubclass(type(scheduler), kind)
    assert {key: scheduler.config[key] for key in settings} == settings
    assert not scheduler.config.use_dynamic_shifting  # otherwise `set_timesteps` would have to pass `mu`


def test_the_minis_steps_are_those_of_diffusers() -> None:
    velocities = torch.randn(200, 1, 4, 8, 8, generator=generators(3)[0])
    for steps, shift in [(1, 1.0), (2, 1.0), (12, 1.0), (12, 2.5), (30, 0.4), (200, 20.0)]:
        theirs, mine = FlowMatchEulerDiscreteScheduler(shift=shift), make_scheduler(MODELS["mini"], shift)
        assert isinstance(mine, EulerScheduler)
        timesteps = [set_timesteps(each, steps, generators(1), CPU) for each in (theirs, mine)]
        assert torch.equal(timesteps[0], timesteps[1])
        assert torch.equal(theirs.sigmas, mine.sigmas)
        expected = latents = torch.randn(1, 4, 8, 8, generator=generators(1)[0])
        for timestep, velocity in zip(timesteps[0], velocities, strict=False):
            (expected,) = theirs.step(velocity, timestep, expected, return_dict=False)
            (latents,) = mine.step(velocity, timestep, latents, return_dict=False)
        assert torch.equal(latents, expected)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_an_images_noise_comes_from_its_own_seed(name: str) -> None:
    scheduler = make_scheduler(MODELS[name], 3.0)
    together = stepped(scheduler, 1, 2, 3)
    assert (stepped(scheduler, 2)[0] == together[1]).all()
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_step_without_a_generator_for_each_image_is_refused(name: str) -> None:
    """diffusers would use the global generator, and the same seed would give other images."""
    scheduler = make_scheduler(MODELS[name], 3.0)
    timesteps = set_timesteps(scheduler, 4, generators(1), CPU)
    two = torch.zeros(2, 4, 8, 8)
    with pytest.raises(ValueError, match="generator"):
        scheduler.step(two, timesteps[0], two)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("steps", "shift"), [(1, 3.0), (2, 3.0), (50, 3.0), (200, 20.0)])
def test_any_schedule_a_pack_may_ask_for_runs_to_its_end(name: str, steps: int, shift: float) -> None:
    """With 200 steps and shift 20, UniPC rounds its first two timesteps to the same integer."""
    scheduler = make_scheduler(MODELS[name], shift)
    timesteps = set_timesteps(scheduler, steps, generators(1), CPU)
    assert len(timesteps) == steps
    latents = torch.randn(1, 4, 8, 8, generator=generators(1)[0])
    for index, timestep in enumerate(timesteps):
        assert index == (scheduler.step_index or 0)
        (latents,) = scheduler.step(latents, timestep, latents, return_dict=False)
    assert torch.isfinite(latents).all()
    assert scheduler.sigmas[-1] == 0
