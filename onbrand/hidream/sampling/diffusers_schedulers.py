"""diffusers' schedulers for HiDream-I1, with a generator of its own for each image.

`schedule.py` imports this module when a model needs it: importing diffusers takes longer than importing torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.schedulers.scheduling_flow_match_lcm import FlowMatchLCMScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor


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


CLASSES = {"FlowMatchLCMScheduler": SeededLCMScheduler, "UniPCMultistepScheduler": UniPCMultistepScheduler}
