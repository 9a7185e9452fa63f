"""A brand pack made from a LoRA: whole, the same from the same inputs, and never a byte other than it was."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from onbrand.errors import (
    ConfigError,
    DataDirUnwritable,
    LoraBaseMismatch,
    LoraInvalid,
    WeightsMissing,
    WeightsUnusable,
)
from onbrand.hidream.load import probe_lora
from onbrand.hidream.models import MODELS
from onbrand.hidream.packaging.build import build_pack
from onbrand.packs.base import Base
from onbrand.packs.manifest import MANIFEST, BrandPack, Lora, Probe, load_pack
from tests.tiny import ALPHA, RANK, adapted_modules, tiny_base, tiny_lora, tiny_pipeline

FILES = [MANIFEST, "README.md", "lora.safetensors"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In diffusers' naming, without alpha."""
    path = tmp_path_factory.mktemp("trained") / "my-brand.safetensors"
    save_file(tiny_lora(tiny_pipeline().transformer), path)
    return path


@pytest.fixture(scope="module")
def pack(base: Base, lora_file: Path, tmp_path_factory: pytest.TempPathFactory) -> BrandPack:
    return built(base, lora_file, tmp_path_factory.mktemp("packs") / "pack")


def built(base: Base, lora_file: Path, destination: Path, **changed: Any) -> BrandPack:
    arguments: dict[str, Any] = {
        "name": "Tiny brand",
        "version": "1",
        "prompt_suffix": ", onbrand style",
        "alpha": ALPHA,
        "examples": ("a blue kettle",),
        "probe": probe_lora,
    }
    return build_pack(base, lora_file, destination, **arguments | changed)


def test_a_pack_is_whole_and_says_what_the_file_and_the_model_say(pack: BrandPack, base: Base, lora_file: Path) -> None:
    pack.verify()
    manifest = load_pack(pack.directory).manifest
    assert sorted(path.name for path in pack.directory.iterdir()) == sorted(FILES)
    assert pack.path("lora.safetensors").read_bytes() == lora_file.read_bytes()
    assert (manifest.base, manifest.base_model) == (base.id, "hidream-i1-dev")
    model = MODELS["hidream-i1-dev"]
    assert (manifest.steps, manifest.guidance_scale, manifest.shift) == (model.steps, model.guidance_scale, model.shift)
    modules = adapted_modules(tiny_pipeline().transformer)
    assert manifest.lora == Lora("lora.safetensors", RANK, ALPHA, 1.0, modules)
    assert math.dist(manifest.probe.base, manifest.probe.fused) > 0.01


def test_the_manifest_is_canonical_so_the_packs_id_is_its_checksum(pack: BrandPack) -> None:
    assert hashlib.sha256(pack.path(MANIFEST).read_bytes()).hexdigest() == pack.id


def test_the_same_inputs_give_the_same_bytes_and_another_input_another_id(
    pack: BrandPack, base: Base, lora_file: Path, tmp_path: Path
) -> None:
    again = built(base, lora_file, tmp_path / "again")
    assert again.id == pack.id
    assert [again.path(file).read_bytes() for file in FILES] == [pack.path(file).read_bytes() for file in FILES]
    assert built(base, lora_file, tmp_path / "weaker", scale=0.7).id != pack.id


def test_given_settings_go_before_the_models(base: Base, lora_file: Path, tmp_path: Path) -> None:
    manifest = built(base, lora_file, tmp_path / "x", steps=9, guidance_scale=2.5, shift=4.0).manifest
    assert (manifest.steps, manifest.guidance_scale, manifest.shift) == (9, 2.5, 4.0)


