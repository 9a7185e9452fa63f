"""The schedulers that the table of models names: the mini's Euler steps, and diffusers' for HiDream-I1.

A scheduler says at which noise levels the transformer is asked, and computes each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onbrand.hidream.models import Model

_TRAIN_TIMESTEPS = 1000


class EulerScheduler:
    """Euler steps of rectified flow (arXiv 2209.03003): what diffusers' FlowMatchEulerDiscreteScheduler computes.

    It is here because importing diffusers takes longer than importing torch. Derived from diffusers (Apache-2.0),
    schedulers/scheduling_flow_match_euler_discrete.py; every number is equal to diffusers'.
    """

    def __init__(self, *, shift: float) -> None:
        self.shift = shift
        self.sigmas = self.timesteps = torch.zeros(0)
        self._next = 0

    @property
    def step_index(self) -> int:
        """The steps that were taken."""
        return self._next

    def set_timesteps(self, steps: int, device: torch.device) -> None:
        """Begin anew with `steps` noise levels, the highest first. As in diffusers, they are shifted twice."""
        levels = [self._shifted(level) for level in (np.float32(1), np.float32(1 / _TRAIN_TIMESTEPS))]
        first, last = (float(np.float32(level)) * _TRAIN_TIMESTEPS for level in levels)
        sigmas = self._shifted(np.linspace(first, last, steps) / _TRAIN_TIMESTEPS)
        self.sigmas = torch.from_numpy(sigmas).to(device, torch.float32)
        self.timesteps = self.sigmas * _TRAIN_TIMESTEPS
        self.sigmas = torch.cat([self.sigmas, self.sigmas.new_zeros(1)])
        self._next = 0

    def set_begin_index(self, index: int) -> None:
        """Take the step `index` next."""
        self._next = index

    def step(self, velocity: Tensor, timestep: Tensor, latents: Tensor, *, return_dict: bool = False) -> tuple[Tensor]:
        """Go to the next noise level. `timestep` and `return_dict` are there for diffusers' loop."""
        del timestep, return_dict
        sigma, sigma_next = self.sigmas[self._next], self.sigmas[self._next + 1]
        self._next += 1
        return (latents.float() + (sigma_next - sigma) * velocity,)

    def _shifted(self, sigmas: Any) -> Any:
        return self.shift * sigmas / (1 + (self.shift - 1) * sigmas)


def make_scheduler(model: Model, shift: float) -> Any:
    """Make the model's scheduler with the pack's `shift`. Above 1, more of the steps are at high noise levels."""
    row = model.scheduler
    if row.class_name == "FlowMatchEulerDiscreteScheduler":
        return EulerScheduler(shift=shift)
    from onbrand.hidream.sampling.diffusers_schedulers import CLASSES

    return CLASSES[row.class_name](**{row.shift_argument: shift}, **row.settings)


def set_timesteps(scheduler: Any, steps: int, generators: Sequence[torch.Generator], device: torch.device) -> Tensor:
    """Reset the scheduler for a new batch, and return its (steps,) timesteps on `device`.

    diffusers' pipeline also passes `mu`. Only schedulers that shift by the picture's size use it, and ours do not. The
    pipeline lets the scheduler search for the index of the first timestep, and UniPC rounds timesteps to integers: if
    the first two are equal (200 steps with shift 20), it begins at the second and runs out of steps. Here the first
    index is always 0. Only stochastic schedulers use the generators.
    """
    scheduler.set_timesteps(steps, device=device)
    scheduler.set_begin_index(0)
    scheduler.generators = tuple(generators)
    return torch.as_tensor(scheduler.timesteps)
