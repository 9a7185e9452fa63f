"""diffusers' transformer at tiny size, ours with the same weights, and the error between their outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onbrand.hidream.models import Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.weights.load_state import load_state
from tests.tiny import SIZE, tiny_pipeline


def lively_transformer(seed: int = 0) -> Any:
    """diffusers' transformer with blocks that change their input strongly. Without this, they change almost nothing."""
    transformer = tiny_pipeline(seed).transformer
    with torch.no_grad():
        for block in (*transformer.double_stream_blocks, *transformer.single_stream_blocks):
            block.block.adaLN_modulation[1].bias.fill_(1.0)
    return transformer.requires_grad_(False)


def ours(theirs: Any, precision: Precision, dtype: torch.dtype | None = None) -> Any:
    """Our transformer with the weights of diffusers'."""
    transformer = empty_transformer(theirs.config, precision, dtype).to_empty(device="cpu")
    load_state(transformer, theirs.state_dict().items())
    return transformer


def inputs(config: Any, batch: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> dict[str, Any]:
    """The inputs of one step, different for each picture."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    t5, llama = config.caption_channels
    return {
        "hidden_states": random(batch, config.in_channels, SIZE, SIZE),
        "timesteps": torch.full((batch,), 500.0, device=device),
        "encoder_hidden_states_t5": random(batch, 8, t5),
        "encoder_hidden_states_llama3": random(1 + max(config.llama_layers), batch, 8, llama),
        "pooled_embeds": random(batch, config.text_emb_dim),
        "return_dict": False,
    }


@torch.inference_mode()
def output(transformer: Any, batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(B, C, N, N): the transformer's output for `inputs`."""
    (result,) = transformer(**inputs(transformer.config, batch, dtype))
    return result  # type: ignore[no-any-return]


def error(measured: Tensor, exact: Tensor) -> float:
    """The norm of the difference, divided by the norm of the exact tensor."""
    return float((measured.float() - exact.float()).norm() / exact.float().norm())
