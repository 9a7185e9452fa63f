"""A LoRA of another strength or at another place, and a changed base, are noticed in each precision.

The networks are HiDream's real classes at tiny size, with routed experts and blocks that change their input strongly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from torch import Tensor

from onbrand.errors import ProbeMismatch
from onbrand.hidream.health import check_probe, make_probe, probe_output
from onbrand.hidream.models import Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.weights.fuse import fuse_lora
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.lora import Adapter, Update
from onbrand.packs.manifest import Probe
from tests.integration.hidream.networks import lively_transformer
from tests.tiny import adapted_modules, tiny_lora


@dataclass(frozen=True)
class Parts:
    """What a transformer is made of: its configuration, the base's weights, and the LoRA."""

    config: Any
    state: Mapping[str, Tensor]
    lora: Adapter

    def output(self, precision: Precision, *, with_lora: bool = True) -> tuple[float, ...]:
        transformer = empty_transformer(self.config, precision).to_empty(device="cpu").eval()
        load_state(transformer, fuse_lora(self.state.items(), self.lora) if with_lora else self.state.items())
        return probe_output(transformer)

    def probe(self, precision: Precision) -> Probe:
        return make_probe(self.output(precision, with_lora=False), self.output(precision), precision)


def made(scaling: float) -> Parts:
    transformer = lively_transformer()
    weights = tiny_lora(transformer)
    updates = {
        module: Update(*(weights[f"transformer.{module}.lora_{half}.weight"] for half in "AB"))
        for module in adapted_modules(transformer)
    }
    return Parts(transformer.config, transformer.state_dict(), Adapter(scaling, updates))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return made(0.5)


@pytest.fixture(scope="module", params=list(Precision))
def recorded(parts: Parts, request: pytest.FixtureRequest) -> tuple[Precision, Probe]:
    return request.param, parts.probe(request.param)


def scaled(factor: float) -> Callable[[Parts], Parts]:
    return lambda parts: replace(parts, lora=replace(parts.lora, scaling=factor * parts.lora.scaling))


def moved(parts: Parts) -> Parts:
    """Each matrix of a single block at the other one."""
    first, second = "single_stream_blocks.0.", "single_stream_blocks.1."
    updates = {
        module.replace(first, second) if first in module else module.replace(second, first): update
        for module, update in parts.lora.updates.items()
    }
    return replace(parts, lora=replace(parts.lora, updates=updates))


def weakened(parts: Parts) -> Parts:
    state = {name: one * 0.01 if name.startswith("double_") else one for name, one in parts.state.items()}
    return replace(parts, state=state)


FAULTS: dict[str, Callable[[Parts], Parts]] = {
    "scale 0.5": scaled(0.5),
    "scale 1.3": scaled(1.3),
    "alpha 12 for 16": scaled(12 / 16),
    "matrices in another block": moved,
    "double blocks x 0.01": weakened,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_noticed_in_the_precision_of_the_probe(
    parts: Parts, recorded: tuple[Precision, Probe], fault: str
) -> None:
    precision, probe = recorded
    with pytest.raises(ProbeMismatch):
        check_probe(FAULTS[fault](parts).output(precision), probe, precision)


def test_each_precision_accepts_what_another_one_recorded(parts: Parts, recorded: tuple[Precision, Probe]) -> None:
    for precision in Precision:
        check_probe(parts.output(precision), recorded[1], precision)


def test_a_router_that_rounding_sends_to_another_expert_is_no_fault() -> None:
    """Here that changes the output by 5.5 %, without any LoRA being wrong."""
    parts = made(0.25)
    check_probe(parts.output(Precision.BFLOAT16), parts.probe(Precision.FLOAT32), Precision.BFLOAT16)


def test_in_float32_a_tenth_of_the_loras_strength_is_noticed(parts: Parts) -> None:
    probe = parts.probe(Precision.FLOAT32)
    with pytest.raises(ProbeMismatch):
        check_probe(scaled(0.9)(parts).output(Precision.FLOAT32), probe, Precision.FLOAT32)
