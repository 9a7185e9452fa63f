"""Prepared weights equal those that a start would make, on disk and in an object store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from obstore.store import LocalStore

from onbrand.config import PrecisionChoice
from onbrand.errors import PreparedWeightsDamaged
from onbrand.hidream.load import Stage
from onbrand.hidream.models import Precision
from onbrand.hidream.packaging.prepare import prepare
from onbrand.hidream.text.encoders import HiDreamTextEncoder
from onbrand.storage.files import Folder, LocalFolder, ObjectStoreFolder
from onbrand.storage.object_store import ObjectStore
from tests.integration.hidream.test_load import Brand, make_brand

PROMPT = "a blue kettle"


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Brand:
    return make_brand(tmp_path_factory.mktemp("dev"), "hidream-i1-dev")


def prepare_all(brand: Brand, directory: Path, place: Folder) -> list[str]:
    parts: list[str] = []
    prepare(brand.base, brand.pack, Precision.INT8, directory, place, on_part=lambda name, _: parts.append(name))
    return parts


def test_transformer_and_large_encoders_are_prepared_once_and_equal_the_fused_ones(
    brand: Brand, tmp_path: Path
) -> None:
    place = LocalFolder(tmp_path)
    assert prepare_all(brand, tmp_path, place) == ["transformer", "text_encoder_3", "text_encoder_4"]
    assert prepare_all(brand, tmp_path, place) == []
    fused: list[Stage] = []
    ready: list[Stage] = []
    first = brand.load(PrecisionChoice.INT8, on_stage=fused.append)
    second = brand.load(PrecisionChoice.INT8, prepared_folder=place, on_stage=ready.append)
    for name, tensor in first.transformer.state_dict().items():
        assert torch.equal(tensor, second.transformer.state_dict()[name])
    ours, theirs = first.encode(PROMPT).embeddings, second.encode(PROMPT).embeddings
    assert torch.equal(ours.llama3, theirs.llama3)
    assert torch.equal(ours.t5, theirs.t5)
    sizes = [{stage.name: stage.size for stage in stages} for stages in (fused, ready)]
    assert sizes[1]["encoders"] < sizes[0]["encoders"]
    assert sizes[1]["transformer"] < sizes[0]["transformer"]


def test_every_worker_can_load_them_from_an_object_store(brand: Brand, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    place = ObjectStoreFolder(ObjectStore(LocalStore(tmp_path / "store")), "the store")
    assert len(prepare_all(brand, tmp_path / "here", place)) == 3
    assert prepare_all(brand, tmp_path / "elsewhere", place) == []
    brand.load(PrecisionChoice.INT8, prepared_folder=place)


@pytest.mark.parametrize("component", ["transformer", "text_encoder_3", "text_encoder_4"])
def test_a_flipped_bit_in_any_of_them_is_refused(brand: Brand, tmp_path: Path, component: str) -> None:
    place = LocalFolder(tmp_path)
    prepare_all(brand, tmp_path, place)
    shard = next(tmp_path.glob(f"*/{component}-*/*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(PreparedWeightsDamaged, match="delete it, or prepare it again"):
        brand.load(PrecisionChoice.INT8, prepared_folder=place)


def test_encoders_that_move_to_the_device_give_the_same_embeddings(brand: Brand) -> None:
    """There is no second device here, so this shows only that moving changes nothing."""
    pipeline = brand.load()
    stays = pipeline.text_encoder
    assert isinstance(stays, HiDreamTextEncoder)
    moves = replace(stays, onload_device=torch.device("cpu"))
    ours, theirs = moves.encode(PROMPT, ""), stays.encode(PROMPT, "")
    assert torch.equal(ours.embeddings.llama3, theirs.embeddings.llama3)
    assert torch.equal(ours.embeddings.pooled, theirs.embeddings.pooled)
