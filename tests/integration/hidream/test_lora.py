"""Reading a LoRA file: known kinds give the same matrices, and every wrong file is refused with the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.training_utils import _collate_lora_metadata
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from onbrand.errors import LoraInvalid, LoraManifestMismatch, WeightsMissing
from onbrand.hidream.weights.lora import describe, read_adapter
from onbrand.packs.manifest import Lora
from onbrand.storage.files import LocalFolder
from tests.tiny import ALPHA, RANK, adapted_modules, tiny_lora, tiny_pipeline

Weights = dict[str, Tensor]
QUERY = "double_stream_blocks.0.block.attn1.to_q"
DOWN, UP = f"transformer.{QUERY}.lora_A.weight", f"transformer.{QUERY}.lora_B.weight"


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return tiny_pipeline()


@pytest.fixture(scope="module")
def lora(pipeline: Any) -> Lora:
    """The LoRA as the manifest describes it."""
    return Lora("lora.safetensors", RANK, ALPHA, 0.5, adapted_modules(pipeline.transformer))


@pytest.fixture(scope="module")
def original(pipeline: Any) -> Weights:
    return tiny_lora(pipeline.transformer)


@pytest.fixture
def weights(original: Weights) -> Weights:
    """A good LoRA, which a test may change."""
    return {key: tensor.clone() for key, tensor in original.items()}


def written(directory: Path, weights: Weights, settings: Any = None) -> Path:
    path = directory / "lora.safetensors"
    text = settings if isinstance(settings, str) else json.dumps(settings)
    save_file(weights, path, {"format": "pt"} | ({} if settings is None else {"lora_adapter_metadata": text}))
    return path


def renamed(weights: Weights, change: Callable[[str], str]) -> Weights:
    return {change(key): tensor for key, tensor in weights.items()}


def as_comfyui(key: str) -> str:
    key = key.replace("transformer.", "diffusion_model.", 1)
    return key.replace("lora_A", "lora_down").replace("lora_B", "lora_up")


def with_alphas(weights: Weights, alpha: float) -> Weights:
    """With a number for each module, as ComfyUI writes it."""
    downs = [key for key in weights if "lora_down" in key]
    return weights | {key.replace("lora_down.weight", "alpha"): torch.tensor(alpha) for key in downs}


def without_prefix(key: str) -> str:
    return key.removeprefix("transformer.")


STYLES: dict[str, Callable[[Weights], Weights]] = {
    "diffusers": lambda weights: weights,
    "ai-toolkit": lambda weights: renamed(weights, lambda key: key.replace("transformer.", "diffusion_model.", 1)),
    "comfyui": lambda weights: renamed(weights, as_comfyui),
    "comfyui with alpha": lambda weights: with_alphas(renamed(weights, as_comfyui), ALPHA),
    "peft": lambda weights: renamed(weights, without_prefix),
    "bfloat16": lambda weights: {key: tensor.bfloat16() for key, tensor in weights.items()},
}


@pytest.mark.parametrize("style", STYLES)
def test_every_known_naming_gives_the_same_matrices(tmp_path: Path, original: Weights, lora: Lora, style: str) -> None:
    adapter = read_adapter(written(tmp_path, STYLES[style](original)), lora)
    assert adapter.updates.keys() == set(lora.adapted_modules)
    exact = torch.bfloat16 if style == "bfloat16" else torch.float32
    for module, update in adapter.updates.items():
        for tensor, half in ((update.down, "A"), (update.up, "B")):
            assert tensor.dtype == torch.float32
            assert torch.equal(tensor, original[f"transformer.{module}.lora_{half}.weight"].to(exact).float())


def test_the_scaling_is_computed_from_scale_alpha_and_rank(tmp_path: Path, original: Weights, lora: Lora) -> None:
    path = written(tmp_path, original)
    assert read_adapter(path, lora).scaling == 0.5 * ALPHA / RANK
    assert read_adapter(path, replace(lora, scale=1.0, alpha=4.0)).scaling == 1.0


def test_a_file_is_described_by_its_rank_modules_and_alpha(tmp_path: Path, original: Weights, lora: Lora) -> None:
    found = describe(written(tmp_path, original))
    assert (found.rank, found.alpha, found.modules) == (RANK, None, lora.adapted_modules)
    assert describe(written(tmp_path, STYLES["comfyui with alpha"](original))).alpha == ALPHA
    assert describe(written(tmp_path, original, {"transformer.lora_alpha": 3})).alpha == 3


def test_a_file_written_by_diffusers_and_peft_is_read(tmp_path: Path, lora: Lora) -> None:
    """`save_lora_weights` with the settings that diffusers' newer trainers pass to it."""
    pipeline = tiny_pipeline()
    pipeline.transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(lora.adapted_modules)))
    pipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(pipeline.transformer),
        **_collate_lora_metadata({"transformer": pipeline.transformer}),
    )
    path = tmp_path / "pytorch_lora_weights.safetensors"
    assert describe(path).alpha == ALPHA
    assert read_adapter(path, lora).updates.keys() == set(lora.adapted_modules)


