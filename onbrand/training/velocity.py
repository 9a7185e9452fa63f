"""The trained network's answer: the velocity from noisy latents, at their times and with their texts.

In evaluation mode, also while training: gradients pass through the routed experts. diffusers' own training script stops
them there (`moe_infer` is without gradients), which costs half of the progress (measured, notes on training).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from onbrand.hidream.network.transformer import ATTENTION
from onbrand.hidream.text.encode import Embeddings


@contextmanager
def training_attention(device: torch.device) -> Iterator[None]:
    """Around a pass and its way back: gradient checkpoints compute a block again there, and must compute it alike.

    On a CPU plain matrices train quicker than flash attention, whose way back takes 253 ms of a step of 1.65 s (100
    tokens, measured).
    """
    is_cpu = device.type == "cpu"
    with sdpa_kernel([SDPBackend.MATH] if is_cpu else ATTENTION, set_priority=not is_cpu):
        yield


def velocity(transformer: Any, latents: Tensor, times: Tensor, texts: Embeddings) -> Tensor:
    """(B, C, H, W) in float32, of (B, C, H, W) noisy latents at (B,) times from 0, the picture, to 1, noise."""
    inputs = {
        "hidden_states": latents.to(texts.pooled.dtype),
        "timesteps": times * 1000,
        "encoder_hidden_states_t5": texts.t5,
        "encoder_hidden_states_llama3": texts.llama3,
        "pooled_embeds": texts.pooled,
        "return_dict": False,
    }
    (output,) = transformer(**inputs)
    return -torch.as_tensor(output).float()  # HiDream's transformer returns the negative velocity


def stacked(texts: Sequence[Embeddings], device: torch.device, dtype: torch.dtype) -> Embeddings:
    """Texts of one picture each as the texts of a batch."""
    return Embeddings(
        torch.cat([text.llama3 for text in texts], dim=1).to(device, dtype),
        torch.cat([text.t5 for text in texts]).to(device, dtype),
        torch.cat([text.pooled for text in texts]).to(device, dtype),
    )
