"""Streaming tensors from files: equal to safetensors' own loader, limited memory, threads that end."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor

from onbrand.errors import ChecksumMismatch
from onbrand.hidream.weights import stream
from onbrand.hidream.weights.stream import DTYPES, stream_tensors
from onbrand.packs.base import Base
from onbrand.storage.files import ByteReader, Folder, LocalFolder, ManifestFile
from tests.integration.hidream.safetensors_files import (
    SMALL,
    described,
    entry,
    reading_threads,
    same,
    streamed,
    with_header,
    written,
)
from tests.system import wait_until
from tests.tiny import tiny_base


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert not reading_threads()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return tiny_base(tmp_path_factory.mktemp("base"))


def test_every_component_of_a_base_is_streamed_as_safetensors_loads_it(base: Base) -> None:
    components = {file.path.partition("/")[0] for file in base.manifest.files if "/" in file.path}
    for component in components:
        files = base.within(component)
        expected: dict[str, Tensor] = {}
        for file in files:
            if file.path.endswith(".safetensors"):
                expected |= load_file(Path(str(base.folder)) / file.path)
        assert same(dict(stream_tensors(base.folder, files)), expected)
    assert sum(file.path.startswith("transformer/") for file in base.manifest.files) > 4  # several shards


def test_every_type_and_shape_is_streamed_as_safetensors_loads_it(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}
    for name, dtype in DTYPES.items():
        raw = torch.randint(0, 2 if dtype is torch.bool else 256, (48 * dtype.itemsize,), generator=generator)
        filled = raw.to(torch.uint8).view(dtype)
        weights |= {name: filled.reshape(2, 3, 8), f"{name} alone": filled[0].clone().reshape(())}
        weights |= {f"{name} none": torch.empty(0, dtype=dtype), f"{name} no rows": torch.empty(0, 5, dtype=dtype)}
    save_file(weights, tmp_path / "model.safetensors")
    assert same(streamed(tmp_path, described(tmp_path / "model.safetensors")), weights)


def test_a_file_without_tensors_and_no_files_give_nothing(tmp_path: Path) -> None:
    assert streamed(tmp_path, written(tmp_path, save({}))) == {}
    assert streamed(tmp_path) == {}


def test_other_files_than_safetensors_are_not_opened(tmp_path: Path) -> None:
    others = [ManifestFile(name, 1, "0" * 64) for name in ("config.json", "pytorch_model.bin", "safetensors")]
    assert same(streamed(tmp_path, *others, written(tmp_path, SMALL)), load(SMALL))


@dataclass(frozen=True)
class CountingFolder(Folder):
    """A directory that counts the bytes that its readers read."""

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

    def settled(self) -> int:
        """Wait until nothing more is read, and return how many bytes were read."""
        counts: list[int] = []

        def is_quiet() -> bool:
            counts.append(len(self.count))
            return len(counts) > 5 and len(set(counts[-5:])) == 1

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


def test_with_a_slow_consumer_the_waiting_tensors_stay_within_the_limit(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING_BYTES", 1_000_000)
    folder = CountingFolder(tmp_path)
    arriving = stream_tensors(folder, shards)
    found = dict([next(arriving)])
    headers = 4 * 4096
    assert 900_000 < folder.settled() <= 1_000_000 + headers
    found |= dict([next(arriving), next(arriving)])
    assert folder.settled() <= 1_200_000 + headers
    found |= dict(arriving)
    assert len(found) == 80
    assert all((tensor == int(name.partition(".")[2])).all() for name, tensor in found.items())


def test_a_tensor_larger_than_the_limit_is_read_too(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING_BYTES", 250_000)
    save_file({"large": torch.ones(3_000_000, dtype=torch.uint8)}, tmp_path / "large.safetensors")
    for order in (
        [described(tmp_path / "large.safetensors"), *shards],
        [*shards, described(tmp_path / "large.safetensors")],
    ):
        assert len(streamed(tmp_path, *order)) == 81


def test_bytes_are_reported_in_the_consumers_thread(tmp_path: Path, shards: list[ManifestFile]) -> None:
    reports: list[int] = []

    def note(count: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        reports.append(count)

    for _ in stream_tensors(LocalFolder(tmp_path), [*shards, ManifestFile("config.json", 5, "0" * 64)], on_bytes=note):
        pass
    assert sum(reports) == sum(file.size for file in shards)


def test_closing_early_ends_the_threads(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING_BYTES", 1_000_000)
    with closing(stream_tensors(LocalFolder(tmp_path), shards)) as arriving:
        next(arriving)
        assert reading_threads()
    assert not reading_threads()


def test_a_damaged_file_ends_all_threads(
    tmp_path: Path, shards: list[ManifestFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_WAITING_BYTES", 300_000)
    folder = CountingFolder(tmp_path)
    with pytest.raises(ChecksumMismatch):
        dict(stream_tensors(folder, [ManifestFile("0.safetensors", shards[0].size, "0" * 64), *shards[1:]]))
    assert not reading_threads()


def test_a_process_may_exit_while_it_reads(tmp_path: Path) -> None:
    for n in range(2):
        header = {f"{n}.{m}": entry(m * 1000, (m + 1) * 1000, "U8", [1000]) for m in range(40_000)}
        with (tmp_path / f"{n}.safetensors").open("wb") as file:
            file.write(with_header(header, b""))
            file.truncate(file.tell() + 40_000_000)
    script = f"""
import sys
from pathlib import Path
from onbrand.storage.files import LocalFolder, ManifestFile
from onbrand.hidream.weights.stream import stream_tensors
directory = Path({str(tmp_path)!r})
files = [ManifestFile(path.name, path.stat().st_size, "0" * 64) for path in directory.iterdir()]
arriving = stream_tensors(LocalFolder(directory), files)
next(arriving)
sys.exit(7)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (7, b"")


def test_nothing_is_read_before_the_first_tensor_is_requested(tmp_path: Path, shards: list[ManifestFile]) -> None:
    folder = CountingFolder(tmp_path)
    arriving = stream_tensors(folder, shards)
    assert not folder.count
    assert len(dict(arriving)) == 80
