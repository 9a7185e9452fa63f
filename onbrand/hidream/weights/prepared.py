"""Prepared weights: a network stored exactly as it is in memory, with its LoRA fused and its matrices quantized.

A start that finds prepared weights has less to read and to compute. They are derived data: they can be deleted and
prepared again at any time. Their key has everything that they depend on: the id of the pack (for a transformer with its
LoRA) or of the base (for a text encoder), the component, the precision, and the number of our layout. This module only
stores and loads. `packaging/prepare.py` decides what to prepare; `load.py` fuses and quantizes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from onbrand.errors import DataDirUnwritable, FileDamaged, PreparedWeightsDamaged, TensorsMismatch, WeightsMissing
from onbrand.hidream.models import Precision
from onbrand.hidream.weights import stream
from onbrand.packs.manifest import canonical
from onbrand.storage import local_disk
from onbrand.storage.files import STRICT, Folder, LocalFolder, ManifestFile, Sha256

LAYOUT = 1  # add 1 if `network/` changes the name, shape or scale of a stored tensor
MANIFEST = "artefact.json"
SHARD_BYTES = 2 * 1024**3  # several files can be read in parallel


@dataclass(frozen=True)
class Key:
    """The key of prepared weights. As text, it is the path of their folder."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    of: Sha256  # the id of a pack or of a base
    component: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]  # a folder of the base
    precision: Precision
    layout: int = LAYOUT

    def __str__(self) -> str:
        return f"{self.of}/{self.component}-{self.precision}-{self.layout}"


@dataclass(frozen=True)
class PreparedManifest:
    """The content of `artefact.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    key: Key
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]


@dataclass(frozen=True)
class PreparedWeights:
    """Prepared weights that exist. The content of their files is verified when it is read."""

    folder: Folder
    key: Key
    files: tuple[ManifestFile, ...]  # paths relative to `folder`

    def tensors(self, *, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[tuple[str, Tensor]]:
        """Stream the network's `state_dict`, for `load_state`. See `stream.stream_tensors`.

        Raises:
            PreparedWeightsDamaged: a file is missing or differs from its size or SHA-256.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `stream_tensors`.
        """
        try:
            yield from stream.stream_tensors(self.folder, self.files, on_bytes=on_bytes)
        except (WeightsMissing, FileDamaged, TensorsMismatch) as error:
            raise _damaged(self.folder, self.key) from error


def load_prepared(folder: Folder, of: str, component: str, precision: Precision) -> PreparedWeights | None:
    """Find the prepared weights with this key; None if there are none. Their tensors are not read yet.

    Raises:
        PreparedWeightsDamaged: they exist, but their manifest cannot be read or has another key.
        ObjectStoreRefused, ObjectStoreUnreachable: as for `Folder.read`.
    """
    key = Key(of, component, precision)
    try:
        document = folder.read(f"{key}/{MANIFEST}")
    except WeightsMissing:
        return None
    except FileDamaged as error:
        raise _damaged(folder, key) from error
    try:
        manifest = TypeAdapter(PreparedManifest).validate_json(document)
    except ValidationError:
        raise _damaged(folder, key) from None
    if manifest.key != key:
        raise _damaged(folder, key)
    return PreparedWeights(folder, key, tuple(replace(file, path=f"{key}/{file.path}") for file in manifest.files))


def store_prepared(
    directory: Path,
    module: nn.Module,
    of: str,
    component: str,
    precision: Precision,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> PreparedWeights | None:
    """Store a network, unless it is stored already. Return None if another process is storing it right now.

    At most the bytes of one shard are copied to host memory at the same time. The folder appears only when it is
    complete. If the process is killed, the next call removes the incomplete files.

    Raises:
        DataDirUnwritable: the disk is full, or the directory is not writable.
        PreparedWeightsDamaged: they exist, but their manifest cannot be read or has another key.
    """
    key = Key(of, component, precision)
    target = directory / str(key)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(target.with_name(f".{target.name}.lock")) as is_locked:
            if not is_locked:
                return None
            if not target.exists():
                partial = target.with_name(f".{target.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    _write(partial, module, key, shard_bytes)
                    partial.rename(target)
                    local_disk.sync(directory, f"{key}")
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise DataDirUnwritable(
            f"{directory} cannot keep the prepared {component} ({error}): free some room there, or make it writable."
        ) from error
    return load_prepared(LocalFolder(directory), of, component, precision)


def _write(partial: Path, module: nn.Module, key: Key, shard_bytes: int) -> None:
    """Write all files; the manifest is the last one."""
    files = []
    for number, shard in enumerate(shards(module, shard_bytes)):
        path = partial / f"{number:05}{stream.SUFFIX}"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in shard.items()}, path)
        local_disk.sync(partial, path.name)
        with path.open("rb") as written:
            checksum = hashlib.file_digest(written, "sha256").hexdigest()
        files.append(ManifestFile(path.name, path.stat().st_size, checksum))
    (partial / MANIFEST).write_bytes(canonical(asdict(PreparedManifest(1, key, tuple(files)))))
    local_disk.sync(partial, MANIFEST)


def shards(module: nn.Module, shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    """Split the `state_dict` into shards. Of tied parameters only the first is included, as `load_state` expects."""
    shard: dict[str, Tensor] = {}
    size, seen = 0, set[int]()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if shard and size + tensor.nbytes > shard_bytes:
            yield shard
            shard, size = {}, 0
        shard[name] = tensor
        size += tensor.nbytes
    if shard:
        yield shard


@contextmanager
def _exclusive(lock: Path) -> Iterator[bool]:
    """Try to lock the file; yield whether it worked. The kernel releases the lock when the process dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_locked = True
        except BlockingIOError:
            is_locked = False
        yield is_locked
    finally:
        os.close(descriptor)


def _damaged(folder: Folder, key: Key) -> PreparedWeightsDamaged:
    return PreparedWeightsDamaged(
        f"The prepared {key} in {folder} is damaged: delete it, or prepare it again with `onbrand pack prepare`."
        " Without it, a start only takes longer."
    )
