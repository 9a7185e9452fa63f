"""The pack store: a pack comes back exactly as it was added, or not at all, whatever happens to its files."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest
from obstore.store import LocalStore

from onbrand.cli.clean import clean
from onbrand.config import REPOSITORY, Settings
from onbrand.errors import (
    ChecksumMismatch,
    DataDirUnwritable,
    ObjectStoreUnreachable,
    PackNotFound,
    StoredPackDamaged,
    WeightsMissing,
)
from onbrand.packs.manifest import MANIFEST, BrandPack
from onbrand.packs.store import PackStore, StoredPack
from onbrand.storage.object_store import ObjectStore
from tests.packs import FILES, SAMPLE, make_pack

PATHS = [*FILES, MANIFEST]


@pytest.fixture
def store(settings: Settings) -> PackStore:
    """As the settings name it: in a folder, with the sample brand's pack bundled."""
    return PackStore.open(settings)


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "pack")


def place(settings: Settings, pack: BrandPack) -> Path:
    """Where a pack lies in the object store."""
    return settings.data_dir / "images" / "packs" / pack.id


def copy(settings: Settings, pack: BrandPack) -> Path:
    return settings.data_dir / "packs" / pack.id


def flip(path: Path, at: int = 0, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1 << bit
    path.write_bytes(content)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_pack_comes_back_as_it_was_added(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    assert store.add(pack.directory) == pack
    fetched = store.fetch(pack.id)
    assert (fetched.id, fetched.manifest, fetched.directory) == (pack.id, pack.manifest, copy(settings, pack))
    for path in FILES:
        assert fetched.path(path).read_bytes() == pack.path(path).read_bytes()
    fetched.verify()
    assert store.verify(pack.id) == pack.manifest


def test_adding_a_pack_again_changes_nothing_and_completes_an_interrupted_attempt(
    store: PackStore, settings: Settings, pack: BrandPack
) -> None:
    store.add(pack.directory)
    before = contents(place(settings, pack))
    (place(settings, pack) / MANIFEST).unlink()  # it comes last
    (place(settings, pack) / "samples" / "1.png").unlink()
    assert [one.id for one in store.list()] == [SAMPLE.id]  # what is not complete is not there
    for _ in range(2):
        store.add(pack.directory)
        assert contents(place(settings, pack)) == before


@pytest.mark.parametrize("path", PATHS)
def test_another_file_under_the_same_id_is_refused(
    store: PackStore, settings: Settings, pack: BrandPack, path: str
) -> None:
    target = place(settings, pack) / path
    target.parent.mkdir(parents=True)
    target.write_bytes(b"something else")
    with pytest.raises(StoredPackDamaged, match=f"in the pack store is damaged: {path} .*add the pack again"):
        store.add(pack.directory)
    assert target.read_bytes() == b"something else"


def test_a_damaged_pack_is_not_added(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    flip(pack.path("lora.safetensors"))
    with pytest.raises(ChecksumMismatch, match=r"lora\.safetensors .* differs from its checksum"):
        store.add(pack.directory)
    assert not place(settings, pack).exists()


@pytest.mark.parametrize("path", [path for path in PATHS if FILES.get(path) != 0])
@pytest.mark.parametrize("bit", [0, 5, 7])
def test_one_flipped_bit_in_the_store_is_refused(
    store: PackStore, settings: Settings, pack: BrandPack, path: str, bit: int
) -> None:
    store.add(pack.directory)
    flip(place(settings, pack) / path, at=(place(settings, pack) / path).stat().st_size - 1, bit=bit)
    for use in (store.verify, store.fetch):
        with pytest.raises(StoredPackDamaged, match=f"The pack {pack.id[:12]} in the pack store is damaged: {path} "):
            use(pack.id)
    assert [one for one in store.list() if one.manifest is None] == (
        [StoredPack(pack.id, None, is_bundled=False)] if path == MANIFEST else []
    )


def test_each_bit_of_the_manifest_counts(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    store.add(pack.directory)
    manifest = place(settings, pack) / MANIFEST
    size = manifest.stat().st_size
    for at in range(0, size, 7):
        flip(manifest, at, at % 8)
        with pytest.raises(StoredPackDamaged):
            store.verify(pack.id)
        flip(manifest, at, at % 8)
    store.verify(pack.id)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("harm", ["flipped", "truncated", "longer", "gone"])
def test_a_damaged_copy_is_fetched_anew(
    store: PackStore, settings: Settings, pack: BrandPack, path: str, harm: str
) -> None:
    store.add(pack.directory)
    store.fetch(pack.id)
    before = contents(copy(settings, pack))
    target = copy(settings, pack) / path
    match harm:
        case "flipped" if FILES.get(path) != 0:
            flip(target)
        case "truncated":
            target.write_bytes(target.read_bytes()[:-1])
        case "longer":
            target.write_bytes(target.read_bytes() + b"\n")
        case "gone":
            target.unlink()
    store.fetch(pack.id)
    assert contents(copy(settings, pack)) == before


def test_an_undamaged_copy_needs_no_store(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    store.add(pack.directory)
    store.fetch(pack.id)
    shutil.rmtree(settings.data_dir / "images")
    assert store.fetch(pack.id).manifest == pack.manifest


def test_a_damaged_copy_of_a_damaged_pack_is_refused(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    store.add(pack.directory)
    store.fetch(pack.id)
    for directory in (copy(settings, pack), place(settings, pack)):
        flip(directory / "lora.safetensors", at=100)
    with pytest.raises(StoredPackDamaged, match="in the pack store is damaged"):
        store.fetch(pack.id)


def test_several_processes_may_fetch_the_same_pack_at_once(store: PackStore, pack: BrandPack) -> None:
    store.add(pack.directory)
    with ThreadPoolExecutor(4) as pool:
        fetched = list(pool.map(lambda _: store.fetch(pack.id), range(8)))
    for one in fetched:
        one.verify()


def test_the_bundled_pack_is_listed_and_read_from_the_base(
    store: PackStore, settings: Settings, tmp_path: Path
) -> None:
    assert store.list() == [StoredPack(SAMPLE.id, SAMPLE.manifest, is_bundled=True)]
    assert store.fetch(SAMPLE.id) == SAMPLE
    store.add(SAMPLE.directory)
    assert store.list() == [StoredPack(SAMPLE.id, SAMPLE.manifest, is_bundled=True)]
    # Without the base that brings it along it is a pack like any other.
    later = PackStore.open(settings.model_copy(update={"model_path": str(tmp_path)}))
    assert later.bundled is None
    assert later.fetch(SAMPLE.id).manifest == SAMPLE.manifest


def test_a_damaged_bundled_pack_is_refused(settings: Settings, tmp_path: Path) -> None:
    base = shutil.copytree(REPOSITORY / "models" / "mini" / "sample", tmp_path / "base" / "sample").parent
    flip(base / "sample" / "lora.safetensors", at=1000)
    store = PackStore.open(settings.model_copy(update={"model_path": str(base)}))
    for use in (store.verify, store.fetch):
        with pytest.raises(ChecksumMismatch):
            use(SAMPLE.id)


@pytest.mark.parametrize("digits", [6, 12, 64])
def test_a_pack_is_found_by_the_beginning_of_its_id(store: PackStore, pack: BrandPack, digits: int) -> None:
    store.add(pack.directory)
    assert store.find(pack.id[:digits]) == StoredPack(pack.id, pack.manifest, is_bundled=False)


@pytest.mark.parametrize(
    ("beginning", "sentence"),
    [
        ("", "at least its first 6 digits"),
        ("abcde", "at least its first 6 digits"),
        ("ABCDEF", "at least its first 6 digits"),
        ("../../etc", "at least its first 6 digits"),
        ("a" * 65, "at least its first 6 digits"),
        ("abcdef", r"No pack has an id that begins with abcdef; `onbrand pack list` shows them\."),
    ],
)
def test_a_text_that_is_not_the_beginning_of_an_id_finds_no_pack(
    store: PackStore, beginning: str, sentence: str
) -> None:
    with pytest.raises(PackNotFound, match=sentence):
        store.find(beginning)


def test_a_beginning_that_several_ids_share_finds_no_pack(store: PackStore, settings: Settings) -> None:
    for end in "01":
        (settings.data_dir / "images" / "packs" / ("abcdef" + end * 58)).mkdir(parents=True)
        (settings.data_dir / "images" / "packs" / ("abcdef" + end * 58) / MANIFEST).write_text("{}")
    with pytest.raises(PackNotFound, match="The ids of 2 packs begin with abcdef"):
        store.find("abcdef")


def test_a_pack_that_is_not_stored_says_how_to_add_it(store: PackStore) -> None:
    for use in (store.verify, store.fetch):
        with pytest.raises(PackNotFound, match=r"is not in the pack store\. Add it with `onbrand pack add DIR`"):
            use("a" * 64)


def test_a_folder_without_a_pack_is_not_added(store: PackStore, tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="There is no brand pack"):
        store.add(tmp_path)


async def test_cleaning_up_leaves_packs_alone(
    store: PackStore, settings: Settings, database_url: str, pack: BrandPack
) -> None:
    store.add(pack.directory)
    cleaned = await clean(settings, database_url, confirmed=True)
    assert (cleaned.collected.deleted, cleaned.collected.leftovers) == (0, 0)
    store.verify(pack.id)


def test_a_copy_that_cannot_be_written_is_one_sentence(store: PackStore, settings: Settings, pack: BrandPack) -> None:
    store.add(pack.directory)
    (settings.data_dir / "packs").write_text("in the way")
    with pytest.raises(DataDirUnwritable, match="can't be written"):
        store.fetch(pack.id)


@pytest.fixture
def unreachable(tmp_path: Path) -> ObjectStore:
    """A folder that somebody took away after it was opened."""
    (tmp_path / "store").mkdir()
    objects = LocalStore(tmp_path / "store")
    obstore.put(objects, "packs/x", b"")
    (tmp_path / "store" / "packs").rename(tmp_path / "elsewhere")
    (tmp_path / "store" / "packs").write_text("no folder")
    return ObjectStore(objects)


def test_a_store_that_does_not_answer_is_one_sentence(
    unreachable: ObjectStore, tmp_path: Path, pack: BrandPack
) -> None:
    store = PackStore(unreachable, tmp_path / "copies", bundled=None)
    with pytest.raises(ObjectStoreUnreachable, match=r"does not answer \(.*\)\. Try again, or run `onbrand doctor`\."):
        store.add(pack.directory)
