"""A base with a fused LoRA gives the output of the base with the LoRA in separate layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from onbrand.errors import LoraBaseMismatch, LoraWithoutEffect, TensorsMismatch
from onbrand.hidream.network.int8 import dequantize, quantize
from onbrand.hidream.weights.fuse import fuse_lora
from onbrand.hidream.weights.lora import Adapter, Update, read_adapter
from onbrand.packs.manifest import Lora
from tests.tiny import ALPHA, RANK, SIZE, adapted_modules, tiny_lora, tiny_pipeline

QUERY = "double_stream_blocks.0.block.attn1.to_q"


@pytest.fixture(scope="module")
def transformer() -> Any:
    """diffusers' own, in float32, without a LoRA."""
    return tiny_pipeline().transformer


@pytest.fixture(scope="module")
def lora_file(transformer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lora") / "lora.safetensors"
    save_file(tiny_lora(transformer), path)
    return path


@pytest.fixture(scope="module")
def adapter(transformer: Any, lora_file: Path) -> Adapter:
    return read_adapter(lora_file, Lora(lora_file.name, RANK, ALPHA, 1.0, adapted_modules(transformer)))


@torch.inference_mode()
def output_of(transformer: Any) -> Tensor:
    """(1, 4, 16, 16): the transformer's output for a fixed input."""
    generator = torch.Generator().manual_seed(3)
    output: Tensor = transformer(
        hidden_states=torch.randn(1, 4, SIZE, SIZE, generator=generator),
        timesteps=torch.tensor([500.0]),
        encoder_hidden_states_t5=torch.randn(1, 6, 32, generator=generator),
        encoder_hidden_states_llama3=torch.randn(2, 1, 6, 16, generator=generator),
        pooled_embeds=torch.randn(1, 64, generator=generator),
        return_dict=False,
    )[0]
    return output


def single_module_adapter(shape: tuple[int, int], rank: int = RANK, scaling: float = 1.0) -> Adapter:
    """An adapter of one module, `x`."""
    return Adapter(scaling, {"x": Update(torch.ones(rank, shape[1]), torch.ones(shape[0], rank))})


@pytest.mark.parametrize(("alpha", "scale"), [(ALPHA, 1.0), (3.0, 1.0), (ALPHA, 0.4)])
def test_fused_equals_pefts_unfused_forward(transformer: Any, lora_file: Path, alpha: float, scale: float) -> None:
    """peft computes `W x + scale * alpha / rank * B A x` in each layer; here the sum is in the weights."""
    modules = adapted_modules(transformer)
    adapter = read_adapter(lora_file, Lora(lora_file.name, RANK, alpha, scale, modules))

    merged = tiny_pipeline().transformer
    merged.load_state_dict(dict(fuse_lora(transformer.state_dict().items(), adapter)))
    beside = tiny_pipeline().transformer
    beside.add_adapter(LoraConfig(r=RANK, lora_alpha=alpha, target_modules=list(modules)))
    weights = {
        f"{module}.lora_{half}.weight": tensor
        for module, update in adapter.updates.items()
        for half, tensor in (("A", update.down), ("B", update.up))
    }
    assert not set_peft_model_state_dict(beside, weights, adapter_name="default").unexpected_keys
    beside.set_adapters("default", weights=scale)

    assert (output_of(merged) - output_of(beside)).abs().max() < 1e-5
    assert (output_of(merged) - output_of(transformer)).abs().max() > 0.02  # the LoRA has an effect


def losses(transformer: Any, adapter: Adapter) -> dict[str, float]:
    """The loss of each way to add the update to bfloat16 weights, as a share of the update's norm."""
    weights = {name: tensor.bfloat16() for name, tensor in transformer.state_dict().items()}
    squares: Counter[str] = Counter()
    for name, tensor in fuse_lora(weights.items(), adapter):
        weight, update = weights[name], adapter.updates.get(name.removesuffix(".weight"))
        if update is None:
            assert tensor is weight
            continue
        change = adapter.scaling * (update.up.double() @ update.down.double())
        sums = {
            "update": weight.double() + 2 * change,
            "ours": tensor,
            "in bfloat16": weight + change.bfloat16(),
            "ours as int8": as_int8(tensor),
            "merged into int8": as_int8(as_int8(weight) + change),
        }
        for way, total in sums.items():
            squares[way] += (total - (weight.double() + change)).square().sum().item()
    return {way: (square / squares["update"]) ** 0.5 for way, square in squares.items()}


def as_int8(weight: Tensor) -> Tensor:
    return dequantize(*quantize(weight), torch.float64)


def test_the_sum_loses_nothing_of_a_small_update(transformer: Any, adapter: Adapter) -> None:
    """The update is 2.6 % of the weights. `fuse.py` quotes these figures."""
    lost = losses(transformer, replace(adapter, scaling=adapter.scaling / 20))
    assert lost["ours"] < 1e-5
    assert lost["in bfloat16"] == pytest.approx(0.058, rel=0.1)
    assert lost["ours as int8"] == pytest.approx(0.150, rel=0.1)
    assert lost["merged into int8"] == pytest.approx(0.214, rel=0.1)


def test_the_input_weights_are_not_changed() -> None:
    weight = torch.zeros(6, 5)
    ((_, out),) = fuse_lora([("x.weight", weight)], single_module_adapter((6, 5), scaling=0.5))
    assert torch.equal(out, torch.full((6, 5), 0.5 * RANK))
    assert not weight.any()


def test_a_lora_for_a_wider_base_is_refused() -> None:
    with pytest.raises(
        LoraBaseMismatch, match=r"changes 6×5 numbers of x, but the base has 6×4 there: use the base it"
    ):
        list(fuse_lora([("x.weight", torch.zeros(6, 4))], single_module_adapter((6, 5))))


def test_a_lora_for_a_deeper_base_is_refused() -> None:
    with pytest.raises(
        LoraBaseMismatch, match="adapts x, which the base does not have: use the base it was trained on"
    ):
        list(fuse_lora([("y.weight", torch.zeros(6, 5))], single_module_adapter((6, 5))))


def test_a_module_is_not_adapted_twice() -> None:
    with pytest.raises(TensorsMismatch, match=r"has x\.weight twice"):
        list(fuse_lora([("x.weight", torch.zeros(6, 5))] * 2, single_module_adapter((6, 5))))


@pytest.mark.parametrize("side", ["up", "down", "both, but nothing between them"])
def test_a_module_that_the_lora_does_not_change_is_refused(side: str) -> None:
    """Other programs load such a file without an error. In a new adapter `up` is zero."""
    adapter = single_module_adapter((6, 5), rank=2)
    update = adapter.updates["x"]
    if side == "up":
        update.up.zero_()
    elif side == "down":
        update.down.zero_()
    else:
        update.up[:, 0] = update.down[1] = 0
    with pytest.raises(LoraWithoutEffect, match="does not change x: train it longer, or without this module"):
        list(fuse_lora([("x.weight", torch.zeros(6, 5))], adapter))


def test_an_error_closes_the_source() -> None:
    """A stream has threads that end when it is closed."""
    closed = []

    def source() -> Iterator[tuple[str, Tensor]]:
        try:
            yield "y.weight", torch.zeros(1)
            yield "x.weight", torch.zeros(6, 4)
        finally:
            closed.append(True)

    with pytest.raises(LoraBaseMismatch):
        list(fuse_lora(source(), single_module_adapter((6, 5))))
    assert closed
