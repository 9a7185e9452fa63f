"""Tensors streamed out of files: the same as safetensors' own, never from a damaged file, within bounded memory."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from onbrand.errors import ChecksumMismatch, FileDamaged, SafetensorsInvalid, TensorsMismatch, WeightsMissing
from onbrand.hidream.weights import stream
from onbrand.hidream.weights.header import DTYPES, FormatError, places
from onbrand.hidream.weights.stream import tensors
from onbrand.packs.base import Base
from onbrand.storage.files import ByteReader, Folder, LocalFolder, ManifestFile
from tests.system import wait_until
from tests.tiny import tiny_base

SMALL = save({"a": torch.arange(12, dtype=torch.int16).reshape(3, 4), "b": torch.tensor(True)}, {"format": "pt"})


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert not reading_threads()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"))


def reading_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "weights"]


def described(path: Path) -> ManifestFile:
    content = path.read_bytes()
    return ManifestFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def written(directory: Path, content: bytes, name: str = "model.safetensors") -> ManifestFile:
    (directory / name).write_bytes(content)
    return described(directory / name)


def streamed(directory: Path, *files: ManifestFile) -> dict[str, Tensor]:
    found = list(tensors(LocalFolder(directory), files))
    assert len(dict(found)) == len(found)
    return dict(found)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """To the bit, and of the same type."""

    def plain(weights: dict[str, Tensor]) -> dict[str, Any]:
        return {
            name: (one.dtype, one.shape, one.contiguous().reshape(-1).view(torch.uint8).tolist())
            for name, one in weights.items()
        }

    return plain(found) == plain(expected)


def with_header(header: object, data: bytes = bytes(8)) -> bytes:
    """A file whose checksum will be right, and whose header is what somebody wrote there."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


# --- equal -----------------------------------------------------------------------------------------------------------


def test_every_component_of_a_base_is_streamed_as_safetensors_loads_it(base: Base) -> None:
    components = {file.path.partition("/")[0] for file in base.manifest.files if "/" in file.path}
    for component in components:
        files = base.within(component)
        expected: dict[str, Tensor] = {}
        for file in files:
            if file.path.endswith(".safetensors"):
                expected |= load_file(Path(str(base.folder)) / file.path)
        assert same(dict(tensors(base.folder, files)), expected)
    assert sum(file.path.startswith("transformer/") for file in base.manifest.files) > 4  # several shards


