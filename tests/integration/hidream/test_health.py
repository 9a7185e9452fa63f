"""The output that a loaded transformer must give before a worker is ready."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch

from onbrand.errors import LoraWithoutEffect, ModelOutputInvalid, ProbeMismatch
from onbrand.hidream.health import check_probe, make_probe, probe_output
from onbrand.hidream.models import Precision
from onbrand.packs.manifest import Probe
from tests import tiny

BASE = (1.0,) * 16
FUSED = (2.0,) * 16


@pytest.fixture
def transformer() -> Any:
    return tiny.tiny_pipeline().transformer


def test_the_output_is_always_the_same_and_changes_with_the_weights(transformer: Any) -> None:
    first = probe_output(transformer)
    torch.manual_seed(5)
    assert probe_output(transformer) == first
    with torch.no_grad():
        transformer.x_embedder.proj.weight.mul_(1.1)
    assert probe_output(transformer) != first


def test_in_bfloat16_the_output_is_nearly_the_same(transformer: Any) -> None:
    exact = torch.tensor(probe_output(transformer))
    rounded = torch.tensor(probe_output(torch.nn.Module.to(transformer, torch.bfloat16)))
    assert (exact - rounded).norm() < 0.05 * exact.norm()


def silent(transformer: Any) -> None:
    transformer.final_layer.linear.weight.zero_()
    transformer.final_layer.linear.bias.zero_()


def broken(transformer: Any) -> None:
    transformer.x_embedder.proj.weight[0, 0] = torch.nan


@pytest.mark.parametrize("damage", [silent, broken])
def test_an_output_that_is_not_a_picture_is_refused(transformer: Any, damage: Callable[[Any], None]) -> None:
    with torch.no_grad():
        damage(transformer)
    with pytest.raises(ModelOutputInvalid, match="its weights are damaged"):
        probe_output(transformer)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.88, 1.12, 1.6, -1.0])
def test_an_output_nearer_to_the_base_or_far_from_both_is_refused(share: float) -> None:
    for precision, recorded in product(Precision, [*Precision, None]):
        with pytest.raises(ProbeMismatch, match="LoRA may not be in effect"):
            check_probe([1.0 + share] * 16, Probe(BASE, FUSED, recorded), precision)


@pytest.mark.parametrize("share", [0.995, 1.005])
def test_float32_is_compared_more_strictly_if_the_pack_was_recorded_in_it(share: float) -> None:
    measured = [1.0 + share] * 16
    check_probe(measured, Probe(BASE, FUSED), Precision.FLOAT32)
    check_probe(measured, Probe(BASE, FUSED, "bfloat16"), Precision.FLOAT32)
    check_probe(measured, Probe(BASE, FUSED, "float32"), Precision.BFLOAT16)
    with pytest.raises(ProbeMismatch):
        check_probe(measured, Probe(BASE, FUSED, "float32"), Precision.FLOAT32)


@pytest.mark.parametrize("sign", [1, -1])
def test_rounding_across_the_loras_change_may_be_larger_than_along_it(sign: int) -> None:
    across = [2.0 + sign * 0.15, 2.0 - sign * 0.15] * 8
    check_probe(across, Probe(BASE, FUSED, "bfloat16"), Precision.BFLOAT16)
    far = [2.0 + sign * 0.25, 2.0 - sign * 0.25] * 8
    for precision in Precision:
        with pytest.raises(ProbeMismatch):
            check_probe(far, Probe(BASE, FUSED), precision)


def test_half_a_small_lora_is_noticed_in_its_own_precision() -> None:
    """It changes the output by 4 %, of which 2 % are missing."""
    for precision in Precision:
        with pytest.raises(ProbeMismatch):
            check_probe([2.0] * 16, Probe((1.96,) * 16, (2.04,) * 16, precision), precision)


@pytest.mark.parametrize("share", [0.95, 1.0, 1.05])
def test_a_rounding_error_is_accepted(share: float) -> None:
    for precision in Precision:
        check_probe([1.0 + share] * 16, Probe(BASE, FUSED), precision)


def test_an_output_of_another_length_is_refused() -> None:
    with pytest.raises(ProbeMismatch):
        check_probe([2.0] * 8, Probe(BASE, FUSED), Precision.FLOAT32)


def test_a_lora_that_changes_almost_nothing_is_refused() -> None:
    with pytest.raises(LoraWithoutEffect, match="almost nothing"):
        make_probe(BASE, [number + 0.004 for number in BASE], Precision.FLOAT32)
    assert make_probe(BASE, FUSED, Precision.INT8) == Probe(BASE, FUSED, "int8")
