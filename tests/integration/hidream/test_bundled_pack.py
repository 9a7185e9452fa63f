"""The base and the brand pack that ship with Onbrand: every changed byte and every missing tensor is refused."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from onbrand.config import REPOSITORY, Settings
from onbrand.errors import (
    ChecksumMismatch,
    LoraInvalid,
    LoraManifestMismatch,
    ProbeMismatch,
    TensorsMismatch,
    WeightsMissing,
    WeightsUnusable,
)
from onbrand.hidream.load import load_pipeline
from onbrand.hidream.models import MODELS
from onbrand.hidream.pipeline import Pipeline
from onbrand.packs.base import BASE_MANIFEST, load_base
from onbrand.packs.manifest import MANIFEST, SAMPLE, load_pack
from onbrand.packs.store import SHIPPED_BASE, SHIPPED_PACK, PackStore
from onbrand.storage.files import LocalFolder

MINI = REPOSITORY / "models" / "mini"
BASE_FILES = [file.path for file in load_base(LocalFolder(MINI)).manifest.files]
PACK_FILES = [f"{SAMPLE}/{file.path}" for file in load_pack(MINI / SAMPLE).manifest.files]
LORA = f"{SAMPLE}/lora.safetensors"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the bundled files, which a test may damage."""
    return Path(shutil.copytree(MINI, tmp_path / "mini"))


def load(directory: Path) -> Pipeline:
    return load_pipeline(load_base(LocalFolder(directory)), load_pack(directory / SAMPLE))


def update_checksums(directory: Path, changed: str) -> None:
    """Write the checksum of a changed file, and the new id of the base, into both manifests."""
    for manifest in (directory / BASE_MANIFEST, directory / SAMPLE / MANIFEST):
        document = json.loads(manifest.read_text(encoding="utf-8"))
        for file in document["files"]:
            path = manifest.parent / file["path"]
            if path == directory / changed:
                data = path.read_bytes()
                file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if "base" in document:
            document["base"] = load_base(LocalFolder(directory)).id
        manifest.write_text(json.dumps(document), encoding="utf-8")


def test_the_bundled_base_and_pack_are_complete_and_fit() -> None:
    base, pack = load_base(LocalFolder(MINI)), load_pack(MINI / SAMPLE)
    base.verify()
    pack.verify()
    assert pack.manifest.base == base.id
    assert pack.pack.name == "Sample brand"


def test_the_bundled_pack_is_the_one_that_ships() -> None:
    assert (load_base(LocalFolder(MINI)).id, load_pack(MINI / SAMPLE).id) == (SHIPPED_BASE, SHIPPED_PACK)


@pytest.mark.parametrize(("key", "value"), [("prompt_suffix", ", another style"), ("steps", 11)])
def test_a_changed_setting_of_the_bundled_pack_is_refused(copy: Path, tmp_path: Path, key: str, value: object) -> None:
    path = copy / SAMPLE / MANIFEST
    settings = Settings(data_dir=tmp_path, model_path=str(copy))
    PackStore.open(settings)
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {key: value}), encoding="utf-8")
    with pytest.raises(ChecksumMismatch, match=r"pack\.json in .* is not the one that ships with Onbrand: restore it"):
        PackStore.open(settings)


def test_every_file_of_the_model_is_in_a_manifest() -> None:
    parts = (*MODELS["mini"].components, SAMPLE)
    present = {path.relative_to(MINI).as_posix() for part in parts for path in (MINI / part).iterdir()}
    assert {*BASE_FILES, *PACK_FILES, f"{SAMPLE}/{MANIFEST}"} == present


def test_a_directory_without_manifests_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"base\.json is missing; restore it .*`git checkout -- models/mini`"):
        load_base(LocalFolder(tmp_path))
    with pytest.raises(WeightsMissing, match=r"pack\.json is missing; restore it"):
        load_pack(tmp_path)


