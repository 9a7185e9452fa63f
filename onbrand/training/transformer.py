"""diffusers' HiDream transformer, to be trained: the base of a LoRA, or the mini model's denoiser.

Pictures are drawn with the network in `hidream/network`, which has the same weights and the same output, and can't be
trained.
"""

from __future__ import annotations

import torch
from diffusers import HiDreamImageTransformer2DModel
from torch import Tensor


class TrainedTransformer(HiDreamImageTransformer2DModel):  # type: ignore[misc]  # diffusers has no types
    """diffusers' transformer for square latents only, which need no padding and no masks."""

    def patchify(self, latents: Tensor) -> tuple[Tensor, None, list[tuple[int, int]], Tensor]:
        """(B, C, N, N) latents to (B, S, p²C) patches, no masks, B sizes and (B, S, 3) positions.

        diffusers returns the sizes as a tensor on the device, and reads it back for each picture at the end of a step.

        Raises:
            ValueError: the latents are not square.
        """
        batch, channels, height, width = latents.shape
        if height != width:
            raise ValueError("only square pictures can be drawn")
        patch = self.config.patch_size
        side = height // patch
        grid = latents.reshape(batch, channels, side, patch, side, patch).permute(0, 2, 4, 3, 5, 1)
        line = torch.arange(side, device=latents.device, dtype=torch.float32)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        positions = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(1, -1, 3)
        patches = grid.reshape(batch, side * side, patch * patch * channels)
        return patches, None, [(side, side)] * batch, positions.repeat(batch, 1, 1)
