"""Check once, before a worker becomes ready, that the loaded transformer gives the output that the pack recorded.

A LoRA that was not applied, or was applied to another base, raises no error: the pictures only lack the brand's style.
Therefore a pack records the transformer's output for one fixed input, without and with the LoRA (`packs.Probe`). The
output of a loaded transformer must be nearer to the recorded output with the LoRA than to the one without, and may
differ from it only by about what rounding at its precision does.
"""

from __future__ import annotations

from collections.abc import Sequence
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
# Shares of the output's norm. Measured with the mini, whose LoRA changes the output by 23 %: bfloat16 and int8 differ
# from float32 by 1.3 %, alpha 12 instead of 16 by 5.7 %, scale 1.3 by 7.1 %, scale 0.5 by 11 %, matrices moved between
# blocks by 30 %. At tiny size bfloat16 and int8 differ by 0.5 %, int8 by up to 2.6 % (docs/models.md). A pack may have
# been recorded in bfloat16 and be loaded in float32, so float32 has no smaller limit. A LoRA that changes the output by
# less than 6 % can be at half its strength unnoticed (8 bit: 10 %); that it is there at all is noticed.
_MIN_EFFECT = 0.005
_MAX_DISTANCE = {Precision.FLOAT32: 0.03, Precision.BFLOAT16: 0.03, Precision.INT8: 0.05}


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


def make_probe(base: Sequence[float], fused: Sequence[float]) -> Probe:
    """Make the probe that a new pack records, from the outputs without (`base`) and with the LoRA (`fused`).

    Raises:
        LoraWithoutEffect: the LoRA makes no difference that a check could see.
    """
    if _distance(base, fused) < _MIN_EFFECT * _distance(base, [0.0] * len(base)):
        raise LoraWithoutEffect("This LoRA changes almost nothing in the model's output. Train it longer.")
    return Probe(tuple(base), tuple(fused))


def check_probe(measured: Sequence[float], expected: Probe, precision: Precision) -> None:
    """Compare the output of the loaded transformer with the outputs that the pack recorded.

    Raises:
        ProbeMismatch: the output is nearer to the one without the LoRA than to the one with it, or differs from the
            latter by more than rounding at this precision does.
    """
    is_comparable = len(measured) == len(expected.fused)
    distance = _distance(measured, expected.fused) if is_comparable else float("inf")
    if distance >= _MAX_DISTANCE[precision] * _distance(
        expected.fused, [0.0] * len(expected.fused)
    ) or distance >= _distance(measured, expected.base):
        raise ProbeMismatch(
            "The model's output is not the one that the brand pack recorded, so the brand's LoRA may not be in effect,"
            " or not as it was."
            " Build the pack again on this base."
        )


def _distance(a: Sequence[float], b: Sequence[float]) -> float:
    return float((torch.tensor(a) - torch.tensor(b)).norm())
