"""Loading tensors into an allocated network: each goes to its parameter, and wrong tensors are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onbrand.errors import TensorsMismatch
from onbrand.hidream.models import Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.weights.load_state import load_state
from tests.integration.hidream.networks import error, lively_transformer, ours, output

BLOCK = "single_stream_blocks.0.block"
EXPERT = f"{BLOCK}.ff_i.experts.2.w1.weight"
QUERY = f"{BLOCK}.attn1.to_q.weight"


@pytest.fixture(scope="module")
def theirs() -> Any:
    return lively_transformer()


def loaded(theirs: Any, tensors: list[tuple[str, Tensor]], precision: Precision = Precision.FLOAT32) -> Any:
    transformer = empty_transformer(theirs.config, precision).to_empty(device="cpu")
    load_state(transformer, tensors)
    return transformer


def changed(theirs: Any, name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    return list({**theirs.state_dict(), name: tensor}.items())


@pytest.mark.parametrize("precision", list(Precision))
def test_its_own_state_dict_round_trips(theirs: Any, precision: Precision) -> None:
    stored = ours(theirs, precision).state_dict()

    again = loaded(theirs, list(stored.items()), precision).state_dict()

    assert all(torch.equal(again[name], tensor) for name, tensor in stored.items())
    assert again.keys() == stored.keys()


def test_the_order_of_arrival_does_not_matter(theirs: Any) -> None:
    backwards = list(reversed(theirs.state_dict().items()))

    assert error(output(loaded(theirs, backwards), 1), output(theirs, 1)) < 1e-5


def test_numbers_are_cast_to_the_networks_own_dtype(theirs: Any) -> None:
    transformer = loaded(theirs, list(theirs.state_dict().items()), Precision.BFLOAT16)

    assert torch.equal(transformer.state_dict()[QUERY], theirs.state_dict()[QUERY].to(torch.bfloat16))


@pytest.mark.parametrize("name", [QUERY, EXPERT, f"{BLOCK}.attn1.q_rms_norm.weight", "final_layer.linear.bias"])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.INT8])
def test_a_missing_tensor_is_refused(theirs: Any, name: str, precision: Precision) -> None:
    tensors = [(other, tensor) for other, tensor in theirs.state_dict().items() if other != name]

    with pytest.raises(TensorsMismatch, match="lack "):
        loaded(theirs, tensors, precision)


def test_8_bit_weights_without_their_scales_are_refused(theirs: Any) -> None:
    stored = ours(theirs, Precision.INT8).state_dict()
    del stored[f"{BLOCK}.ff_i.w13_scale"]

    with pytest.raises(TensorsMismatch, match=r"lack .*w13_scale or a part of it"):
        loaded(theirs, list(stored.items()), Precision.INT8)


@pytest.mark.parametrize("name", ["double_stream_blocks.9.weight", f"{BLOCK}.ff_i.experts.4.w1.weight"])
def test_an_unknown_tensor_is_refused(theirs: Any, name: str) -> None:
    with pytest.raises(TensorsMismatch, match="which the model does not have"):
        loaded(theirs, changed(theirs, name, torch.zeros(1)))


def test_a_tensor_may_be_ignored(theirs: Any) -> None:
    transformer = empty_transformer(theirs.config, Precision.FLOAT32).to_empty(device="cpu")

    load_state(
        transformer, changed(theirs, "lm_head.weight", torch.zeros(1)), is_ignored=lambda name: name == "lm_head.weight"
    )

    assert torch.equal(transformer.state_dict()[QUERY], theirs.state_dict()[QUERY])


@pytest.mark.parametrize("name", [EXPERT, "x_embedder.proj.weight"])
def test_a_tensor_of_another_shape_is_refused(theirs: Any, name: str) -> None:
    transposed = theirs.state_dict()[name].T

    with pytest.raises(TensorsMismatch, match=r"with the shape .*, but the model needs"):
        loaded(theirs, changed(theirs, name, transposed))


def test_a_tensor_that_would_only_broadcast_is_refused(theirs: Any) -> None:
    with pytest.raises(TensorsMismatch, match=r"with the shape 1, but the model needs 64"):
        loaded(theirs, changed(theirs, f"{BLOCK}.attn1.to_q.bias", torch.zeros(1)))


@pytest.mark.parametrize("name", [QUERY, EXPERT])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.INT8])
def test_a_tensor_that_comes_twice_is_refused(theirs: Any, name: str, precision: Precision) -> None:
    tensors = list(theirs.state_dict().items())

    with pytest.raises(TensorsMismatch, match="twice"):
        loaded(theirs, [(name, theirs.state_dict()[name]), *tensors], precision)


def test_experts_in_both_layouts_at_once_are_refused(theirs: Any) -> None:
    name = f"{BLOCK}.ff_i.w2"
    stack = ours(theirs, Precision.FLOAT32).state_dict()[name]

    with pytest.raises(TensorsMismatch, match="twice"):
        loaded(theirs, changed(theirs, name, stack))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float8_e4m3fn])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_numbers_that_cannot_be_converted_are_refused(theirs: Any, dtype: torch.dtype, precision: Precision) -> None:
    with pytest.raises(TensorsMismatch, match="cannot be converted"):
        loaded(theirs, changed(theirs, QUERY, theirs.state_dict()[QUERY].to(dtype)), precision)


def test_numbers_that_are_not_finite_are_not_quantized(theirs: Any) -> None:
    damaged = theirs.state_dict()[EXPERT].clone()
    damaged[0, 0] = torch.nan

    with pytest.raises(TensorsMismatch, match="not finite"):
        loaded(theirs, changed(theirs, EXPERT, damaged), Precision.INT8)


def test_a_network_without_memory_is_refused(theirs: Any) -> None:
    with pytest.raises(ValueError, match="must have memory"):
        load_state(empty_transformer(theirs.config, Precision.FLOAT32), theirs.state_dict().items())


def test_tied_parameters_need_only_one_tensor() -> None:
    network = nn.ModuleDict({"shared": nn.Embedding(4, 2), "embed_tokens": nn.Embedding(4, 2)})
    network["embed_tokens"].weight = network["shared"].weight

    load_state(network, [("shared.weight", torch.ones(4, 2))])

    assert torch.equal(network.state_dict()["embed_tokens.weight"], torch.ones(4, 2))
