"""diffusers' schedulers as the table of models names them, with a seed of its own for each image.

diffusers computes the steps. This module only gives each image its own noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_lcm import FlowMatchLCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from onbrand.hidream.models import Model


class SeededLCMScheduler(FlowMatchLCMScheduler):  # type: ignore[misc]  # diffusers has no types
    """Adds new noise at each step, for each image from its own generator.

    diffusers' HiDream pipeline passes no generator to `step`. There the noise of Dev and Fast comes from torch's global
    generator, and the same seed gives another picture each time.
    """

    generators: Sequence[torch.Generator] = ()  # one for each image, on the CPU; `set_timesteps` sets them

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, *, return_dict: bool = True) -> Any:
        """As in diffusers, with the images' generators.

        Raises:
            ValueError: there is not one generator for each image.
        """
        if len(self.generators) != len(sample):
            raise ValueError("each image needs its own generator")
        return super().step(model_output, timestep, sample, list(self.generators), return_dict)


_CLASSES = {
    "FlowMatchEulerDiscreteScheduler": FlowMatchEulerDiscreteScheduler,
    "FlowMatchLCMScheduler": SeededLCMScheduler,
    "UniPCMultistepScheduler": UniPCMultistepScheduler,
}


def make_scheduler(model: Model, shift: float) -> Any:
    """Make the model's scheduler with the pack's `shift`. Above 1, more of the steps are at high noise levels."""
    row = model.scheduler
    return _CLASSES[row.class_name](**{row.shift_argument: shift}, **row.settings)


def set_timesteps(scheduler: Any, steps: int, generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """Reset the scheduler for a new batch, and return its (steps,) timesteps on `device`.

    diffusers' pipeline also passes `mu`. Only schedulers that shift by the picture's size use it, and ours do not. The
    pipeline lets the scheduler search for the index of the first timestep, and UniPC rounds timesteps to integers: if
    the first two are equal (200 steps with shift 20), it begins at the second and runs out of steps. Here the first
    index is always 0.
    """
    scheduler.set_timesteps(steps, device=device)
    scheduler.set_begin_index(0)
    if isinstance(scheduler, SeededLCMScheduler):
        scheduler.generators = tuple(generators)
    return torch.as_tensor(scheduler.timesteps)
