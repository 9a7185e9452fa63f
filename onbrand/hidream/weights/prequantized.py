"""Artefacts: a network as it is held in memory, stored, so that the next start neither fuses nor quantises it anew.

They are derived, never the source of truth: each can be deleted and made again. Its key is all that it depends on:
what it is `of` (a transformer with a LoRA is its pack's, a text encoder its base's, by their ids), the component, the
precision, and the number of our own layout. Nothing here fuses, quantises or decides whether an artefact is wanted.
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

LAYOUT = 1  # one more whenever `moe.py`, `int8.py` or diffusers name, shape or scale a stored tensor otherwise
MANIFEST = "artefact.json"
SHARD_BYTES = 2 * 1024**3  # several, so that several are read at once


@dataclass(frozen=True)
class Key:
    """What an artefact is of; as text, its folder."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    of: Sha256  # the id of a pack or of a base
    component: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]  # a folder of the base
    precision: Precision
    layout: int = LAYOUT

    def __str__(self) -> str:
        return f"{self.of}/{self.component}-{self.precision}-{self.layout}"


@dataclass(frozen=True)
class ArtefactManifest:
    """The whole of `artefact.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    key: Key
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Artefact:
    """One that is there. What its files hold is checked when they are read."""

    folder: Folder
    key: Key
    files: tuple[ManifestFile, ...]  # below `folder`

    def tensors(self, *, on_bytes: Callable[[int], None] = lambda _: None) -> Iterator[tuple[str, Tensor]]:
        """The network's `state_dict`, for `fill.fill`; as `stream.tensors`.

        Raises:
            PreparedWeightsDamaged: a file is missing or differs from its size or SHA-256.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `stream.tensors`.
        """
        try:
            yield from stream.tensors(self.folder, self.files, on_bytes=on_bytes)
        except (WeightsMissing, FileDamaged, TensorsMismatch) as error:
            raise _damaged(self.folder, self.key) from error


def load_artefact(folder: Folder, of: str, component: str, precision: Precision) -> Artefact | None:
    """The artefact with this key, if there is one. Its tensors are not read yet.

    Raises:
        PreparedWeightsDamaged: it is there, but its manifest is another's or cannot be read.
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
        manifest = TypeAdapter(ArtefactManifest).validate_json(document)
    except ValidationError:
        raise _damaged(folder, key) from None
    if manifest.key != key:
        raise _damaged(folder, key)
    return Artefact(folder, key, tuple(replace(file, path=f"{key}/{file.path}") for file in manifest.files))


def store_artefact(
    directory: Path,
    module: nn.Module,
    of: str,
    component: str,
    precision: Precision,
    *,
    shard_bytes: int = SHARD_BYTES,
) -> Artefact | None:
    """Store a filled network, unless it is there; None if another process is just storing it.

    No more than a shard's bytes are copied to host memory at once. It appears whole or not at all, and what an attempt
    that was cut off left behind is removed by the next one.

    Raises:
        DataDirUnwritable: the disk is full, or the directory is not ours to write.
        PreparedWeightsDamaged: it is there, but its manifest is another's or cannot be read.
    """
    key = Key(of, component, precision)
    place = directory / str(key)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with _turn(place.with_name(f".{place.name}.lock")) as is_ours:
            if not is_ours:
                return None
            if not place.exists():
                partial = place.with_name(f".{place.name}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                try:
                    _write(partial, module, key, shard_bytes)
                    partial.rename(place)
                    local_disk.sync(directory, f"{key}")
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise DataDirUnwritable(
            f"{directory} cannot keep the prepared {component} ({error}): free some room there, or let us write to it."
        ) from error
    return load_artefact(LocalFolder(directory), of, component, precision)


def _write(partial: Path, module: nn.Module, key: Key, shard_bytes: int) -> None:
    """All files, the manifest last."""
    files = []
    for number, shard in enumerate(shards(module, shard_bytes)):
        path = partial / f"{number:05}{stream.SUFFIX}"
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in shard.items()}, path)
        local_disk.sync(partial, path.name)
        with path.open("rb") as written:
            checksum = hashlib.file_digest(written, "sha256").hexdigest()
        files.append(ManifestFile(path.name, path.stat().st_size, checksum))
    (partial / MANIFEST).write_bytes(canonical(asdict(ArtefactManifest(1, key, tuple(files)))))
    local_disk.sync(partial, MANIFEST)


def shards(module: nn.Module, shard_bytes: int) -> Iterator[dict[str, Tensor]]:
    """The `state_dict` in parts; of tied parameters the first name only, as `fill.fill` expects."""
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
def _turn(lock: Path) -> Iterator[bool]:
    """Whether we are the one process that writes. The kernel lets go of the lock when we die."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(descriptor)


def _damaged(folder: Folder, key: Key) -> PreparedWeightsDamaged:
    return PreparedWeightsDamaged(
        f"The prepared {key} in {folder} is damaged: delete it, or prepare it anew with `onbrand pack prepare`. Without"
        " it a start only takes longer."
    )
