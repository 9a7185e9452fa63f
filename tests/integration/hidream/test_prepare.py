"""What is prepared once is what would be made at each start: on disk, and in an object store."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from obstore.store import LocalStore

from onbrand.config import PrecisionChoice
from onbrand.errors import WeightsDamaged
from onbrand.hidream.load import Stage
from onbrand.hidream.models import Precision
from onbrand.hidream.packaging.prepare import prepare
from onbrand.storage.files import Folder, LocalFolder, ObjectStoreFolder
from onbrand.storage.object_store import ObjectStore
from tests.integration.hidream.test_load import Brand, make_brand

PROMPT = "a blue kettle"


@pytest.fixture(scope="module")
def brand(tmp_path_factory: pytest.TempPathFactory) -> Brand:
    return make_brand(tmp_path_factory.mktemp("dev"), "hidream-i1-dev")


def prepared(brand: Brand, directory: Path, place: Folder) -> list[str]:
    parts: list[str] = []
    prepare(brand.base, brand.pack, Precision.INT8, directory, place, on_part=lambda name, _: parts.append(name))
    return parts


def test_transformer_and_large_encoders_are_prepared_once_and_equal_to_those_made_anew(
    brand: Brand, tmp_path: Path
) -> None:
    place = LocalFolder(tmp_path)
    assert prepared(brand, tmp_path, place) == ["transformer", "text_encoder_3", "text_encoder_4"]
    assert prepared(brand, tmp_path, place) == []
    anew: list[Stage] = []
    ready: list[Stage] = []
    first = brand.load(PrecisionChoice.INT8, on_stage=anew.append)
    second = brand.load(PrecisionChoice.INT8, artefacts=place, on_stage=ready.append)
    for name, tensor in first.transformer.state_dict().items():
        assert torch.equal(tensor, second.transformer.state_dict()[name])
    ours, theirs = first.encode(PROMPT).embeddings, second.encode(PROMPT).embeddings
    assert torch.equal(ours.llama3, theirs.llama3)
    assert torch.equal(ours.t5, theirs.t5)
    sizes = [{stage.name: stage.size for stage in stages} for stages in (anew, ready)]
    assert sizes[1]["encoders"] < sizes[0]["encoders"]
    assert sizes[1]["transformer"] < sizes[0]["transformer"]


def test_in_an_object_store_they_are_for_every_worker(brand: Brand, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    place = ObjectStoreFolder(ObjectStore(LocalStore(tmp_path / "store")), "the store")
    assert len(prepared(brand, tmp_path / "here", place)) == 3
    assert prepared(brand, tmp_path / "elsewhere", place) == []
    brand.load(PrecisionChoice.INT8, artefacts=place)


@pytest.mark.parametrize("component", ["transformer", "text_encoder_3", "text_encoder_4"])
def test_a_flipped_bit_in_any_of_them_is_refused(brand: Brand, tmp_path: Path, component: str) -> None:
    place = LocalFolder(tmp_path)
    prepared(brand, tmp_path, place)
    shard = next(tmp_path.glob(f"*/{component}-*/*.safetensors"))
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(WeightsDamaged, match="delete it, or prepare it anew"):
        brand.load(PrecisionChoice.INT8, artefacts=place)


def test_encoders_that_visit_the_device_read_the_same(brand: Brand) -> None:
    """Only that it makes no difference: there is no second device here to visit."""
    from onbrand.hidream.text.encoders import FourEncoders

    illustrator = brand.load()
    stays = illustrator.text_encoder
    assert isinstance(stays, FourEncoders)
    visits = FourEncoders(stays.identity, stays.token_limit, stays.clips, stays.t5, stays.llama, torch.device("cpu"))
    ours, theirs = visits.encode(PROMPT, ""), stays.encode(PROMPT, "")
    assert torch.equal(ours.embeddings.llama3, theirs.embeddings.llama3)
    assert torch.equal(ours.embeddings.pooled, theirs.embeddings.pooled)
