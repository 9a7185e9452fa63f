"""A brand pack on disk: verified byte by byte, and a LoRA that is loaded wholly or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from onbrand.config import REPOSITORY
from onbrand.errors import WeightsDamaged, WeightsMissing
from onbrand.hidream.load import load_illustrator
from onbrand.packs import MANIFEST, BrandPack, load_pack

MINI = REPOSITORY / "models" / "mini"
LORA = "lora/pytorch_lora_weights.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The pack that ships with Onbrand, free to be damaged."""
    return Path(shutil.copytree(MINI, tmp_path / "pack"))


def rewrite(directory: Path, change: Callable[[dict[str, Any]], None]) -> BrandPack:
    """Change the manifest, and bring its checksums up to date: a pack that is wrong but whole."""
    path = directory / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    for file in manifest["files"]:
        data = (directory / file["path"]).read_bytes()
        file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return load_pack(directory)


def rewrite_tensors(path: Path, change: Callable[[str, Tensor], tuple[str, Tensor]]) -> None:
    """Change names or values of a safetensors file's tensors."""
    save_file(dict(change(name, tensor) for name, tensor in load_file(path).items()), path, {"format": "pt"})


def unchanged(_: dict[str, Any]) -> None:
    """For a manifest whose checksums alone follow the files."""


def draw(pack: BrandPack) -> np.ndarray:
    drawing = load_illustrator(pack).draw("a red backpack", (7,), lambda _: None, lambda: False)
    return drawing.pixels[0].astype(int)


def test_the_pack_in_the_repository_is_whole_and_not_reviewed() -> None:
    pack = load_pack(MINI)
    pack.verify()
    assert pack.manifest.review == "not_reviewed"
    assert pack.pack.name == "Sample brand"


def test_every_file_of_the_model_is_in_the_manifest() -> None:
    named = {file.path for file in load_pack(MINI).manifest.files}
    parts = ("text_encoder", "transformer", "vae", "scheduler", "lora")
    present = {path.relative_to(MINI).as_posix() for part in parts for path in (MINI / part).iterdir()}
    assert named == present


def test_a_directory_without_a_manifest_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"pack\.json is missing; restore it .*`git checkout -- models/mini`"):
        load_pack(tmp_path)


@pytest.mark.parametrize("file", [file.path for file in load_pack(MINI).manifest.files])
def test_a_flipped_bit_in_any_file_is_found(copy: Path, file: str) -> None:
    with (copy / file).open("r+b") as stream:
        middle = stream.seek(0, 2) // 2
        stream.seek(middle)
        byte = stream.read(1)[0]
        stream.seek(middle)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(WeightsDamaged, match=f"{file} differs from its checksum: restore it"):
        load_pack(copy).verify()


def test_a_cut_file_is_found(copy: Path) -> None:
    data = (copy / LORA).read_bytes()
    (copy / LORA).write_bytes(data[:-1])
    with pytest.raises(WeightsDamaged, match=f"{LORA} differs"):
        load_pack(copy).verify()


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / LORA).unlink()
    with pytest.raises(WeightsMissing, match=f"{LORA} is missing: restore it"):
        load_pack(copy).verify()


def test_a_damaged_pack_is_not_loaded(copy: Path) -> None:
    data = bytearray((copy / LORA).read_bytes())
    data[-1] ^= 1
    (copy / LORA).write_bytes(data)
    with pytest.raises(WeightsDamaged, match=LORA):
        load_illustrator(load_pack(copy))


def test_the_lora_changes_the_picture_and_its_scale_counts(copy: Path) -> None:
    pictures = []
    for scale in (0, 0.5, 1):
        pack = rewrite(copy, lambda manifest, scale=scale: manifest["lora"].update(scale=scale))  # type: ignore[misc]
        pictures.append(draw(pack))
    base, half, full = pictures
    assert np.abs(base - full).mean() > 10
    assert np.abs(base - half).mean() > 2
    assert np.abs(half - full).mean() > 2


