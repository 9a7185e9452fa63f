"""diffusers' schedulers as the table of models names them, and the one thing they lack: a seed for each image.

How far each step goes is diffusers' business; that an image's noise is its own is ours.
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
    """Adds new noise at each step, image by image from that image's generator.

    diffusers' HiDream pipeline hands no generator to `step`, so there the noise of Dev and Fast is the process's, and
    the same seed draws another picture each time.
    """

    generators: Sequence[torch.Generator] = ()  # on the CPU, one an image: see `begin`

    def step(self, model_output: Tensor, timestep: Tensor, sample: Tensor, *, return_dict: bool = True) -> Any:
        """As in diffusers. Never without generators: then the noise would again be the process's."""
        if len(self.generators) != len(sample):
            raise ValueError("each image needs its generator")
        return super().step(model_output, timestep, sample, list(self.generators), return_dict)


_CLASSES = {
    "FlowMatchEulerDiscreteScheduler": FlowMatchEulerDiscreteScheduler,
    "FlowMatchLCMScheduler": SeededLCMScheduler,
    "UniPCMultistepScheduler": UniPCMultistepScheduler,
}


def make_scheduler(model: Model, shift: float) -> Any:
    """The model's scheduler. `shift` is the pack's: above 1 more of the steps are spent where the noise is strong."""
    row = model.scheduler
    return _CLASSES[row.class_name](**{row.shift_argument: shift}, **row.settings)


def set_timesteps(scheduler: Any, steps: int, generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """The timesteps (steps,) of one drawing, on `device`. Nothing that an earlier drawing left in the scheduler stays.

    diffusers' pipeline also passes `mu`, which counts for schedulers that shift by the picture's size; none of ours
    does. And it leaves the scheduler to find the first step by its timestep, which UniPC rounds to a whole number: if
    the first two are the same (200 steps with shift 20), it begins at the second and runs out of steps.
    """
    scheduler.set_timesteps(steps, device=device)
    scheduler.set_begin_index(0)
    if isinstance(scheduler, SeededLCMScheduler):
        scheduler.generators = tuple(generators)
    return torch.as_tensor(scheduler.timesteps)
