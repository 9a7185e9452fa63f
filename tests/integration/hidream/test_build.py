"""Building a brand pack: it is complete, equal for equal inputs, and every changed byte is detected."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
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
from onbrand.hidream.packaging.pictures import draw_pictures
from onbrand.packs.base import Base
from onbrand.packs.manifest import MANIFEST, BrandPack, Lora, Probe, Sample, load_pack
from tests.tiny import ALPHA, RANK, adapted_modules, tiny_base, tiny_lora, tiny_pipeline

MEASURED = Probe((1.0,) * 8, (2.0,) * 8)
FILES = [MANIFEST, "README.md", "lora.safetensors"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With diffusers' key names, without alpha."""
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


def test_a_pack_is_complete_and_has_the_values_of_the_file_and_the_model(
    pack: BrandPack, base: Base, lora_file: Path
) -> None:
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
    assert manifest.probe.precision == "float32"


def test_the_manifest_is_canonical_so_the_packs_id_is_its_checksum(pack: BrandPack) -> None:
    assert hashlib.sha256(pack.path(MANIFEST).read_bytes()).hexdigest() == pack.id


def test_the_same_inputs_give_the_same_bytes_and_another_input_another_id(
    pack: BrandPack, base: Base, lora_file: Path, tmp_path: Path
) -> None:
    again = built(base, lora_file, tmp_path / "again")
    assert again.id == pack.id
    assert [again.path(file).read_bytes() for file in FILES] == [pack.path(file).read_bytes() for file in FILES]
    assert built(base, lora_file, tmp_path / "weaker", scale=0.7).id != pack.id


def test_given_settings_override_the_models_defaults(base: Base, lora_file: Path, tmp_path: Path) -> None:
    manifest = built(base, lora_file, tmp_path / "x", steps=9, guidance_scale=2.5, shift=4.0).manifest
    assert (manifest.steps, manifest.guidance_scale, manifest.shift) == (9, 2.5, 4.0)
    assert manifest.guidance_interval is None


def test_a_pack_may_be_guided_at_some_noise_levels_only(base: Base, lora_file: Path, tmp_path: Path) -> None:
    pack = built(base, lora_file, tmp_path / "x", guidance_scale=2.5, guidance_interval=(0.2, 0.9))
    assert load_pack(pack.directory).manifest.guidance_interval == (0.2, 0.9)
    assert hashlib.sha256(pack.path(MANIFEST).read_bytes()).hexdigest() == pack.id
    assert "| guidance scale | 2.5, at noise levels from 0.9 to 0.2 only |" in pack.path("README.md").read_text()
    with pytest.raises(ConfigError, match=r"guidance_interval .*lower one first"):
        built(base, lora_file, tmp_path / "y", guidance_interval=(0.9, 0.2))