def test_a_lora_in_another_trainers_naming_is_refused(copy: Path) -> None:
    """diffusers 0.42 loads such a file without an error and without an effect."""
    rewrite_tensors(copy / LORA, lambda name, tensor: (name.replace("transformer.", "lora_unet_", 1), tensor))
    with pytest.raises(WeightsDamaged, match="other modules"):
        load_illustrator(rewrite(copy, unchanged))


def test_a_lora_that_lacks_a_module_is_refused(copy: Path) -> None:
    weights = load_file(copy / LORA)
    for side in "AB":
        del weights[f"transformer.single_stream_blocks.4.block.attn1.to_q.lora_{side}.weight"]
    save_file(weights, copy / LORA, {"format": "pt"})
    with pytest.raises(WeightsDamaged, match="other modules"):
        load_illustrator(rewrite(copy, unchanged))


def test_a_module_that_the_transformer_does_not_have_is_refused(copy: Path) -> None:
    """File and manifest agree with each other, but not with the network."""

    def change(name: str) -> str:
        return name.replace("single_stream_blocks.4.block.attn1.to_q", "single_stream_blocks.9.block.attn1.to_q")

    rewrite_tensors(copy / LORA, lambda name, tensor: (change(name), tensor))

    def change_manifest(manifest: dict[str, Any]) -> None:
        lora = manifest["lora"]
        lora["adapted_modules"] = [change(name) for name in lora["adapted_modules"]]

    with pytest.raises(WeightsDamaged):
        load_illustrator(rewrite(copy, change_manifest))


@pytest.mark.parametrize(
    "change",
    [lambda tensor: torch.full_like(tensor, torch.nan), lambda tensor: torch.cat([tensor, tensor])],
    ids=["not finite", "other rank"],
)
def test_a_lora_with_unusable_matrices_is_refused(copy: Path, change: Callable[[Tensor], Tensor]) -> None:
    rewrite_tensors(copy / LORA, lambda name, tensor: (name, change(tensor) if ".to_k.lora_A" in name else tensor))
    with pytest.raises(WeightsDamaged, match="rank"):
        load_illustrator(rewrite(copy, unchanged))


def test_a_lora_for_a_wider_transformer_is_refused(copy: Path) -> None:
    def widen(name: str, tensor: Tensor) -> tuple[str, Tensor]:
        return name, torch.cat([tensor, tensor], dim=1 if ".lora_A." in name else 0)

    rewrite_tensors(copy / LORA, widen)
    with pytest.raises(WeightsDamaged, match="don't fit the model"):
        load_illustrator(rewrite(copy, unchanged))


def test_an_alpha_that_the_file_does_not_have_is_refused(copy: Path) -> None:
    """A wrong alpha would only weaken or strengthen the brand: nobody would notice."""
    with pytest.raises(WeightsDamaged, match="was not loaded"):
        load_illustrator(rewrite(copy, lambda manifest: manifest["lora"].update(alpha=8)))


def test_a_lora_that_is_no_safetensors_file_is_refused(copy: Path) -> None:
    (copy / LORA).write_bytes(b"\x80\x04pickle")
    with pytest.raises(WeightsDamaged, match="safetensors"):
        load_illustrator(rewrite(copy, unchanged))


@pytest.mark.parametrize(
    "file",
    [
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ],
)
def test_a_component_that_lacks_a_tensor_is_refused(copy: Path, file: str) -> None:
    """diffusers and transformers would fill the gap with random numbers and a warning."""
    weights = load_file(copy / file)
    del weights[sorted(weights)[0]]
    save_file(weights, copy / file, {"format": "pt"})
    with pytest.raises(WeightsDamaged, match="don't fit the model"):
        load_illustrator(rewrite(copy, unchanged))


def test_a_pack_for_another_model_is_refused(copy: Path) -> None:
    with pytest.raises(WeightsDamaged, match="cannot load; it has mini"):
        load_illustrator(rewrite(copy, lambda manifest: manifest.update(base_model="hidream-i1-full")))
