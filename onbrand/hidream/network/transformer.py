"""diffusers' HiDream transformer, built without memory and without anything that makes the host wait for the GPU.

Its modules are diffusers' but for the routed experts (`moe.py`) and, where it is held in 8 bit, the blocks' matrices
(`int8.py`). It is filled by `fill.py`; where it is placed and which weights it gets is the loader's business.

What stays as diffusers has it, by count at four pictures of 1024²: projecting the 49 texts anew at each step is 0.5
of a step's 311 TFLOP, and the positions' angles are 2 million sines and cosines. Neither is worth a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import HiDreamImageTransformer2DModel
from diffusers.models.transformers.transformer_hidream_image import MOEFeedForwardSwiGLU
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from onbrand.errors import NetworkConfigInvalid
from onbrand.hidream.models import Precision
from onbrand.hidream.network.int8 import hold_as_int8
from onbrand.hidream.network.moe import RoutedExperts

# cuDNN's first: up to 75 % quicker than flash on an H100 (release notes of PyTorch 2.5). Each is passed over where it
# can't be had; a CPU has its own.
_ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_SHAPES = 16  # kinds of block, times batches, times texts' lengths, that one process may meet


class Transformer(HiDreamImageTransformer2DModel):  # type: ignore[misc]  # diffusers has no types
    """For square latents only, which need no padding and no masks."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As diffusers', through the quickest attention there is."""
        with sdpa_kernel(_ATTENTION, set_priority=True):
            return super().forward(*args, **kwargs)

    def patchify(self, latents: Tensor) -> tuple[Tensor, None, list[tuple[int, int]], Tensor]:
        """(B, C, N, N) latents to (B, S, p²C) patches, no masks, B sizes and (B, S, 3) positions.

        diffusers returns the sizes as a tensor on the device, which is read back for each picture at the step's end.

        Raises:
            ValueError: the latents aren't square.
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


def empty_transformer(config: Mapping[str, Any], precision: Precision, dtype: torch.dtype | None = None) -> Transformer:
    """The transformer that `config` (diffusers' `config.json`) describes, on the meta device, for inference.

    Call `to_empty(device=…)`, then `fill.fill`. `dtype` is that of inputs, sums and whatever isn't quantised: float32
    at `FLOAT32`, otherwise bfloat16, unless it is given. 8-bit are the matrices of attention and feed-forwards, 82 % of
    HiDream-I1's parameters. Modulation, routing, embeddings and the last layer are not: each decides much with little.

    Raises:
        NetworkConfigInvalid: the configuration is not a HiDream transformer's.
    """
    dtype = dtype or (torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16)
    is_int8 = precision is Precision.INT8
    try:
        with torch.device("meta"):
            transformer: Transformer = Transformer.from_config(dict(config))
        nn.Module.to(transformer, dtype)  # diffusers' own `to` logs that it had nothing to say
        for name, module in list(transformer.named_modules()):
            if isinstance(module, MOEFeedForwardSwiGLU):
                transformer.set_submodule(name, RoutedExperts(module, is_int8=is_int8))
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        raise NetworkConfigInvalid(
            "The transformer's config.json is not a HiDream transformer's. Fetch it again."
        ) from error
    if is_int8:
        hold_as_int8(transformer, keep=lambda name: ".attn1." not in name and ".ff_" not in name)
    transformer.requires_grad_(False).eval()
    return transformer


def compile_blocks(transformer: Any, backend: str = "inductor") -> None:
    """Compile each block in place, at its first use for each shape of input; all of one kind share their code.

    That first use takes long, so it doesn't belong between a designer and their first picture.
    """
    for block in (*transformer.double_stream_blocks, *transformer.single_stream_blocks):
        block.compile(fullgraph=True, dynamic=False, backend=backend, recompile_limit=_SHAPES)


def offload_blocks(transformer: Any, device: torch.device) -> None:
    """Keep the blocks in host memory; each visits `device` while the one before it runs: for small GPUs.

    diffusers' group offloading, one block a group, which prefetches on a stream of its own where a device has streams.
    """
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        transformer,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        use_stream=device.type == "cuda",
    )
