"""The layers that learn: which they are, in which precision, and that their gradient is the true one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import HiDreamImageTransformer2DModel
from peft.tuners.lora import LoraLayer
from torch import Tensor

from onbrand.hidream.benchmark.configurations import HIDREAM_I1
from onbrand.hidream.models import MINI_TRAINING, MODELS, LoraTraining, Precision
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.text.encode import Embeddings
from onbrand.hidream.weights.fuse import fuse_lora
from onbrand.hidream.weights.lora import read_adapter
from onbrand.packs.manifest import Lora
from onbrand.training.ema import trained
from onbrand.training.lora import add_lora, set_lora, set_scale, target_modules, write_lora
from onbrand.training.plan import trainable_transformer
from onbrand.training.velocity import training_attention, velocity
from tests.integration.training.tiny_mini import CHANNELS, CONFIG, tiny_weights

RANK, ALPHA = 4, 8.0
# As the tiny network, which has routed experts, is adapted; the mini's own pattern has none of them.
ROW = MODELS["hidream-i1-full"].training
CPU = torch.device("cpu")


def targets() -> str:
    """HiDream's pattern."""
    assert isinstance(ROW, LoraTraining)
    return ROW.targets


def texts(count: int) -> Embeddings:
    """Random embeddings of the tiny network's widths."""
    generator = torch.Generator().manual_seed(5)
    llama3 = torch.randn(6, count, 3, 384, generator=generator)
    pooled = torch.randn(count, 384, generator=generator)
    return Embeddings(llama3, pooled[:, None], pooled)


def adapted(precision: Precision = Precision.FLOAT32) -> Any:
    """The tiny network with a LoRA that has an effect already, so that no gradient is zero."""
    network = tiny_weights(precision)
    add_lora(network, targets(), RANK, ALPHA, seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in trained(network).items():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


def loss_of(network: Any, dtype: torch.dtype = torch.float32) -> Callable[[], Tensor]:
    """A fixed loss of the network's output."""
    generator = torch.Generator().manual_seed(3)
    latents, target = (torch.randn(2, CHANNELS, 8, 8, generator=generator) for _ in range(2))
    given = texts(2)
    inputs = Embeddings(given.llama3.to(dtype), given.t5.to(dtype), given.pooled.to(dtype))

    def loss() -> Tensor:
        return (velocity(network, latents, torch.tensor([0.3, 0.8]), inputs) - target).square().mean()

    return loss


def gradients(network: Any, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Of the LoRA's matrices."""
    with training_attention(CPU):
        loss_of(network, dtype)().backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad for name, parameter in trained(network).items() if parameter.grad is not None}


@pytest.mark.parametrize(("model", "config", "count"), [("hidream-i1-full", HIDREAM_I1["transformer"], 448)])
def test_hidream_s_lora_adapts_448_modules_and_no_routed_expert(model: str, config: Any, count: int) -> None:
    row = MODELS[model].training
    assert row is not None
    for precision in (Precision.BFLOAT16, Precision.INT8):
        names = target_modules(trainable_transformer(config, precision), row.targets)
        assert len(names) == count
        assert not [name for name in names if ".experts." in name or "gate" in name]


def test_the_mini_s_lora_adapts_what_its_pack_does() -> None:
    import json

    from onbrand.config import REPOSITORY
    from onbrand.packs.manifest import load_pack

    mini = REPOSITORY / "models" / "mini"
    network = empty_transformer(json.loads((mini / "transformer" / "config.json").read_text()), Precision.FLOAT32)
    assert target_modules(network, MINI_TRAINING.targets) == load_pack(mini / "sample").manifest.lora.adapted_modules


@pytest.mark.parametrize("precision", list(Precision))
def test_the_lora_alone_is_trained_and_in_float32(precision: Precision) -> None:
    network = adapted(precision)
    learning = trained(network)
    assert all(".lora_" in name for name in learning)
    assert {parameter.dtype for parameter in learning.values()} == {torch.float32}
    assert len(learning) == 2 * len(target_modules(tiny_weights(precision), targets()))


def test_a_new_lora_changes_nothing() -> None:
    network = tiny_weights()
    before = loss_of(network)()
    add_lora(network, targets(), RANK, ALPHA, seed=1)
    assert torch.equal(loss_of(network)(), before)


def test_the_gradient_is_that_of_finite_differences_through_routed_experts_too() -> None:
    network = adapted()
    found = gradients(network)
    assert len(found) == len(trained(network))
    for part in ("double_stream_blocks.0", "single_stream_blocks.0", "single_stream_blocks.1"):
        some = {name: grad for name, grad in found.items() if name.startswith(part)}
        norm = float(sum(grad.square().sum() for grad in some.values()) ** 0.5)
        slope = _slope(network, {name: grad / norm for name, grad in some.items()})
        assert slope == pytest.approx(norm, rel=0.005), part


def _slope(network: Any, direction: dict[str, Tensor], by: float = 1e-4) -> float:
    """How steep the loss is in a direction, measured. A longer way sends a token to another expert, which is a jump."""
    parameters, values = trained(network), []
    for sign in (1, -1):
        with torch.no_grad():
            for name, change in direction.items():
                parameters[name].add_(sign * by * change)
            values.append(loss_of(network)().item())
            for name, change in direction.items():
                parameters[name].sub_(sign * by * change)
    return (values[0] - values[1]) / (2 * by)


def test_gradient_checkpoints_change_no_gradient() -> None:
    plain, checkpointed = adapted(), adapted()
    checkpointed.enable_gradient_checkpointing()
    expected, found = gradients(plain), gradients(checkpointed)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_an_8_bit_base_gives_the_gradient_of_the_same_numbers_in_float32() -> None:
    network = trainable_transformer(CONFIG, Precision.INT8)
    assert any("adaLN" in name and parameter.dtype == torch.int8 for name, parameter in network.named_parameters())
    found = gradients(adapted(Precision.INT8), torch.bfloat16)
    assert len(found) == len(trained(adapted()))
    assert all(torch.isfinite(grad).all() and grad.any() for grad in found.values())


def test_the_file_is_what_was_trained_alpha_included(tmp_path: Path) -> None:
    network = adapted()
    weights = {name: parameter.detach() for name, parameter in trained(network).items()}
    write_lora(tmp_path / "lora.safetensors", weights, RANK, ALPHA)
    modules = target_modules(tiny_weights(), targets())
    adapter = read_adapter(tmp_path / "lora.safetensors", Lora("lora.safetensors", RANK, ALPHA, 0.5, modules))
    fused = tiny_weights()
    with torch.no_grad():
        for name, tensor in fuse_lora(list(tiny_weights().state_dict().items()), adapter):
            fused.state_dict()[name].copy_(tensor)
    set_scale(network, 0.5)
    assert loss_of(network)().item() == pytest.approx(loss_of(fused)().item(), rel=1e-5)
    other = adapted()
    set_lora(other, adapter)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in trained(other).items())


