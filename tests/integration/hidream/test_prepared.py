"""A stored network is loaded unchanged, or refused."""

from __future__ import annotations

import fcntl
import hashlib
import json
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaConfig, LlamaModel

from onbrand.errors import DataDirUnwritable, PreparedWeightsDamaged, TensorsMismatch
from onbrand.hidream.models import Precision
from onbrand.hidream.network.int8 import quantize_linears
from onbrand.hidream.network.transformer import empty_transformer
from onbrand.hidream.weights import prepared
from onbrand.hidream.weights.fuse import fuse_lora
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.lora import read_adapter
from onbrand.hidream.weights.prepared import LAYOUT, PreparedWeights, load_prepared, store_prepared
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from onbrand.packs.manifest import BrandPack
from onbrand.storage.files import LocalFolder
from tests.tiny import adapted_modules, tiny_base, tiny_lora, tiny_pack, tiny_pipeline

OF = "ab" * 32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def pack(base: Base, tmp_path_factory: pytest.TempPathFactory) -> BrandPack:
    transformer = tiny_pipeline().transformer
    directory = tmp_path_factory.mktemp("pack")
    return tiny_pack(directory, base, tiny_lora(transformer), adapted_modules(transformer))


def empty(base: Base, precision: Precision) -> Any:
    config = json.loads(base.folder.read("transformer/config.json"))
    return empty_transformer(config, precision).to_empty(device="cpu")


def fused_transformer(base: Base, pack: BrandPack, precision: Precision) -> Any:
    lora = pack.manifest.lora
    transformer = empty(base, precision)
    source = stream_tensors(base.folder, base.within("transformer"))
    load_state(transformer, fuse_lora(source, read_adapter(pack.path(lora.file), lora)))
    return transformer


def small() -> nn.Sequential:
    """Two matrices and a bias with known numbers."""
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter.fill_(number + 0.5)
    return module


def stored_small(directory: Path, shard_bytes: int = 100) -> PreparedWeights:
    weights = store_prepared(directory, small(), OF, "transformer", Precision.FLOAT32, shard_bytes=shard_bytes)
    assert weights
    return weights


def find_small(directory: Path) -> PreparedWeights | None:
    return load_prepared(LocalFolder(directory), OF, "transformer", Precision.FLOAT32)


def load_small(directory: Path) -> PreparedWeights:
    found = find_small(directory)
    assert found
    return found


def assert_same(one: nn.Module, other: nn.Module) -> None:
    expected = one.state_dict()
    found = other.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("precision", Precision)
def test_the_stored_transformer_equals_the_fused_one(
    base: Base, pack: BrandPack, tmp_path: Path, precision: Precision
) -> None:
    fresh = fused_transformer(base, pack, precision)
    weights = store_prepared(tmp_path, fresh, pack.id, "transformer", precision, shard_bytes=200_000)
    assert weights
    assert len(weights.files) > 1
    found = load_prepared(LocalFolder(tmp_path), pack.id, "transformer", precision)
    assert found == weights
    stored = empty(base, precision)
    load_state(stored, found.tensors())
    assert_same(fresh, stored)


def test_an_8_bit_encoder_is_stored_for_its_base(base: Base, tmp_path: Path) -> None:
    """Llama without `lm_head`: only the tensors of the network itself are stored."""
    config = LlamaConfig.from_pretrained(base.folder.directory / "text_encoder_4")  # type: ignore[attr-defined]

    def encoder() -> nn.Module:
        with torch.device("meta"):
            model: nn.Module = LlamaModel(config)
        quantize_linears(model, is_excluded=lambda _: False)
        return model.to_empty(device="cpu")

    fresh = encoder()
    source = stream_tensors(base.folder, base.within("text_encoder_4"))
    load_state(fresh, ((name.removeprefix("model."), tensor) for name, tensor in source if name != "lm_head.weight"))
    weights = store_prepared(tmp_path, fresh, base.id, "text_encoder_4", Precision.INT8)
    assert weights
    assert weights.files[0].size < 0.6 * sum(
        file.size for file in base.within("text_encoder_4") if file.path.endswith(".safetensors")
    )
    stored = encoder()
    load_state(stored, weights.tensors())
    assert_same(fresh, stored)


def test_tied_parameters_are_stored_once(tmp_path: Path) -> None:
    def tied() -> nn.Sequential:
        module = small()
        module[1].weight = module[0].weight
        return module

    weights = store_prepared(tmp_path, tied(), OF, "text_encoder_3", Precision.FLOAT32)
    assert weights
    assert dict(weights.tensors()).keys() == {"0.weight", "0.bias"}
    stored = tied()
    nn.init.zeros_(stored[0].get_parameter("weight"))
    load_state(stored, weights.tensors())
    assert_same(tied(), stored)


