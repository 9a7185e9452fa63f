"""Check once, before a worker becomes ready, that the loaded transformer gives the output that the pack recorded.

A LoRA that was not applied, or was applied to another base, raises no error: the pictures only lack the brand's style.
Therefore a pack records the transformer's output for one fixed input, without and with the LoRA (`packs.Probe`). The
output of a loaded transformer must be nearer to the recorded output with the LoRA than to the one without, may differ
from it only by about what rounding does, and by less along the LoRA's own change: there, rounding hardly shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from onbrand.errors import LoraWithoutEffect, ModelOutputInvalid, ProbeMismatch
from onbrand.hidream.models import Precision
from onbrand.packs.manifest import Probe

_SEED = 20_260_128
_NUMBERS = 64
_TOKENS = 4  # in each text
_TIMESTEP = 500.0
# Shares of the output's norm. Measured: float32 on other kernels, threads and instructions differs by 1e-6. The mini in
# bfloat16 or int8 differs from float32 by 1.3 %, and by 0.1 % along the LoRA's change, which is 23 %. At tiny size with
# routed experts, 12 random networks in each pair of precisions: 1 to 2.5 %; up to 7.6 %, and 1.8 % along the change,
# where rounding makes a router choose another expert; 5 % along it for LoRAs that change 3 %, 6 times in 72. Faults of
# the mini's LoRA: alpha 12 for 16 changes 5.7 %, scale 1.3 7.1 %, scale 0.5 11 %, matrices in other blocks 30 %, double
# blocks x 0.01 82 %; the first three nearly all along the change.
_MIN_EFFECT = 0.005


@dataclass(frozen=True)
class _Limits:
    distance: float
    along: float  # the LoRA's own change, or
    strength: float  # this share of that change, if it is more


_EXACT = _Limits(0.002, 0.002, 0.0)  # recorded and loaded in float32: half of any LoRA that a pack can have is noticed
_ALIKE = _Limits(0.10, 0.015, 0.10)  # recorded and loaded in the same other precision
_OTHER = _Limits(0.10, 0.03, 0.10)  # in two precisions, or it is not known in which it was recorded


@torch.inference_mode()
def probe_output(transformer: Any) -> tuple[float, ...]:
    """Run the transformer on a fixed input of 16 image tokens, and return 64 numbers that represent its output.

    The numbers are projections of the output on fixed random directions. Therefore the distance between two results is
    about the distance between the two outputs (lemma of Johnson and Lindenstrauss), at any precision.

    Raises:
        ModelOutputInvalid: the output is not finite or is constant.
    """
    config = transformer.config
    weight = next(parameter for parameter in transformer.parameters() if parameter.is_floating_point())
    generator = torch.Generator().manual_seed(_SEED)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(weight.device, weight.dtype)

    size = min(4 * config.patch_size, *config.max_resolution)
    t5_width, llama_width = config.caption_channels
    (output,) = transformer(
        hidden_states=random(1, config.in_channels, size, size),
        timesteps=torch.full((1,), _TIMESTEP, device=weight.device),
        encoder_hidden_states_t5=random(1, _TOKENS, t5_width),
        encoder_hidden_states_llama3=random(1 + max(config.llama_layers), 1, _TOKENS, llama_width),
        pooled_embeds=random(1, config.text_emb_dim),
        return_dict=False,
    )
    numbers = output.float().cpu().flatten()
    if not torch.isfinite(numbers).all() or (numbers == numbers[0]).all():
        raise ModelOutputInvalid("The model's output is not a picture: its weights are damaged.")
    directions = torch.randn(_NUMBERS, len(numbers), generator=generator) / len(numbers) ** 0.5
    return tuple(round(number, 6) for number in (directions @ numbers).tolist())


def make_probe(base: Sequence[float], fused: Sequence[float], precision: Precision) -> Probe:
    """Make the probe that a new pack records, from the outputs without (`base`) and with the LoRA (`fused`).

    Raises:
        LoraWithoutEffect: the LoRA makes no difference that a check could see.
    """
    if math.dist(base, fused) < _MIN_EFFECT * math.hypot(*base):
        raise LoraWithoutEffect("This LoRA changes almost nothing in the model's output. Train it longer.")
    return Probe(tuple(base), tuple(fused), precision.value)


def check_probe(measured: Sequence[float], expected: Probe, precision: Precision) -> None:
    """Compare the output of the transformer that was loaded in `precision` with the outputs that the pack recorded.

    Raises:
        ProbeMismatch: the output is nearer to the one without the LoRA than to the one with it, or differs from the
            latter by more than rounding does.
    """
    if len(measured) != len(expected.fused) or not _is_expected(measured, expected, _limits(expected, precision)):
        raise ProbeMismatch(
            "The model's output is not the one that the brand pack recorded, so the brand's LoRA may not be in effect,"
            " or not as it was."
            " Build the pack again on this base."
        )


def _limits(expected: Probe, precision: Precision) -> _Limits:
    if expected.precision != precision:
        return _OTHER
    return _EXACT if precision is Precision.FLOAT32 else _ALIKE


def _is_expected(measured: Sequence[float], expected: Probe, limits: _Limits) -> bool:
    size, change = math.hypot(*expected.fused), math.dist(expected.fused, expected.base)
    distance = math.dist(measured, expected.fused)
    along = sum(
        (now - fused) * (fused - base) for now, fused, base in zip(measured, expected.fused, expected.base, strict=True)
    )
    return (
        distance < math.dist(measured, expected.base)
        and distance <= limits.distance * size
        and abs(along) <= max(limits.along * size, limits.strength * change) * change
    )