def test_every_type_and_shape_is_streamed_as_safetensors_loads_it(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, dtype in DTYPES.items():
        raw = torch.randint(0, 2 if dtype is torch.bool else 256, (48 * dtype.itemsize,), generator=generator)
        filled = raw.to(torch.uint8).view(dtype)
        weights |= {name: filled.reshape(2, 3, 8), f"{name} alone": filled[0].clone().reshape(())}
        weights |= {f"{name} none": torch.empty(0, dtype=dtype), f"{name} no rows": torch.empty(0, 5, dtype=dtype)}
    save_file(weights, tmp_path / "model.safetensors")
    assert same(streamed(tmp_path, described(tmp_path / "model.safetensors")), weights)


def test_a_file_without_tensors_and_no_file_at_all_give_nothing(tmp_path: Path) -> None:
    assert streamed(tmp_path, written(tmp_path, save({}))) == {}
    assert streamed(tmp_path) == {}


def test_other_files_than_safetensors_are_not_opened(tmp_path: Path) -> None:
    others = [ManifestFile(name, 1, "0" * 64) for name in ("config.json", "pytorch_model.bin", "safetensors")]
    assert same(streamed(tmp_path, *others, written(tmp_path, SMALL)), load(SMALL))


# --- damaged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_any_changed_byte_is_refused(tmp_path: Path, flip: int) -> None:
    file = written(tmp_path, SMALL)
    for position in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[position] ^= flip
        (tmp_path / file.path).write_bytes(changed)
        with pytest.raises(FileDamaged, match=r"The file model\.safetensors in .* can't be used: .*"):
            streamed(tmp_path, file)


def test_any_truncation_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    for size in range(len(SMALL)):
        (tmp_path / file.path).write_bytes(SMALL[:size])
        with pytest.raises(FileDamaged):
            streamed(tmp_path, file)
        with pytest.raises(SafetensorsInvalid):  # also where the manifest is that of the rest
            streamed(tmp_path, described(tmp_path / file.path))


def test_appended_bytes_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    (tmp_path / file.path).write_bytes(SMALL + b"\0")
    for manifest in (file, described(tmp_path / file.path)):
        with pytest.raises(FileDamaged):
            streamed(tmp_path, manifest)


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    (tmp_path / file.path).unlink()
    with pytest.raises(WeightsMissing, match=r"The file model\.safetensors is missing in .* restore it"):
        streamed(tmp_path, file)


def test_a_name_in_two_files_is_refused(tmp_path: Path) -> None:
    first, second = (written(tmp_path, SMALL, f"{n}.safetensors") for n in (1, 2))
    with pytest.raises(TensorsMismatch, match="another file has a tensor of the same name"):
        streamed(tmp_path, first, second)


def entry(begins: Any = 0, ends: Any = 8, dtype: Any = "F32", shape: Any = (2,), **others: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begins, ends], **others}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"a": entry(0, 8), "b": entry(4, 8, shape=[1])}, id="overlap"),
        pytest.param({"a": entry(0, 8), "b": entry(0, 8)}, id="two in one place"),
        pytest.param({"a": entry(4, 8, shape=[1])}, id="gap before"),
        pytest.param({"a": entry(0, 2, "I8"), "b": entry(4, 8, shape=[1])}, id="gap between"),
        pytest.param({"a": entry(0, 4, shape=[1])}, id="rest left over"),
        pytest.param({}, id="nothing named"),
        pytest.param({"a": entry(0, 16, shape=[4])}, id="beyond the end"),
        pytest.param({"a": entry(0, 2**62, shape=[2**60])}, id="far beyond the end"),
        pytest.param({"a": entry(8, 0)}, id="backwards"),
        pytest.param({"a": entry(-8, 8, shape=[4])}, id="before the beginning"),
        pytest.param({"a": entry(0.0, 8)}, id="a fraction"),
        pytest.param({"a": entry(False, 8)}, id="a truth"),
        pytest.param({"a": entry(shape=[True, 2])}, id="a truth in the shape"),
        pytest.param({"a": entry(shape=[3])}, id="shape too large"),
        pytest.param({"a": entry(shape=[1])}, id="shape too small"),
        pytest.param({"a": entry(shape=[-1, -2])}, id="negative shape"),
        pytest.param({"a": entry(), "b": entry(8, 8, shape=[0, 2**40, 2**40])}, id="empty and enormous"),
        pytest.param({"a": entry(shape=[1] * 70 + [2])}, id="many dimensions"),
        pytest.param({"a": entry(dtype="F4")}, id="unknown type"),
        pytest.param({"a": entry(dtype=None)}, id="no type"),
        pytest.param({"a": entry(more=1)}, id="more than is known"),
        pytest.param({"a": {"dtype": "F32", "shape": [2]}}, id="no place"),
        pytest.param({"a": 1}, id="no entry"),
        pytest.param({"__metadata__": {"n": 1}, "a": entry()}, id="metadata no text"),
        pytest.param({"__metadata__": [], "a": entry()}, id="metadata a list"),
        pytest.param([entry()], id="a list"),
        pytest.param(
            b'{"a":' + json.dumps(entry()).encode() + b',"a":' + json.dumps(entry()).encode() + b"}", id="twice"
        ),
        pytest.param(b" " + json.dumps({"a": entry()}).encode(), id="a blank first"),
        pytest.param(b'{"a":' * 50_000, id="deep"),
        pytest.param(b'{"a\xff":1}', id="no UTF-8"),
        pytest.param(b"\x80\x04K\x01.", id="a pickle"),
    ],
)
def test_a_header_that_lies_is_refused_though_the_checksum_is_right(tmp_path: Path, header: object) -> None:
    content = with_header(header)
    with pytest.raises(SafetensorsInvalid, match="can't be used: "):
        streamed(tmp_path, written(tmp_path, content))
    with pytest.raises(FormatError):  # at once, not only when the file ends elsewhere
        places(content[8:-8], 8)


def test_a_right_header_among_those_would_be_taken(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"n": "1"},
        "a": entry(0, 4, shape=[1]),
        "none": entry(4, 4, shape=[0]),
        "b": entry(4, 8, shape=[1]),
    }
    assert streamed(tmp_path, written(tmp_path, with_header(header))).keys() == {"a", "none", "b"}


@given(st.data())
@examples(max_examples=300, deadline=None)
def test_whatever_is_changed_on_purpose_is_refused_or_read_as_safetensors_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    changed = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position : position + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b"1", b"9", b'"', b",", b"]", b"-", b" ", b"\0", b"U16", b"a"])
        )
    content = bytes(changed)
    directory = tmp_path_factory.getbasetemp()
    try:
        found = streamed(directory, written(directory, content, "changed.safetensors"))
    except FileDamaged:
        return
    try:
        assert same(found, load(content))
    except SafetensorError as error:  # pragma: no cover
        raise AssertionError(f"safetensors refuses what was read: {content!r}") from error