def kohya(key: str) -> str:
    module, half, end = as_comfyui(key).removeprefix("diffusion_model.").rsplit(".", 2)
    return f"lora_unet_{module.replace('.', '_')}.{half}.{end}"


def without(weights: Weights, *gone: str) -> Weights:
    return {key: tensor for key, tensor in weights.items() if key not in gone}


def with_number(weights: Weights, value: float) -> Weights:
    weights[UP][0, 0] = value
    return weights


def of_rank(weights: Weights, rank: int, module: str = "") -> Weights:
    for key in (key for key in weights if module in key):
        dim = 0 if "lora_A" in key else 1
        weights[key] = weights[key].repeat_interleave(2, dim).narrow(dim, 0, rank).contiguous()
    return weights


WRONG_LORAS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "kohya's names": (
        lambda weights: renamed(weights, kohya),
        r"has the key names of kohya's scripts.* \(lora_unet_double_stream_blocks_0_\S+\): export it as a plain LoRA",
    ),
    "peft's own names": (
        lambda weights: renamed(weights, lambda key: "base_model.model." + without_prefix(key)),
        "has the key names of peft's save_pretrained",
    ),
    "a text encoder too": (
        lambda weights: weights | {"text_encoder.layers.0.lora_A.weight": torch.ones(RANK, 2)},
        "adapts a text encoder, but only the transformer can be",
    ),
    "DoRA of diffusers": (
        lambda weights: weights | {f"transformer.{QUERY}.lora_magnitude_vector.weight": torch.ones(64)},
        "is a DoRA",
    ),
    "DoRA of ComfyUI": (
        lambda weights: renamed(weights, as_comfyui) | {f"diffusion_model.{QUERY}.dora_scale": torch.ones(64)},
        "is a DoRA",
    ),
    "LoKr": (lambda _: {f"diffusion_model.{QUERY}.lokr_w1": torch.ones(8, 8)}, "is a LoKr, LoHa or another"),
    "LoHa": (lambda _: {f"diffusion_model.{QUERY}.hada_w1_a": torch.ones(64, 4)}, "is a LoKr, LoHa or another"),
    "one key of another kind": (
        lambda weights: weights | {f"transformer.{QUERY}.diff_b": torch.ones(64)},
        rf"has {QUERY}\.diff_b, which is not part of a LoRA",
    ),
    "another prefix for one key": (
        lambda weights: weights | {"unet.x.lora_A.weight": torch.ones(RANK, 2)},
        r"mixes transformer\.… with other names \(unet\.x",
    ),
    "both spellings of a matrix": (
        lambda weights: weights | {f"transformer.{QUERY}.lora_down.weight": weights[DOWN].clone()},
        f"has the same matrix twice .*{QUERY}",
    ),
    "a renamed module": (
        lambda weights: renamed(weights, lambda key: key.replace(QUERY, f"{QUERY}uery")),
        f"adapts {QUERY}uery, which the pack's manifest does not name: restore the pack's own file, or build",
    ),
    "a missing module": (
        lambda weights: without(weights, DOWN, UP),
        f"does not adapt {QUERY}, which the pack's manifest names",
    ),
    "a routed expert": (
        lambda weights: renamed(weights, lambda key: key.replace("ff_i.shared_experts", "ff_i.experts.0")),
        r"adapts \S+\.ff_i\.experts\.0\.w1, which the pack's manifest does not name",
    ),
    "a router": (
        lambda weights: weights | {f"transformer.a.ff_i.gate.lora_{half}.weight": torch.ones(4, 4) for half in "AB"},
        r"adapts the router a\.ff_i\.gate, which chooses the experts",
    ),
    "half a module": (lambda weights: without(weights, UP), f"has for {QUERY} only one of the two matrices"),
    "another rank": (lambda weights: of_rank(weights, 2), f"has rank 2, but the pack's manifest says {RANK}"),
    "two ranks": (
        lambda weights: of_rank(weights, 2, QUERY + "."),
        rf"has rank {RANK} in \S+, but 2 in {QUERY}: train it with one rank",
    ),
    "halves of different rank": (
        lambda weights: weights | {UP: torch.ones(64, 2)},
        f"has for {QUERY} two matrices that do not fit together",
    ),
    "another alpha": (
        lambda weights: with_alphas(renamed(weights, as_comfyui), 4.0),
        f"has alpha 4, but the pack's manifest says {ALPHA:g}",
    ),
    "an alpha for some modules only": (
        lambda weights: renamed(weights, as_comfyui) | {f"diffusion_model.{QUERY}.alpha": torch.tensor(ALPHA)},
        "has an alpha for some modules, but not for all",
    ),
    "an alpha of its own": (
        lambda weights: (
            with_alphas(renamed(weights, as_comfyui), ALPHA) | {f"diffusion_model.{QUERY}.alpha": torch.tensor(4.0)}
        ),
        rf"has alpha {ALPHA:g} in \S+, but 4 in {QUERY}: train it with one alpha",
    ),
    "an alpha that is no number": (
        lambda weights: with_alphas(renamed(weights, as_comfyui), torch.nan),
        "has alpha nan in",
    ),
    "an alpha of two numbers": (
        lambda weights: weights | {f"transformer.{QUERY}.alpha": torch.ones(2)},
        "an alpha that is not one number",
    ),
    "a convolution": (
        lambda weights: weights | {DOWN: weights[DOWN][:, :, None, None].contiguous()},
        f"has for {QUERY} something that is not a matrix: only linear layers",
    ),
    "no rows": (
        lambda weights: weights | {DOWN: torch.ones(0, 64), UP: torch.ones(64, 0)},
        "two matrices that do not fit together",
    ),
    "NaN": (
        lambda weights: with_number(weights, torch.nan),
        f"has for {QUERY} a number that is not finite: its training",
    ),
    "infinity": (lambda weights: with_number(weights, -torch.inf), "a number that is not finite"),
    "whole numbers": (
        lambda weights: weights | {UP: weights[UP].to(torch.int8)},
        rf"has transformer\.{QUERY}\.lora_B\.weight as I8, not as 32-bit or 16-bit float",
    ),
    "nothing": (lambda _: {}, "has no matrices"),
    "a name with a line break": (
        lambda weights: weights | {"transformer.a\nb": torch.ones(1)},
        r"has a\\nb, which is not part of a LoRA",
    ),
}


