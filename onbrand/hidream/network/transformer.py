"""HiDream's transformer, built without memory, and with nothing that makes the host wait for the GPU.

It computes what diffusers' `HiDreamImageTransformer2DModel` computes, from the same weights under the same names.
`layers.py` has its layers, `moe.py` the routed experts. `load_state` fills the network; `load.py` chooses its device
and its weights. A brand's LoRA is trained on it; the mini's recipe uses diffusers' class (`training/transformer.py`).

Two things are repeated at each step as in diffusers, because a cache would save little. For four pictures of 1024²,
projecting the 49 text inputs takes 0.5 of a step's 311 TFLOP, and the position embeddings are 2 million sines and
cosines (counted).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from onbrand.errors import NetworkConfigInvalid
from onbrand.hidream.models import Precision
from onbrand.hidream.network.blank import allocate
from onbrand.hidream.network.int8 import quantize_linears
from onbrand.hidream.network.layers import (
    DoubleBlock,
    Named,
    Output,
    PatchEmbedding,
    PooledEmbedding,
    SingleBlock,
    TextProjection,
    TimeEmbedding,
    rotations,
)
from onbrand.hidream.network.moe import RoutedExperts

# In order of preference; torch skips a backend that the device does not support. cuDNN is up to 75 % faster than
# FlashAttention v2 on an H100 (release notes of PyTorch 2.5). From 2.11 on, torch itself prefers cuDNN on SM 9.0 and
# 10.0 (cuDNN above 9.15); the list does so on other GPUs too.
ATTENTION = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
_MAX_SHAPES = 16  # compiled variants in one process: block kinds × batch sizes × text lengths


@dataclass(frozen=True)
class Config:
    """The network's `config.json`, with diffusers' names and default values."""

    patch_size: int
    caption_channels: tuple[int, int]  # width of T5 and of Llama
    llama_layers: tuple[int, ...]  # the text layer of each block, and last the one that all double blocks share
    in_channels: int = 64
    out_channels: int | None = None
    num_layers: int = 16
    num_single_layers: int = 32
    attention_head_dim: int = 128
    num_attention_heads: int = 20
    text_emb_dim: int = 2048
    num_routed_experts: int = 4
    num_activated_experts: int = 2
    axes_dims_rope: tuple[int, ...] = (32, 32)
    max_resolution: tuple[int, int] = (128, 128)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Config:
        """Take the fields out of a `config.json`; what else is in it says nothing about the network.

        Raises:
            TypeError, LookupError, ValueError: a field is missing, or is of another type.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value
            for name, value in document.items()
            if name in known
        }
        numbers = [number for value in values.values() for number in (value if isinstance(value, tuple) else (value,))]
        if not all(isinstance(number, int) or number is None for number in numbers):
            raise TypeError("a field is not a whole number")
        return cls(**values)


