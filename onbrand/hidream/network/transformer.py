"""diffusers' HiDream transformer, built without memory, and with nothing that makes the host wait for the GPU.

The modules are diffusers', except the routed experts (`moe.py`) and, at 8 bit, the blocks' matrices (`int8.py`).
`load_state` fills the network; `load.py` chooses its device and its weights.

Two things that diffusers repeats at each step stay as they are, because a cache would save little. For four pictures of
1024², projecting the 49 text inputs takes 0.5 of a step's 311 TFLOP, and the position embeddings are 2 million sines
and cosines (counted).
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
from onbrand.hidream.network.int8 import quantize_linears
from onbrand.hidream.network.moe import RoutedExperts

# In order of preference; torch skips a backend that the device does not support. cuDNN is up to 75 % faster than
# FlashAttention v2 on an H100 (release notes of PyTorch 2.5). From 2.11 on, torch itself prefers cuDNN on SM 9.0 and
# 10.0 (cuDNN above 9.15); the list does so on other GPUs too.
_ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_MAX_SHAPES = 16  # compiled variants in one process: block kinds × batch sizes × text lengths


class Transformer(HiDreamImageTransformer2DModel):  # type: ignore[misc]  # diffusers has no types
    """diffusers' transformer for square latents only, which need no padding and no masks."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As in diffusers, with the fastest attention that the device supports."""
        with sdpa_kernel(_ATTENTION, set_priority=True):
            return super().forward(*args, **kwargs)

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


def empty_transformer(config: Mapping[str, Any], precision: Precision, dtype: torch.dtype | None = None) -> Transformer:
    """Build the transformer that `config` (diffusers' `config.json`) describes, on the meta device, for inference.

    Call `to_empty(device=…)` on it, then `load_state`. `dtype` is the type of inputs, products and all weights that are
    not quantized; by default float32 at `FLOAT32`, otherwise bfloat16. At `INT8` the matrices of attention and
    feed-forwards are 8-bit, 82 % of HiDream-I1's parameters. Modulation, routing, embeddings and the last layer stay in
    `dtype`: they are small and have a large influence on the result.

    Raises:
        NetworkConfigInvalid: the configuration is not a HiDream transformer's.
    """
    dtype = dtype or (torch.float32 if precision is Precision.FLOAT32 else torch.bfloat16)
    is_int8 = precision is Precision.INT8
    try:
        with torch.device("meta"):
            transformer: Transformer = Transformer.from_config(dict(config))
        nn.Module.to(transformer, dtype)  # diffusers' `to` logs a needless warning
        for name, module in list(transformer.named_modules()):
            if isinstance(module, MOEFeedForwardSwiGLU):
                transformer.set_submodule(name, RoutedExperts(module, is_int8=is_int8))
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        raise NetworkConfigInvalid(
            "The transformer's config.json is not a HiDream transformer's. Fetch it again."
        ) from error
    if is_int8:
        quantize_linears(transformer, is_excluded=lambda name: ".attn1." not in name and ".ff_" not in name)
    transformer.requires_grad_(False).eval()
    return transformer


def compile_blocks(transformer: Any, backend: str = "inductor") -> None:
    """Compile each block in place. Compilation happens at the first use with each input shape.

    Blocks of the same kind share the compiled code. The first use takes long, so workers do not compile: a designer
    would wait for it.
    """
    for block in (*transformer.double_stream_blocks, *transformer.single_stream_blocks):
        block.compile(fullgraph=True, dynamic=False, backend=backend, recompile_limit=_MAX_SHAPES)


def offload_blocks(transformer: Any, device: torch.device) -> None:
    """For small GPUs: keep the blocks in host memory, and move each to `device` while the block before it runs.

    This is diffusers' group offloading with one block in each group. On CUDA it prefetches on a stream of its own.
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