@pytest.mark.parametrize("how", WRONG_LORAS)
def test_a_lora_that_is_wrong_is_refused_with_the_reason(
    tmp_path: Path, weights: Weights, lora: Lora, how: str
) -> None:
    change, sentence = WRONG_LORAS[how]
    with pytest.raises((LoraInvalid, LoraManifestMismatch), match=rf"^lora\.safetensors .*{sentence}") as caught:
        read_adapter(written(tmp_path, change(weights)), lora)
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message


WRONG_HEADERS: dict[str, tuple[Any, str]] = {
    "another alpha": ({"transformer.lora_alpha": 16}, f"has alpha 16, but the pack's manifest says {ALPHA:g}"),
    "another rank": ({"transformer.r": 16}, f"has rank {RANK} in .*, but 16 in its header"),
    "ranks by module": ({"transformer.rank_pattern": {"to_q": 8}}, "was trained with rank_pattern, which changes"),
    "alphas by module": ({"transformer.alpha_pattern": {"to_q": 8}}, "was trained with alpha_pattern"),
    "rsLoRA": ({"transformer.use_rslora": True}, "was trained with use_rslora"),
    "DoRA": ({"transformer.use_dora": True}, "was trained with use_dora"),
    "an alpha that is text": ({"transformer.lora_alpha": "8"}, "has lora_alpha in its header that is not a number"),
    "an infinite alpha": ({"transformer.lora_alpha": float("inf")}, "settings in its header that cannot be read"),
    "an alpha that no float holds": ({"transformer.lora_alpha": 10**400}, "has lora_alpha in its header that is too"),
    "PiSSA": ({"transformer.init_lora_weights": "pissa"}, r'with init_lora_weights "pissa", which changes'),
    "OLoRA": ({"transformer.init_lora_weights": "olora"}, "was trained with init_lora_weights"),
    "LoKr by its header": ({"transformer.peft_type": "LOKR"}, 'was trained with peft_type "LOKR"'),
    "repeated layers": ({"transformer.layer_replication": [[0, 1], [0, 1]]}, "was trained with layer_replication"),
    "a bias of the LoRA": ({"transformer.lora_bias": True}, "was trained with lora_bias"),
    "trained biases": ({"transformer.bias": "all"}, 'was trained with bias "all"'),
    "whole modules": ({"transformer.modules_to_save": ["proj"]}, "was trained with modules_to_save"),
    "a setting of tomorrow": ({"transformer.use_novelty": 1}, "was trained with use_novelty, .* does not know"),
    "a setting twice": ('{"r": 4, "r": 16}', "settings in its header that cannot be read"),
    "a setting under two names": ({"r": 4, "transformer.r": 4}, "has a setting in its header twice"),
    "no JSON": ("{", "settings in its header that cannot be read"),
    "no object": ([], "settings in its header that cannot be read"),
}