def test_diffusers_loads_the_file_with_its_own_alpha(tmp_path: Path) -> None:
    weights = {name: parameter.detach() for name, parameter in trained(adapted()).items()}
    write_lora(tmp_path / "lora.safetensors", weights, RANK, ALPHA)
    network = HiDreamImageTransformer2DModel.from_config(CONFIG)
    network.load_lora_adapter(tmp_path, weight_name="lora.safetensors", prefix="transformer", adapter_name="brand")
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, LoraLayer)}
    assert {name.removesuffix(".lora_A.weight") for name in weights if "lora_A" in name} == layers.keys()
    for name, layer in layers.items():
        assert layer.scaling["brand"] == ALPHA / RANK
        for half in ("lora_A", "lora_B"):
            assert torch.equal(getattr(layer, half)["brand"].weight, weights[f"{name}.{half}.weight"])


def test_scale_zero_is_the_bare_base() -> None:
    network = adapted()
    set_scale(network, 0.0)
    assert loss_of(network)().item() == pytest.approx(loss_of(tiny_weights())().item(), rel=1e-6)


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys, torch; from pathlib import Path; from onbrand.training.lora import write_lora\n"
        "weights = {'b.lora_A.weight': torch.ones(2, 3), 'a.lora_B.weight': torch.ones(3, 2)}\n"
        "write_lora(Path(sys.argv[1]), weights, 2, 4)"
    )
    for name in ("one", "two", "three"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True)
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1


def test_a_lora_of_another_network_is_not_taken(tmp_path: Path) -> None:
    write_lora(tmp_path / "lora", {"x.lora_A.weight": torch.ones(4, 3), "x.lora_B.weight": torch.ones(3, 4)}, 4, 4)
    adapter = read_adapter(tmp_path / "lora", Lora("lora", 4, 4, 1.0, ("x",)))
    with pytest.raises(ValueError, match="another network"):
        set_lora(adapted(), adapter)