@pytest.mark.parametrize("file", [*BASE_FILES, *PACK_FILES])
def test_a_flipped_bit_in_any_file_is_refused(copy: Path, file: str) -> None:
    """Loading refuses it too, because it verifies the files while it reads them."""
    with (copy / file).open("r+b") as stream:
        middle = stream.seek(0, 2) // 2
        stream.seek(middle)
        byte = stream.read(1)[0]
        stream.seek(middle)
        stream.write(bytes([byte ^ 1]))
    damaged = load_pack(copy / SAMPLE) if file in PACK_FILES else load_base(LocalFolder(copy))
    with pytest.raises(ChecksumMismatch, match="differs from its checksum"):
        damaged.verify()
    if not file.endswith((".md", ".webp")):  # what only people look at
        with pytest.raises(WeightsUnusable):
            load(copy)


def test_a_cut_file_is_refused(copy: Path) -> None:
    data = (copy / LORA).read_bytes()
    (copy / LORA).write_bytes(data[:-1])
    with pytest.raises(ChecksumMismatch, match=r"lora\.safetensors in .* differs"):
        load_pack(copy / SAMPLE).verify()


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / LORA).unlink()
    with pytest.raises(WeightsMissing, match=r"lora\.safetensors is missing in .*: restore it"):
        load(copy)


@pytest.mark.parametrize(
    "file",
    [file for file in (*BASE_FILES, LORA) if file.endswith(".safetensors")],
)
def test_a_component_that_lacks_a_tensor_is_refused(copy: Path, file: str) -> None:
    """diffusers and transformers would use random numbers for it, and only warn."""
    weights = load_file(copy / file)
    del weights[sorted(weights)[0]]
    save_file(weights, copy / file, {"format": "pt"})
    update_checksums(copy, file)
    with pytest.raises((TensorsMismatch, LoraInvalid), match=r"lack|only one of"):
        load(copy)


@pytest.mark.parametrize(("key", "value"), [("scale", 0.01), ("scale", 0.5), ("scale", 1.3), ("alpha", 12)])
def test_a_lora_of_another_strength_is_noticed(copy: Path, key: str, value: float) -> None:
    """All files are intact; only the brand's style would be missing, too weak or too strong."""
    path = copy / SAMPLE / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["lora"][key] = value
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises((ProbeMismatch, LoraManifestMismatch), match=r"LoRA may not be in effect|has alpha"):
        load(copy)


def moved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each matrix of the single blocks at the next block of the five."""
    return {
        re.sub(
            r"single_stream_blocks\.(\d)", lambda found: f"single_stream_blocks.{(int(found[1]) + 1) % 5}", key
        ): value
        for key, value in weights.items()
    }


def weakened(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value * 0.01 if key.startswith("double_") else value for key, value in weights.items()}


@pytest.mark.parametrize(
    ("file", "change"),
    [(LORA, moved), *((path, weakened) for path in BASE_FILES if "transformer" in path and "00001" in path)],
)
def test_weights_that_are_not_those_of_the_probe_are_noticed(
    copy: Path, file: str, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> None:
    """All checksums are right."""
    save_file(change(load_file(copy / file)), copy / file, {"format": "pt"})
    update_checksums(copy, file)
    with pytest.raises(ProbeMismatch, match="LoRA may not be in effect"):
        load(copy)


def test_drawing_with_the_mini_imports_only_torch() -> None:
    """The other libraries take two thirds of a start's imports, and the mini uses none of them."""
    program = f"""
import sys
from dataclasses import replace
from pathlib import Path
import onbrand.worker.child
from onbrand.hidream.load import load_pipeline
from onbrand.packs.base import load_base
from onbrand.packs.manifest import load_pack
from onbrand.storage.files import LocalFolder

mini = Path({str(MINI)!r})
pipeline = load_pipeline(load_base(LocalFolder(mini)), load_pack(mini / {SAMPLE!r}))
pipeline.manifest = replace(pipeline.manifest, steps=1)
assert pipeline.draw("a kettle", [1], lambda _: None, lambda: False).pixels.any()
names = {{"transformers", "diffusers", "peft", "accelerate", "huggingface_hub", "torch._dynamo", "sympy"}}
print(sorted(names & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