def test_a_pack_is_built_with_pictures_of_its_examples_in_turn(base: Base, lora_file: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def draw(pack: BrandPack, prompts: Sequence[str]) -> list[bytes]:
        pack.verify()
        asked.extend(prompts)
        return [f"WebP {n}".encode() for n in range(len(prompts))]

    pack = built(base, lora_file, tmp_path / "x", examples=("a kettle", "a lamp", "a door"), draw=draw)
    pack.verify()
    assert asked == ["a kettle", "a lamp", "a door", "a kettle"]
    pictures = load_pack(pack.directory).manifest.pictures
    assert [picture.prompt for picture in pictures] == asked
    assert [pack.path(picture.file).read_bytes() for picture in pictures] == [f"WebP {n}".encode() for n in range(4)]
    assert hashlib.sha256(pack.path(MANIFEST).read_bytes()).hexdigest() == pack.id


def test_without_examples_the_samples_are_drawn_and_without_either_nothing(
    base: Base, lora_file: Path, tmp_path: Path
) -> None:
    samples = [Sample(f"thing {n}", n) for n in range(10)]
    pack = built(base, lora_file, tmp_path / "x", examples=(), samples=samples, draw=lambda *_: [b""] * 4)
    assert [picture.prompt for picture in pack.manifest.pictures] == [f"thing {n}" for n in range(4)]
    assert built(base, lora_file, tmp_path / "y", examples=(), draw=lambda *_: []).manifest.pictures == ()


def test_the_drawn_pictures_are_the_packs_own(base: Base, pack: BrandPack) -> None:
    drawn = list(draw_pictures(base, pack, ["a kettle", "a lamp"]))
    again = list(draw_pictures(base, pack, ["a kettle", "a lamp"]))
    assert drawn == again
    assert drawn[0] != drawn[1]
    assert [Image.open(BytesIO(webp)).size for webp in drawn] == [(512, 512)] * 2


def test_the_card_describes_the_pack(pack: BrandPack) -> None:
    card = pack.path("README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nbase_model: "HiDream-ai/HiDream-I1-Dev"\n')
    assert '\ninstance_prompt: "onbrand style"\n' in card
    assert '\n  - text: "a blue kettle, onbrand style"\n' in card
    assert "\n# Tiny brand, version 1\n" in card
    assert f"rank {RANK}, alpha {ALPHA:g}, applied at scale 1 |" in card
    assert "| of these, routed experts and gates | 0 |" in card
    assert f"`{pack.manifest.base}`" in card
    assert f"| text_encoder_4 | meta-llama/Llama-3.1-8B-Instruct | {'0' * 40} | Llama 3.1 Community License |" in card


def test_the_alpha_in_the_file_is_used(base: Base, lora_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(load_file(lora_file), path, {"lora_adapter_metadata": '{"transformer.lora_alpha": 3}'})
    assert built(base, path, tmp_path / "a", alpha=None).manifest.lora.alpha == 3
    assert built(base, path, tmp_path / "b", alpha=3.0).manifest.lora.alpha == 3
    with pytest.raises(ConfigError, match=r"x\.safetensors was trained with alpha 3: give the same, or none"):
        built(base, path, tmp_path / "c", alpha=8.0)


def test_a_missing_alpha_must_be_given(base: Base, lora_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"does not contain its alpha, .* \(ai-toolkit's is the rank, here {RANK}\)"):
        built(base, lora_file, tmp_path / "x", alpha=None)


def test_an_existing_folder_is_not_changed(base: Base, lora_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a brand pack never changes: name a folder that does not exist yet"):
        built(base, lora_file, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"steps": 0}, "steps"),
        ({"scale": 5.0}, r"lora\.scale \(allowed: above 0 and at most 4\)"),
        ({"scale": 0.0}, r"lora\.scale \(allowed: above 0"),
        ({"alpha": -1.0}, r"lora\.alpha"),
        ({"alpha": 1e308}, r"lora\.alpha \(allowed: above 0 and at most 100000\)"),
        ({"examples": ("",)}, r"examples \(allowed: at most 6, each of 1 to 100"),
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"shift": math.nan}, r"shift \(allowed: above 0 and at most 20\)"),
        ({"guidance_scale": math.inf}, r"guidance_scale \(allowed: 0 to 30\)"),
        ({"scale": math.nan}, r"lora\.scale"),
        ({"prompt_suffix": "x" * 201}, r"prompt_suffix \(allowed: at most 200 characters\)"),
        ({"examples": ("x",) * 7}, "examples"),
    ],
)
def test_an_invalid_setting_is_refused_before_the_measurement(
    base: Base, lora_file: Path, tmp_path: Path, changed: dict[str, Any], where: str
) -> None:
    def unwanted(*_: object) -> Probe:
        raise AssertionError

    with pytest.raises(ConfigError, match=rf"^A brand pack cannot have this ({where})"):
        built(base, lora_file, tmp_path / "x", probe=unwanted, **changed)


