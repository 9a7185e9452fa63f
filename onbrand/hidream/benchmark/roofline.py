"""The roofline: the minimum time of a call is its counted operations, divided by the measured speed of the device.

Only matrix products, convolutions and attention are counted, because every implementation has to compute them. Moving
memory, starting kernels and waiting are not counted: they are the difference between the roofline and the measured
time.
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
    """(T, K) rows, each multiplied by one of the (E, K, N) matrices."""
    return 2 * math.prod(a) * b[-1]


def _attention(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


# Operators that torch 2.13 does not count by itself.
_FORMULAS = {
    torch.ops.aten._grouped_mm: _grouped,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_fused_attention_overrideable: _attention,
}


def flops(call: Callable[[], object]) -> int:
    """Count the floating-point operations of all matrix products in `call`, on any device."""
    with FlopCounterMode(display=False, custom_mapping=_FORMULAS) as counter:
        call()
    return int(counter.get_total_flops())


@torch.inference_mode()
def flops_of_step(config: Mapping[str, Any], batch: int, size: int, text: Embeddings) -> int:
    """Count one forward pass of the transformer of `config` for (batch, C, size, size) latents.

    It runs on the meta device, so nothing is computed. Of `text` only the shapes are used.
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
    """Measure how many operations per second this device computes when it multiplies two large random matrices.

    The numbers are random, and the measurement lasts `seconds`. With zeros, or in its first moments, a GPU uses less
    power and is faster than it can be in a real load.
    """
    side, batch = (8192, 16) if device.type == "cuda" else (2048, 1)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(side, side, generator=generator).to(device, dtype) for _ in range(2))
    out = torch.empty_like(left)
    for duration in (_WARM_UP_SECONDS, seconds):
        products, started = 0, time.perf_counter()
        while (passed := time.perf_counter() - started) < duration:
            for _ in range(batch):
                torch.mm(left, right, out=out)
            synchronize(device)
            products += batch
    return 2 * side**3 * products / passed


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