@pytest.mark.parametrize("how", WRONG_HEADERS)
def test_contradicting_settings_in_the_header_are_refused(
    tmp_path: Path, original: Weights, lora: Lora, how: str
) -> None:
    settings, sentence = WRONG_HEADERS[how]
    with pytest.raises((LoraInvalid, LoraManifestMismatch), match=sentence):
        read_adapter(written(tmp_path, original, settings), lora)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("ss_network_alpha", "16", f"has alpha 16, but the pack's manifest says {ALPHA:g}"),
        ("ss_network_alpha", "much", "has ss_network_alpha in its header that is not a number"),
        ("ss_network_dim", "16", f"has rank {RANK} in .*, but 16 in ss_network_dim"),
    ],
)
def test_what_kohyas_header_says_must_agree(
    tmp_path: Path, original: Weights, lora: Lora, key: str, value: str, sentence: str
) -> None:
    save_file(original, tmp_path / "lora.safetensors", {key: value})
    with pytest.raises((LoraInvalid, LoraManifestMismatch), match=sentence):
        read_adapter(tmp_path / "lora.safetensors", lora)


def test_kohyas_header_gives_the_alpha_that_the_matrices_do_not_have(tmp_path: Path, original: Weights) -> None:
    header = {"ss_network_alpha": "8.0", "ss_network_dim": str(RANK), "ss_network_module": "networks.lora"}
    save_file(original, tmp_path / "lora.safetensors", header)
    assert describe(tmp_path / "lora.safetensors").alpha == 8


