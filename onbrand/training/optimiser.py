"""The optimiser: Muon for the matrices between hidden layers, AdamW for everything else."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Optimiser:
    """Muon (https://kellerjordan.github.io/posts/muon/) and AdamW as one; `scale` is the schedule's factor.

    Muon's step is scaled to AdamW's size, 0.2 · √max(rows, columns), so that one learning rate fits both
    (arXiv 2502.16982 §2.2).
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
    ) -> None:
        matrices, others = list(matrices), list(others)
        self.learning_rate = learning_rate
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices,
                    lr=learning_rate,
                    weight_decay=weight_decay,
                    momentum=momentum,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        decayed = [parameter for parameter in others if parameter.dim() > 1]
        plain = [parameter for parameter in others if parameter.dim() < 2]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
        if groups:
            self._parts.append(torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=1e-8, fused=True))

    def step(self, scale: float) -> None:
        """Move the weights by their gradients, then forget those."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.learning_rate * scale
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        """What a checkpoint keeps."""
        return [part.state_dict() for part in self._parts]

    def restore(self, state: list[dict[str, object]]) -> None:
        """Go on from what a checkpoint kept."""
        for part, kept in zip(self._parts, state, strict=True):
            part.load_state_dict(kept)


def clip(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scale the gradients down to a norm of `limit`, where it is greater; returns the norm before."""
    return torch.nn.utils.clip_grad_norm_(list(parameters), limit, foreach=True)