@pytest.mark.parametrize(
    ("of", "component", "precision"),
    [
        ("cd" * 32, "transformer", Precision.FLOAT32),
        (OF, "text_encoder", Precision.FLOAT32),
        (OF, "transformer", Precision.BFLOAT16),
    ],
)
def test_weights_are_found_under_their_own_key_only(
    tmp_path: Path, of: str, component: str, precision: Precision
) -> None:
    stored_small(tmp_path)
    assert load_prepared(LocalFolder(tmp_path), of, component, precision) is None


def test_weights_of_another_layout_are_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored_small(tmp_path)
    monkeypatch.setattr(prepared.Key.__init__, "__defaults__", (LAYOUT + 1,))
    assert find_small(tmp_path) is None


def test_the_layouts_number_changes_with_the_stored_tensors(base: Base) -> None:
    """A change of the names, shapes or types of stored tensors needs a new `LAYOUT`, and then a new digest here."""
    described = "\n".join(
        f"{precision} {name} {list(tensor.shape)} {tensor.dtype}"
        for precision in Precision
        for name, tensor in sorted(empty(base, precision).state_dict().items())
    )
    assert (LAYOUT, hashlib.sha256(described.encode()).hexdigest()[:16]) == (1, "17c08be17d761605")


def test_prepared_weights_moved_to_another_key_are_refused(tmp_path: Path) -> None:
    """The transformer of one pack must never be used for another pack."""
    stored_small(tmp_path)
    other = "cd" * 32
    (tmp_path / OF).rename(tmp_path / other)
    expected = f"The prepared {other}/transformer-float32-1 in .* is damaged: delete it"
    with pytest.raises(PreparedWeightsDamaged, match=expected):
        load_prepared(LocalFolder(tmp_path), other, "transformer", Precision.FLOAT32)


def contents(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file() and not path.name.startswith("."))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_single_byte_changed_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    if not (tmp_path / OF).exists():
        stored_small(tmp_path)
    path = data.draw(st.sampled_from(contents(tmp_path)))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != original[position]))
    changed = original[:position] + bytes([byte]) + original[position + 1 :]
    path.write_bytes(changed)
    try:
        with pytest.raises((PreparedWeightsDamaged, TensorsMismatch)):
            load_state(small(), load_small(tmp_path).tensors())
    finally:
        path.write_bytes(original)


@pytest.mark.parametrize("number", [0, 1])
def test_a_missing_shard_is_refused(tmp_path: Path, number: int) -> None:
    weights = stored_small(tmp_path)
    (tmp_path / weights.files[number].path).unlink()
    with pytest.raises(PreparedWeightsDamaged, match="is damaged: delete it, or prepare it again"):
        dict(weights.tensors())


def test_a_shard_is_no_larger_than_asked_unless_one_tensor_is(tmp_path: Path) -> None:
    weights = stored_small(tmp_path, shard_bytes=80)
    read = [set(dict(PreparedWeights(weights.folder, weights.key, (file,)).tensors())) for file in weights.files]
    assert read == [{"0.weight", "0.bias"}, {"1.weight"}]
    assert [len(stored_small(tmp_path / f"{size}", size).files) for size in (1, 1000)] == [3, 1]


def test_storing_again_changes_nothing(tmp_path: Path) -> None:
    first = stored_small(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in contents(tmp_path)}
    assert stored_small(tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in contents(tmp_path)} == files


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    assert stored_small(tmp_path / "a").files == stored_small(tmp_path / "b").files


def test_a_second_process_does_not_store_at_the_same_time(tmp_path: Path) -> None:
    stored_small(tmp_path)
    (lock,) = tmp_path.rglob(".*.lock")
    with lock.open() as locked_file:
        fcntl.flock(locked_file, fcntl.LOCK_EX)
        assert store_prepared(tmp_path, small(), OF, "transformer", Precision.FLOAT32) is None


def test_after_a_kill_nothing_is_found_and_all_is_stored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed before the last file. The files are not found, and are not used again."""

    def killed(_path: Path, _data: bytes) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", killed)
        patched.setattr(shutil, "rmtree", lambda *_args, **_more: None)
        with pytest.raises(KeyboardInterrupt):
            stored_small(tmp_path)
    assert contents(tmp_path)
    assert find_small(tmp_path) is None
    stored_small(tmp_path)
    assert not list(tmp_path.rglob("*.partial"))
    filled = small()
    load_state(filled, load_small(tmp_path).tensors())
    assert_same(small(), filled)


def test_a_full_disk_is_reported_and_leaves_no_files(tmp_path: Path) -> None:
    module = nn.Linear(256, 256)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataDirUnwritable, match=r"cannot keep the prepared transformer .*: free some room there"):
            store_prepared(tmp_path, module, OF, "transformer", Precision.FLOAT32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (tmp_path / OF).iterdir()] == [".transformer-float32-1.lock"]


def test_progress_is_reported_in_bytes(tmp_path: Path) -> None:
    weights = stored_small(tmp_path)
    reported: list[int] = []
    for _ in weights.tensors(on_bytes=reported.append):
        pass
    assert sum(reported) == sum(file.size for file in weights.files)
