"""The least time that a drawing can take: its multiplications, counted, at the speed that this device multiplies with.

Only products of matrices, convolutions and attention are counted, as every implementation must do them. What moves
memory, starts kernels or waits is not: that is what the distance from the floor shows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from onbrand.hidream.models import Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.text.encode import Embeddings

_WARM_UP_SECONDS = 0.2


def _grouped(a: tuple[int, ...], b: tuple[int, ...], *_: Any, **__: Any) -> int:
    """(T, K) rows, each times one of the (E, K, N) matrices."""
    return 2 * math.prod(a) * b[-1]


def _attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


# What torch 2.13 doesn't count by itself.
_FORMULAS = {
    torch.ops.aten._grouped_mm: _grouped,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_fused_attention_overrideable: _attention,
}


def flops(call: Callable[[], object]) -> int:
    """Additions and multiplications of all matrix products in `call`, on whatever device it runs."""
    with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counter:
        call()
    return int(counter.get_total_flops())


@torch.inference_mode()
def flops_of_step(config: Mapping[str, Any], batch: int, size: int, text: Embeddings) -> int:
    """What the transformer that `config` describes needs for (batch, C, size, size) latents, once.

    Nothing is computed, and of the text only the shapes count.
    """
    transformer = empty_transformer(config, Precision.BFLOAT16)

    def meta(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta", dtype=torch.bfloat16)

    llama3, t5, pooled = text.llama3.shape, text.t5.shape, text.pooled.shape
    return flops(
        lambda: transformer(
            hidden_states=meta(batch, transformer.config.in_channels, size, size),
            timesteps=torch.empty(batch, device="meta"),
            encoder_hidden_states_llama3=meta(llama3[0], batch, *llama3[2:]),
            encoder_hidden_states_t5=meta(batch, *t5[1:]),
            pooled_embeds=meta(batch, *pooled[1:]),
            return_dict=False,
        )
    )


@torch.inference_mode()
def flops_per_second(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.5) -> float:
    """How fast this device multiplies two large square matrices of random numbers, over and over.

    Random, and for a while: a GPU draws less power over zeros and at its first clock, and is quicker than it can stay.
    """
    side, at_once = (8192, 16) if device.type == "cuda" else (2048, 1)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(left)
    for duration in (_WARM_UP_SECONDS, seconds):
        products, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < duration:
            for _ in range(at_once):
                torch.mm(left, right, out=out)
            synchronize(device)
            products += at_once
    return 2 * side**3 * products / passed


def synchronize(device: torch.device) -> None:
    """Until the device has done all it was asked."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