@pytest.mark.parametrize("length", [90_000_000, 2**40, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_costs_no_memory(tmp_path: Path, length: int) -> None:
    file = written(tmp_path, length.to_bytes(8, "little") + b"{}")
    tracemalloc.start()
    try:
        for size in (file.size, 2**42):  # also where the manifest lies
            with pytest.raises(FileDamaged):
                streamed(tmp_path, ManifestFile(file.path, size, file.sha256))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# --- bounded, and stopped --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched(Folder):
    """A directory whose readers tell how much was read."""

    directory: Path
    count: list[int] = field(default_factory=list)

    def open(self, path: str) -> ByteReader:
        reader, count = LocalFolder(self.directory).open(path), self.count

        class Counting:
            def readinto(self, room: memoryview) -> int:
                read = reader.readinto(room)
                count.append(read)
                return read

            def close(self) -> None:
                reader.close()

        return Counting()

    def rest(self) -> int:
        """How many bytes were read when nothing more is."""

        looks: list[int] = []

        def is_quiet() -> bool:
            looks.append(len(self.count))
            return len(looks) > 5 and len(set(looks[-5:])) == 1

        wait_until(is_quiet, 20)
        return sum(self.count)


@pytest.fixture
def shards(tmp_path: Path) -> list[ManifestFile]:
    """Four files of 2 MB, each of twenty tensors."""
    for n in range(4):
        save_file(
            {f"{n}.{m}": torch.full((100_000,), m, dtype=torch.uint8) for m in range(20)}, tmp_path / f"{n}.safetensors"
        )
    return [described(path) for path in sorted(tmp_path.iterdir())]


def test_a_slow_consumer_keeps_no_more_waiting_than_agreed(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELD", 1_000_000)
    folder = Watched(tmp_path)
    arriving = tensors(folder, shards)
    found = dict([next(arriving)])
    headers = 4 * 4096
    assert 900_000 < folder.rest() <= 1_000_000 + headers
    found |= dict([next(arriving), next(arriving)])
    assert folder.rest() <= 1_200_000 + headers
    found |= dict(arriving)
    assert len(found) == 80
    assert all((tensor == int(name.partition(".")[2])).all() for name, tensor in found.items())


def test_a_tensor_larger_than_what_may_wait_comes_nevertheless(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELD", 250_000)
    save_file({"large": torch.ones(3_000_000, dtype=torch.uint8)}, tmp_path / "large.safetensors")
    for order in (
        [described(tmp_path / "large.safetensors"), *shards],
        [*shards, described(tmp_path / "large.safetensors")],
    ):
        assert len(streamed(tmp_path, *order)) == 81


def test_what_was_read_is_reported_in_the_consumers_thread(tmp_path: Path, shards: list[ManifestFile]) -> None:
    reports: list[int] = []

    def note(count: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        reports.append(count)

    for _ in tensors(LocalFolder(tmp_path), [*shards, ManifestFile("config.json", 5, "0" * 64)], on_bytes=note):
        pass
    assert sum(reports) == sum(file.size for file in shards)


def test_closing_it_early_ends_its_threads(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELD", 1_000_000)
    with closing(tensors(LocalFolder(tmp_path), shards)) as arriving:
        next(arriving)
        assert reading_threads()
    assert not reading_threads()


def test_a_damaged_file_ends_the_reading_of_all(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HELD", 300_000)
    folder = Watched(tmp_path)
    with pytest.raises(ChecksumMismatch):
        dict(tensors(folder, [ManifestFile("0.safetensors", shards[0].size, "0" * 64), *shards[1:]]))
    assert not reading_threads()


def test_a_process_may_end_in_the_middle(tmp_path: Path) -> None:
    for n in range(2):
        header = {f"{n}.{m}": entry(m * 1000, (m + 1) * 1000, "U8", [1000]) for m in range(40_000)}
        with (tmp_path / f"{n}.safetensors").open("wb") as file:
            file.write(with_header(header, b""))
            file.truncate(file.tell() + 40_000_000)
    script = f"""
import sys
from pathlib import Path
from onbrand.storage.files import LocalFolder, ManifestFile
from onbrand.hidream.weights.stream import tensors
directory = Path({str(tmp_path)!r})
files = [ManifestFile(path.name, path.stat().st_size, "0" * 64) for path in directory.iterdir()]
arriving = tensors(LocalFolder(directory), files)
next(arriving)
sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_nothing_is_read_before_the_first_is_wanted(tmp_path: Path, shards: list[ManifestFile]) -> None:
    folder = Watched(tmp_path)
    arriving = tensors(folder, shards)
    assert not folder.count
    assert len(dict(arriving)) == 80
