"""Flow matching: the noisy latents of a time, the loss, and which times are trained.

As HiDream: time 0 is the picture, time 1 is noise, and between them lies a straight line (arXiv 2210.02747).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TimeSampling:
    """Logit-normal times (arXiv 2403.03206 §3.1): t = sigmoid(N(mean, deviation)), and a share that is uniform.

    A mean above 0 trains noisy times more, which fixes large shapes; latents of greater variance need it higher.
    """

    mean: float = 0.0
    deviation: float = 1.0
    uniform_share: float = 0.0

    def times(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) times between 0 and 1.

        Stratified: the k-th time comes from the k-th of `count` equal parts of the distribution, so the loss of a batch
        varies less (as in arXiv 2107.00630, appendix I).
        """
        parts = (torch.arange(count) + torch.rand(count, generator=generator)) / count
        parts = parts[torch.randperm(count, generator=generator)]
        normal = torch.special.ndtri(parts.double().clamp(1e-6, 1 - 1e-6)).float()
        times = torch.sigmoid(self.mean + self.deviation * normal)
        is_uniform = torch.rand(count, generator=generator) < self.uniform_share
        return torch.where(is_uniform, torch.rand(count, generator=generator), times).clamp(1e-3, 1 - 1e-3)


def noisy(latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """(B, …) latents at (B,) times: (1 - t) · latents + t · noise."""
    t = times.view(-1, *[1] * (latents.dim() - 1))
    return (1 - t) * latents + t * noise


def flow_loss(velocity: Velocity, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """(B,) mean squared errors of the predicted velocity against noise - latents.

    `velocity` takes the noisy latents (B, …) and the times (B,) and returns (B, …).
    """
    error = velocity(noisy(latents, noise, times), times).float() - (noise - latents)
    return error.square().flatten(1).mean(dim=1)
