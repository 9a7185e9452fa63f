"""Our transformer against diffusers' own, with the same weights."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

import pytest
import torch
from diffusers import HiDreamImageTransformer2DModel
from diffusers.models.transformers.transformer_hidream_image import MOEFeedForwardSwiGLU
from safetensors.torch import load_file
from torch import Tensor
from torch._dynamo.utils import counters

from onbrand.config import REPOSITORY
from onbrand.errors import NetworkConfigInvalid
from onbrand.hidream.benchmark.configurations import HIDREAM_I1
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.network.moe import RoutedExperts
from onbrand.hidream.network.transformer import compile_blocks, empty_transformer, offload_blocks
from onbrand.hidream.weights.load_state import load_state
from tests.integration.hidream.networks import error, inputs, lively_transformer, ours, output

MINI = REPOSITORY / "models" / "mini" / "transformer"
WIDTH = 32


@pytest.fixture(scope="module")
def theirs() -> Any:
    return lively_transformer()


def experts(gate: Tensor | None = None) -> tuple[MOEFeedForwardSwiGLU, RoutedExperts]:
    """diffusers' layer and ours, with the same weights."""
    torch.manual_seed(0)
    layer = MOEFeedForwardSwiGLU(WIDTH, 4 * WIDTH, 4, 2).eval().requires_grad_(False)
    if gate is not None:
        layer.gate.weight.copy_(gate)
    weights = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    mine = RoutedExperts(WIDTH, 4 * WIDTH, 4, 2).requires_grad_(False)
    load_state(mine, weights.items())
    return layer, mine


@pytest.mark.parametrize("batch", [1, 4])
def test_it_equals_diffusers_in_float32(theirs: Any, batch: int) -> None:
    exact = output(theirs, batch)

    assert error(output(ours(theirs, Precision.FLOAT32), batch), exact) < 1e-5  # measured: equal in every bit


@pytest.mark.parametrize("batch", [1, 4])
def test_it_equals_diffusers_in_bfloat16(batch: int) -> None:
    theirs = lively_transformer().to(torch.bfloat16)
    exact = output(theirs, batch, torch.bfloat16)

    # Measured: equal in every bit. Another CPU may add in another order. bfloat16 itself changes the output by 2.6 %.
    assert error(output(ours(theirs, Precision.BFLOAT16), batch, torch.bfloat16), exact) < 0.04


def test_experts_without_tokens_change_nothing() -> None:
    ones = torch.ones(WIDTH)
    layer, mine = experts(gate=torch.stack([-10 * ones, ones, -20 * ones, 2 * ones]))
    x = torch.rand(2, 9, WIDTH)  # no number is negative, so every token uses the second and the fourth expert

    assert set(layer.gate(x)[0].flatten().tolist()) == {1, 3}
    assert error(mine(x), layer(x)) < 1e-6


def test_a_single_token_finds_its_experts() -> None:
    layer, mine = experts()
    x = torch.randn(1, 1, WIDTH)

    assert error(mine(x), layer(x)) < 1e-6


def test_without_routed_experts_it_is_the_mini_model() -> None:
    theirs = HiDreamImageTransformer2DModel.from_pretrained(MINI, local_files_only=True).eval()
    config = json.loads((MINI / "config.json").read_text(encoding="utf-8"))
    mine = empty_transformer(config, Precision.FLOAT32).to_empty(device="cpu")
    shards = (load_file(path).items() for path in MINI.glob("*.safetensors"))
    load_state(mine, chain.from_iterable(shards))

    assert error(output(mine, 2), output(theirs, 2)) < 1e-5


def test_blocks_compile_without_graph_breaks_and_give_the_same_output(theirs: Any) -> None:
    mine = ours(theirs, Precision.BFLOAT16)
    eager = output(mine, 2, torch.bfloat16)
    counters.clear()

    compile_blocks(mine, backend="aot_eager")

    assert error(output(mine, 2, torch.bfloat16), eager) < 0.04
    assert counters["stats"]["unique_graphs"] == 2  # one for each kind of block, although there are three blocks
    assert not counters["graph_break"]


def test_compiled_blocks_accept_all_batch_sizes_of_a_worker(theirs: Any) -> None:
    mine = ours(theirs, Precision.BFLOAT16)
    compile_blocks(mine, backend="eager")

    for batch in (1, 2, 3, 4, 8):  # smaller after an out-of-memory error, doubled by guidance
        output(mine, batch, torch.bfloat16)


@pytest.mark.parametrize("precision", [Precision.BFLOAT16, Precision.INT8])
def test_a_step_never_waits_for_the_device(theirs: Any, precision: Precision) -> None:
    """The meta device has no values. Reading a number from it, as diffusers does in each block, raises."""
    mine = empty_transformer(theirs.config, precision)

    (result,) = mine(**inputs(theirs.config, 4, torch.bfloat16, device="meta"))

    assert result.shape == (4, 4, 16, 16)


def test_latents_that_are_not_square_are_refused(theirs: Any) -> None:
    mine = ours(theirs, Precision.FLOAT32)
    step = inputs(theirs.config, 1)
    step["hidden_states"] = step["hidden_states"][..., :8]

    with pytest.raises(ValueError, match="only square pictures"):
        mine(**step)


@pytest.mark.parametrize(
    "change",
    [
        {"caption_channels": None},
        {"attention_head_dim": "wide"},
        {"num_layers": 2.5},
        {"llama_layers": [0, 1]},
        {"num_attention_heads": 1, "attention_head_dim": 12},  # a width that the grouped product does not support
    ],
)
def test_the_configuration_of_another_network_is_refused(theirs: Any, change: dict[str, Any]) -> None:
    with pytest.raises(NetworkConfigInvalid, match=r"config\.json"):
        empty_transformer({**theirs.config, **change}, Precision.FLOAT32)


@pytest.mark.parametrize(("precision", "gigabytes"), [(Precision.BFLOAT16, 34.2), (Precision.INT8, 20.2)])
def test_hidream_i1_has_its_parameters_and_its_size(precision: Precision, gigabytes: float) -> None:
    tensors = empty_transformer(HIDREAM_I1["transformer"], precision).state_dict()

    assert sum(tensor.nbytes for tensor in tensors.values()) / 1e9 == pytest.approx(gigabytes, abs=0.05)
    counted = sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith("_scale"))
    assert counted == MODELS["hidream-i1-full"].components["transformer"].parameters


def test_offloaded_blocks_give_the_same_output() -> None:
    """There is only one device here, so moving blocks between two devices is not tested."""
    theirs = lively_transformer()
    exact = output(theirs, 1)
    transformer = ours(theirs, Precision.FLOAT32)
    offload_blocks(transformer, torch.device("cpu"))
    assert error(output(transformer, 1), exact) < 1e-5
    quantized = ours(theirs, Precision.INT8, torch.float32)
    expected = output(quantized, 1)
    offload_blocks(quantized, torch.device("cpu"))
    assert torch.equal(output(quantized, 1), expected)