def test_an_unusable_lora_is_refused_with_its_file_name(base: Base, tmp_path: Path) -> None:
    path = tmp_path / "brand.pt"
    torch.save({"x": torch.ones(1)}, path)
    with pytest.raises(LoraInvalid, match=r"^brand\.pt is a pickle"):
        built(base, path, tmp_path / "x")


@pytest.mark.parametrize("difference", ["another width", "another depth"])
def test_a_lora_for_another_base_leaves_no_pack(base: Base, lora_file: Path, tmp_path: Path, difference: str) -> None:
    weights, name = load_file(lora_file), "transformer.single_stream_blocks.1.block.attn1.to_q.lora_{}.weight"
    down, up = weights.pop(name.format("A")), weights.pop(name.format("B"))
    if difference == "another width":
        weights |= {name.format("A"): torch.cat([down, down], 1), name.format("B"): up}
    else:
        deeper = name.replace("blocks.1", "blocks.30")
        weights |= {deeper.format("A"): down, deeper.format("B"): up}
    path = tmp_path / "other.safetensors"
    save_file(weights, path)
    with pytest.raises(LoraBaseMismatch, match="use the base it was trained on"):
        built(base, path, tmp_path / "x")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_build_leaves_no_pack(base: Base, lora_file: Path, tmp_path: Path) -> None:
    def interrupted(_base: Base, path: Path, _lora: Lora) -> Probe:
        assert path.exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(base, lora_file, tmp_path / "x", probe=interrupted)
    assert not list(tmp_path.iterdir())


class Killed(BaseException):
    """Stands for SIGKILL: nothing is cleaned up after it."""


def test_what_a_killed_build_left_behind_is_deleted_and_what_is_being_written_is_not(
    base: Base, lora_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> Probe:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            built(base, lora_file, tmp_path / "x", probe=killed)
    (left,) = tmp_path.iterdir()
    of_another = tmp_path / f".y.{'0' * 32}"
    of_another.mkdir()
    others: list[Path] = []

    def meanwhile(*_: object) -> Probe:
        (mine,) = set(tmp_path.iterdir()) - {of_another}
        assert mine.name != left.name
        if not others:  # a second build of the same pack begins now, and is the first to end
            others.append(mine)
            built(base, lora_file, tmp_path / "x", probe=while_another_writes)
        return MEASURED

    def while_another_writes(*_: object) -> Probe:
        assert others[0].exists()
        return MEASURED

    with pytest.raises(DataDirUnwritable):  # it is there now
        built(base, lora_file, tmp_path / "x", probe=meanwhile)
    assert sorted(tmp_path.iterdir()) == sorted([of_another, tmp_path / "x"])


def test_a_pack_is_on_the_disk_before_it_has_its_name(
    base: Base, lora_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def note_sync(descriptor: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def note_rename(source: Path, destination: Path) -> None:
        done.append("rename")
        rename(source, destination)

    monkeypatch.setattr("os.fsync", note_sync)
    monkeypatch.setattr("os.rename", note_rename)
    built(base, lora_file, tmp_path / "new" / "pack", probe=lambda *_: MEASURED)
    before, after = done[: done.index("rename")], done[done.index("rename") + 1 :]
    assert {name for name in before if not name.startswith(".pack.")} == set(FILES)
    assert before[-1].startswith(".pack.")
    assert after == ["pack", "new", tmp_path.name]


def test_a_destination_that_is_not_writable_is_named(base: Base, lora_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataDirUnwritable, match=r"can't be written \(Not a directory\): name another folder"):
        built(base, lora_file, tmp_path / "file" / "x")


def accepted(directory: Path) -> BrandPack | None:
    """The pack, or None if a worker would refuse it."""
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
    """A changed manifest has another id. It may load only if it has the same values in another form (`1.0`, `1e0`)."""
    path = pack.path(data.draw(st.sampled_from(FILES)))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[position]))
    path.write_bytes(original[:position] + bytes([byte]) + original[position + 1 :])
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