def test_a_header_with_a_key_twice_is_refused(tmp_path: Path, original: Weights, lora: Lora) -> None:
    path = written(tmp_path, original)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip()
    entry = header[header.index(b'"' + DOWN.encode()) : -1]
    entry = entry[: entry.index(b"}") + 1]
    header = header[:-1] + b"," + entry + b"}"
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
    with pytest.raises(LoraInvalid, match="its header is ambiguous: a key occurs twice"):
        read_adapter(path, lora)


def test_a_pipe_is_not_waited_for(tmp_path: Path, lora: Lora) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsMissing, match=r"pipe is not a file"):
        read_adapter(tmp_path / "pipe", lora)
    with pytest.raises(WeightsMissing, match=r"pipe is missing"):
        LocalFolder(tmp_path).read("pipe")


def test_a_file_whose_name_is_not_utf8_is_read(tmp_path: Path, original: Weights, lora: Lora) -> None:
    path = written(tmp_path, original).rename(tmp_path / os.fsdecode(b"br\xffnd.safetensors"))
    assert read_adapter(path, lora).updates.keys() == set(lora.adapted_modules)
    path.write_bytes(b"")
    with pytest.raises(LoraInvalid, match=r"^br\\udcffnd\.safetensors is empty"):
        describe(path)


def truncated(path: Path, _: Weights) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def truncated_in_the_header(path: Path, _: Weights) -> None:
    path.write_bytes(path.read_bytes()[:100])


def longer(path: Path, _: Weights) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def emptied(path: Path, _: Weights) -> None:
    path.write_bytes(b"")


def pickled(path: Path, weights: Weights) -> None:
    torch.save(weights, path)


def pickled_in_the_old_format(path: Path, weights: Weights) -> None:
    torch.save(weights, path, _use_new_zipfile_serialization=False)


def web_page(path: Path, _: Weights) -> None:
    """The usual result of a download without the necessary sign-in."""
    path.write_bytes(b"<!doctype html><title>Sign in</title>")


DAMAGE: dict[Callable[[Path, Weights], None], str] = {
    truncated: r"^lora\.safetensors is cut short or damaged \(its tensors do not .*\): copy the LoRA again\.$",
    truncated_in_the_header: "is cut short or damaged",
    longer: "is cut short or damaged",
    emptied: r"^lora\.safetensors is empty: copy the LoRA again\.$",
    pickled: "is a pickle, which can run code, so it is not read: export it",
    pickled_in_the_old_format: "is a pickle",
    web_page: "is not a safetensors file: export it",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_damaged_file_or_another_format_is_refused(
    tmp_path: Path, weights: Weights, lora: Lora, damage: Callable[[Path, Weights], None]
) -> None:
    path = written(tmp_path, weights)
    damage(path, weights)
    with pytest.raises(LoraInvalid, match=DAMAGE[damage]):
        read_adapter(path, lora)


def test_a_missing_file_is_named(tmp_path: Path, lora: Lora) -> None:
    with pytest.raises(WeightsMissing, match=r"gone\.safetensors cannot be read \(No such file"):
        read_adapter(tmp_path / "gone.safetensors", lora)


def test_routed_experts_may_be_adapted_if_the_manifest_names_them(tmp_path: Path, weights: Weights, lora: Lora) -> None:
    expert = f"{QUERY.removesuffix('.attn1.to_q')}.ff_i.experts.0.w1"
    weights |= {f"transformer.{expert}.lora_{half}.weight": torch.ones(4, 4) for half in "AB"}
    modules = (*lora.adapted_modules, expert)
    assert expert in read_adapter(written(tmp_path, weights), replace(lora, adapted_modules=modules)).updates