def test_the_card_says_what_it_is(pack: BrandPack) -> None:
    card = pack.path("README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nbase_model: "HiDream-ai/HiDream-I1-Dev"\n')
    assert '\ninstance_prompt: "onbrand style"\n' in card
    assert '\n  - text: "a blue kettle, onbrand style"\n' in card
    assert "\n# Tiny brand, version 1\n" in card
    assert f"rank {RANK}, alpha {ALPHA:g}, applied at scale 1 |" in card
    assert "| of these, routed experts and gates | 0 |" in card
    assert f"`{pack.manifest.base}`" in card
    assert f"| text_encoder_4 | meta-llama/Llama-3.1-8B-Instruct | {'0' * 40} | Llama 3.1 Community License |" in card


def test_the_files_own_alpha_is_taken(base: Base, lora_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(load_file(lora_file), path, {"lora_adapter_metadata": '{"transformer.lora_alpha": 3}'})
    assert built(base, path, tmp_path / "a", alpha=None).manifest.lora.alpha == 3
    assert built(base, path, tmp_path / "b", alpha=3.0).manifest.lora.alpha == 3
    with pytest.raises(ConfigError, match=r"x\.safetensors was trained with alpha 3: give the same, or none"):
        built(base, path, tmp_path / "c", alpha=8.0)


def test_an_alpha_that_nobody_says_is_asked_for(base: Base, lora_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"doesn't say its alpha, .* \(ai-toolkit's is the rank, here {RANK}\)"):
        built(base, lora_file, tmp_path / "x", alpha=None)


def test_a_folder_that_exists_is_left_alone(base: Base, lora_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists, and a brand pack never changes: name a folder that isn't there yet"):
        built(base, lora_file, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"steps": 0}, "steps"),
        ({"scale": 5.0}, r"lora\.scale"),
        ({"alpha": -1.0}, r"lora\.alpha"),
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"shift": math.nan}, "shift|manifest"),
        ({"examples": ("x",) * 7}, "examples"),
    ],
)
def test_a_setting_that_no_pack_can_have_is_refused_before_anything_is_measured(
    base: Base, lora_file: Path, tmp_path: Path, changed: dict[str, Any], where: str
) -> None:
    def unwanted(*_: object) -> Probe:
        raise AssertionError

    with pytest.raises(ConfigError, match=rf"^The brand pack can't have this ({where})"):
        built(base, lora_file, tmp_path / "x", probe=unwanted, **changed)


def test_a_lora_that_cannot_be_used_is_refused_under_its_own_name(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "brand.pt"
    torch.save({"x": torch.ones(1)}, path)
    with pytest.raises(LoraInvalid, match=r"^brand\.pt is a pickle"):
        built(base, path, tmp_path / "x")


@pytest.mark.parametrize("seed_of", ["another width", "another depth"])
def test_a_lora_for_another_base_leaves_no_pack(base: Base, lora_file: Path, tmp_path: Path, seed_of: str) -> None:
    weights, name = load_file(lora_file), "transformer.single_stream_blocks.1.block.attn1.to_q.lora_{}.weight"
    down, up = weights.pop(name.format("A")), weights.pop(name.format("B"))
    if seed_of == "another width":
        weights |= {name.format("A"): torch.cat([down, down], 1), name.format("B"): up}
    else:
        deeper = name.replace("blocks.1", "blocks.30")
        weights |= {deeper.format("A"): down, deeper.format("B"): up}
    path = tmp_path / "other.safetensors"
    save_file(weights, path)
    with pytest.raises(LoraBaseMismatch, match="use the base it was trained on"):
        built(base, path, tmp_path / "x")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_pack_appears_whole_or_not_at_all(base: Base, lora_file: Path, tmp_path: Path) -> None:
    def interrupted(_base: Base, path: Path, _lora: Lora) -> Probe:
        assert path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(base, lora_file, tmp_path / "x", probe=interrupted)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said(base: Base, lora_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnwritable, match=r"can't be written \(Not a directory\): name another folder"):
        built(base, lora_file, tmp_path / "file" / "x")


def accepted(directory: Path) -> BrandPack | None:
    """The pack, if a worker would take it."""
    try:
        pack = load_pack(directory)
        pack.verify()
    except (WeightsUnusable, WeightsMissing):
        return None
    return pack


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_pack_with_any_single_byte_changed_is_refused_or_is_another_pack(
    pack: BrandPack, data: st.DataObject
) -> None:
    """`production` is an id. Only another spelling of the same manifest (`1.0`, `1e0`) leaves it as it is."""
    path = pack.path(data.draw(st.sampled_from(FILES)))
    original = path.read_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[place]))
    path.write_bytes(original[:place] + bytes([byte]) + original[place + 1 :])
    try:
        changed = accepted(pack.directory)
        if path.name == MANIFEST:
            assert changed is None or changed.id != pack.id or changed.manifest == pack.manifest
            assert hashlib.sha256(path.read_bytes()).hexdigest() != pack.id
        else:
            assert changed is None
    finally:
        path.write_bytes(original)
    assert accepted(pack.directory) == pack