class Transformer(nn.Module):
    """HiDream's transformer for square latents only, which need no padding and no masks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self._is_checkpointed = False
        heads, head_width, experts = config.num_attention_heads, config.attention_head_dim, config.num_routed_experts
        width, shape = heads * head_width, (heads, head_width, experts, config.num_activated_experts)
        patch = config.patch_size**2
        t5_width, llama_width = config.caption_channels
        blocks = config.num_layers + config.num_single_layers
        if len(config.llama_layers) != blocks:
            raise ValueError("each block needs its text layer")
        self.t_embedder = TimeEmbedding(width)
        self.p_embedder = PooledEmbedding(config.text_emb_dim, width)
        self.x_embedder = PatchEmbedding(patch * config.in_channels, width)
        self.double_stream_blocks = nn.ModuleList([Named(DoubleBlock(*shape)) for _ in range(config.num_layers)])
        self.single_stream_blocks = nn.ModuleList([Named(SingleBlock(*shape)) for _ in range(config.num_single_layers)])
        self.final_layer = Output(width, patch * (config.out_channels or config.in_channels))
        text_widths = [*[llama_width] * blocks, t5_width]
        self.caption_projection = nn.ModuleList([TextProjection(each, width) for each in text_widths])

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of inputs and products."""
        return next(parameter.dtype for parameter in self.parameters() if parameter.is_floating_point())

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """As `nn.Module.to_empty`, in less time (`blank.py`)."""
        del recurse
        allocate(self, torch.device(device))
        return self

    def forward(
        self,
        *,
        hidden_states: Tensor,
        timesteps: Tensor,
        encoder_hidden_states_llama3: Tensor,
        encoder_hidden_states_t5: Tensor,
        pooled_embeds: Tensor,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """(B, C, N, N) latents, (B,) timesteps and text to the negative velocity, (B, C, N, N).

        Texts: (L, B, S, W) layers of Llama, (B, S, W) of T5, (B, W) pooled. The arguments have diffusers' names. The
        fastest attention that the device supports is used.

        Raises:
            ValueError: the latents are not square; or `return_dict`, which only diffusers has.
        """
        if return_dict:
            raise ValueError("the result is a tuple")
        inputs = (hidden_states, timesteps, encoder_hidden_states_llama3, encoder_hidden_states_t5, pooled_embeds)
        if torch.is_grad_enabled():  # who trains chooses the attention for the way back, too: `training/velocity.py`
            return (self._velocity(*inputs),)
        with sdpa_kernel(ATTENTION, set_priority=True):
            return (self._velocity(*inputs),)

    def enable_gradient_checkpointing(self) -> None:
        """In training keep only each block's input, and compute the block again on the way back."""
        self._is_checkpointed = True

    def _run(self, block: nn.Module, *inputs: Tensor) -> Any:
        if self._is_checkpointed and torch.is_grad_enabled():
            from torch.utils.checkpoint import checkpoint  # only training needs it

            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

    def _velocity(self, latents: Tensor, timesteps: Tensor, llama3: Tensor, t5: Tensor, pooled: Tensor) -> Tensor:
        image = self.x_embedder(self._patchify(latents))
        modulation = self.t_embedder(timesteps, latents.dtype) + self.p_embedder(pooled)
        *layers, shared = (
            project(text)
            for project, text in zip(
                self.caption_projection, [*(llama3[layer] for layer in self.config.llama_layers), t5], strict=True
            )
        )
        text = torch.cat([shared, layers[-1]], dim=1)
        rotation = rotations(self._positions(latents, text.shape[1] + layers[0].shape[1]), self.config.axes_dims_rope)
        doubles = len(self.double_stream_blocks)
        image_tokens, text_tokens = image.shape[1], text.shape[1]
        for block, layer in zip(self.double_stream_blocks, layers[:doubles], strict=True):
            image, text = self._run(block, image, torch.cat([text, layer], dim=1), modulation, rotation)
            text = text[:, :text_tokens]
        tokens = torch.cat([image, text], dim=1)
        for block, layer in zip(self.single_stream_blocks, layers[doubles:], strict=True):
            tokens = self._run(block, torch.cat([tokens, layer], dim=1), modulation, rotation)
            tokens = tokens[:, : image_tokens + text_tokens]
        return self._unpatchify(self.final_layer(tokens[:, :image_tokens], modulation))

    def _patchify(self, latents: Tensor) -> Tensor:
        """(B, C, N, N) latents to (B, S, p²C) patches."""
        batch, channels, height, width = latents.shape
        if height != width:
            raise ValueError("only square pictures can be drawn")
        patch = self.config.patch_size
        side = height // patch
        grid = latents.reshape(batch, channels, side, patch, side, patch).permute(0, 2, 4, 3, 5, 1)
        return grid.reshape(batch, side * side, patch * patch * channels)

    def _unpatchify(self, patches: Tensor) -> Tensor:
        """(B, S, p²C) patches to (B, C, N, N)."""
        patch, side = self.config.patch_size, math.isqrt(patches.shape[1])
        grid = patches.reshape(len(patches), side, side, patch, patch, -1).permute(0, 5, 1, 3, 2, 4)
        return grid.reshape(len(patches), -1, side * patch, side * patch)

    def _positions(self, latents: Tensor, text_tokens: int) -> Tensor:
        """(1, S + T, 3): row and column of each patch, the same for all pictures; zeros for the text."""
        side = latents.shape[-1] // self.config.patch_size
        line = torch.arange(side, device=latents.device, dtype=torch.float32)
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        of_image = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
        return torch.cat([of_image, of_image.new_zeros(text_tokens, 3)])[None]


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
    try:
        with torch.device("meta"):
            transformer = Transformer(Config.of(config)).to(dtype)
    except (TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        raise NetworkConfigInvalid(
            "The transformer's config.json is not a HiDream transformer's. Fetch it again."
        ) from error
    if precision is Precision.INT8:
        for module in transformer.modules():
            if isinstance(module, RoutedExperts):
                module.quantize()
        quantize_linears(transformer, is_excluded=lambda name: ".attn1." not in name and ".ff_" not in name)
    return transformer.requires_grad_(False).eval()


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
