"""Speed of loading weights from this machine's disk into an allocated model: ours with checksums, and others without.

Expected before measuring: about 2 GB/s with two cores. A core hashes 1.8 GB/s, and reading and copying take it as long
again. Without hashing it should be faster by that time; with hashing afterwards, slower.

Each run copies 2 GiB in four shards into existing tensors, as `load_state` does. Run:ai's streamer is measured too if
it is installed: `pip install --target DIR runai-model-streamer`, then `PYTHONPATH=DIR`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.report import Figure
from onbrand.hidream.weights import stream
from onbrand.packs.manifest import verify_file
from onbrand.storage.files import LocalFolder, ManifestFile

ROUNDS = 5
SHARDS, EACH, SIDE = 4, 16, 4096  # bfloat16 matrices of 32 MiB
_RUNAI = "runai_model_streamer"
Model = dict[str, Tensor]


def measure() -> Iterator[Figure]:
    """Gigabytes (10^9) per second. All loaders take turns; first with the files in memory, then from the disk."""
    with tempfile.TemporaryDirectory(prefix="onbrand-") as folder:
        directory = Path(folder)
        files = [_shard(directory, number) for number in range(SHARDS)]
        model = {name: tensor.clone() for file in files for name, tensor in load_file(directory / file.path).items()}
        yield Figure("SHA-256, one core", "GB/s", [_hashed_per_second() for _ in range(ROUNDS)])
        for state in ("in memory", "on disk"):
            yield from _compared(directory, files, model, state)


def _compared(directory: Path, files: Sequence[ManifestFile], model: Model, state: str) -> Iterator[Figure]:
    folder = LocalFolder(directory)
    paths = [directory / file.path for file in files]

    def then_hashed(load: Callable[[], None]) -> None:
        load()
        for file in files:
            verify_file(folder, file)

    def ours() -> None:
        _copy(model, stream.stream_tensors(folder, files))

    def safetensors() -> None:
        _copy(model, _load_files(paths))

    def run_ai() -> None:
        _copy(model, _run_ai(paths))

    loaders: dict[str, Callable[[], None]] = {
        "ours, hashed on the way": ours,
        "safetensors, not hashed": safetensors,
        "safetensors, then hashed": partial(then_hashed, safetensors),
    }
    if importlib.util.find_spec(_RUNAI):
        loaders |= {
            "Run:ai's streamer, not hashed": run_ai,
            "Run:ai's streamer, then hashed": partial(then_hashed, run_ai),
        }
    gigabytes = sum(file.size for file in files) / 1e9
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, load in loaders.items():
            if state == "on disk":
                _drop_from_cache(paths)
            started, used = time.perf_counter(), time.process_time()
            load()
            seconds, processor = time.perf_counter() - started, time.process_time() - used
            samples[name].append((gigabytes / seconds, processor / gigabytes))
    for name, runs in samples.items():
        yield Figure(f"weights {state}: {name}", "GB/s", [speed for speed, _ in runs])
        # Of all threads together. Other programs on the machine change it less than the seconds.
        yield Figure("… the processor's time for a gigabyte of it", "s", [processor for _, processor in runs])


def _shard(directory: Path, number: int) -> ManifestFile:
    generator = torch.Generator().manual_seed(number)
    bits = torch.randint(-(2**15), 2**15, (EACH, SIDE, SIDE), dtype=torch.int16, generator=generator)
    path = directory / f"model-{number}.safetensors"
    save_file({f"layers.{number}.{n}": matrix.view(torch.bfloat16) for n, matrix in enumerate(bits)}, path)
    with path.open("rb") as file:
        return ManifestFile(path.name, path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _copy(model: Model, tensors: Iterable[tuple[str, Tensor]]) -> None:
    for name, tensor in tensors:
        model[name].copy_(tensor)


def _load_files(paths: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    for path in paths:
        yield from load_file(path).items()


def _run_ai(paths: Sequence[Path]) -> Iterator[tuple[str, Tensor]]:
    streamer = importlib.import_module(_RUNAI).SafetensorsStreamer
    with streamer() as opened:
        opened.stream_files([str(path) for path in paths])
        yield from opened.get_tensors()


def _drop_from_cache(paths: Sequence[Path]) -> None:
    """Make the system drop these files from its memory."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _hashed_per_second() -> float:
    block, digest = os.urandom(2**20), hashlib.sha256()
    started = time.perf_counter()
    for _ in range(1024):
        digest.update(block)
    return 1024 * len(block) / 1e9 / (time.perf_counter() - started)
