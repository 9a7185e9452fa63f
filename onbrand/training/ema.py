"""The moving average of a network's weights: what is drawn with; what is trained jumps about."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def trained(network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that get gradients, by name: all of a new network, a LoRA's matrices alone."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


class Average:
    """The exponential moving average of the trained weights, in float32.

    `window` is how many steps count: the decay is 1 - 1 / window, and less in the beginning, so that the random weights
    of the start are forgotten (as in TensorFlow's ExponentialMovingAverage with num_updates).
    """

    def __init__(self, network: nn.Module, window: float, every: int = 1) -> None:
        self.window = window
        self.every = every
        self.weights: dict[str, Tensor] = {
            name: parameter.detach().float().clone() for name, parameter in trained(network).items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps; between every `every` steps nothing happens."""
        if step % self.every:
            return
        decay = min(1 - self.every / self.window, (1 + step) / (10 + step)) if self.window > self.every else 0.0
        names = list(self.weights)
        parameters = trained(network)
        torch._foreach_lerp_([self.weights[name] for name in names], [parameters[name] for name in names], 1 - decay)
