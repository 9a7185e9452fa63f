"""Makes a directory of weights in diffusers' layout a base: `base.json`, with the hash of every file in it.

Whoever runs this has looked at where the weights came from; from then on nothing about them can change unnoticed. It
downloads nothing, and changes no other file. `docs/models.md` says how to obtain the weights.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from onbrand.errors import (
    CodeInBase,
    ConfigError,
    DataDirUnwritable,
    FileUnreadable,
    SafetensorsInvalid,
    WeightsMissing,
)
from onbrand.hidream.models import MODELS, Model
from onbrand.hidream.weights.header import LENGTH_BYTES, FormatError, header_length, places
from onbrand.hidream.weights.stream import SUFFIX
from onbrand.packs.base import BASE_MANIFEST, Base, BaseManifest, Source, load_base
from onbrand.packs.manifest import canonical
from onbrand.storage.files import LocalFolder, ManifestFile

_TOKENIZERS = "tokenizer"  # how their folders' names begin
_AT_ONCE = 4  # files that are hashed, each by a thread
# Loading one of these may run what somebody wrote into it. Nothing here would; but a base shouldn't hold them at all.
_CODE = {".bin", ".ckpt", ".dill", ".joblib", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".h5"}
_CODE |= {".dll", ".dylib", ".ipynb", ".py", ".pyc", ".pyd", ".sh", ".so"}
_SOURCE = re.compile(r"([^=@]+)=([^=@]+)@([0-9a-f]{40})")


def parse_source(text: str) -> Source:
    """A component's source from `FOLDER=REPOSITORY@REVISION`.

    Raises:
        ConfigError: it is written otherwise.
    """
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise ConfigError(
            "Write a source as FOLDER=REPOSITORY@REVISION, the revision being a commit's 40 hexadecimal digits: a"
            " branch's name would stand for something else tomorrow."
        )
    return Source(found[1], found[2], found[3])


def write_base(directory: Path, model_name: str, sources: Sequence[Source]) -> Base:
    """Hash every file of the components and tokenizers in `directory`, and write `base.json`, whole or not at all.

    A hidden file, and whatever lies beside their folders, is no part of the base and never read.

    Raises:
        ConfigError: there is no such model, the sources aren't those of its components, or the base was pinned before
            and has changed since.
        WeightsMissing: a component has no weights in the directory.
        CodeInBase: a file may hold code.
        SafetensorsInvalid: a file is called `.safetensors` and is not one.
        FileUnreadable: the operating system cannot read a file.
        DataDirUnwritable: the manifest cannot be written.
    """
    model = MODELS.get(model_name)
    if model is None:
        raise ConfigError(f"There is no such model: choose {', '.join(MODELS)}.")
    complete = _complete(model, sources)
    paths = sorted(_files(directory, model))
    for folder in model.components:
        if not any(path.startswith(f"{folder}/") and path.endswith(SUFFIX) for path in paths):
            raise WeightsMissing(f"There are no weights in {directory / folder}: put its {SUFFIX} files there.")
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        files = tuple(threads.map(lambda path: _pinned(directory, path), paths))
    _write(directory / BASE_MANIFEST, canonical(asdict(BaseManifest(1, model_name, complete, files))))
    return load_base(LocalFolder(directory))


def _complete(model: Model, sources: Sequence[Source]) -> tuple[Source, ...]:
    given = {source.folder: source for source in sources}
    if len(given) != len(sources):
        raise ConfigError("Name each component's source once.")
    if unknown := sorted(given.keys() - model.components.keys()):
        raise ConfigError(f"{model.title} has no component {unknown[0]}: it has {', '.join(model.components)}.")
    foreign = {folder: part.repository for folder, part in model.components.items() if part.repository}
    if missing := [folder for folder in foreign if folder not in given]:
        raise ConfigError(
            f"Say where {missing[0]} came from: --source {missing[0]}={foreign[missing[0]]}@REVISION, the revision"
            " being the commit you downloaded."
        )
    return tuple(given.get(folder, Source(folder, "", "")) for folder in model.components)


def _files(directory: Path, model: Model) -> Iterator[str]:
    folders = {*model.components, *(path.name for path in directory.glob(f"{_TOKENIZERS}*"))}
    # Links are followed: a component may lie on another disk, or in a cache.
    for folder in folders:
        for parent, below, names in os.walk(directory / folder, followlinks=True):
            below[:] = [name for name in below if not name.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    yield (Path(parent) / name).relative_to(directory).as_posix()


def _pinned(directory: Path, path: str) -> ManifestFile:
    if Path(path).suffix.lower() in _CODE:
        raise CodeInBase(
            f"The file {path} in {directory} may hold code, which a base must not: remove it (weights are read from"
            f" {SUFFIX} files only)."
        )
    try:
        with (directory / path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if path.endswith(SUFFIX):
                length = header_length(file.read(LENGTH_BYTES), size)
                places(file.read(length), size - LENGTH_BYTES - length)
                file.seek(0)
            return ManifestFile(path, size, hashlib.file_digest(file, "sha256").hexdigest())
    except FormatError as error:
        raise SafetensorsInvalid(f"The file {path} in {directory} can't be used: {error}; download it again.") from None
    except OSError as error:
        raise FileUnreadable(f"The file {path} in {directory} can't be read ({error.strerror}).") from None


def _write(manifest: Path, content: bytes) -> None:
    part = manifest.with_name(f".{manifest.name}.{uuid4().hex}")
    try:
        if manifest.exists() and manifest.read_bytes() != content:
            raise ConfigError(
                f"{manifest} was written for other files or sources than these. If they were changed on purpose, remove"
                " it: brand packs made for the former ones won't fit any more."
            )
        part.write_bytes(content)
        part.replace(manifest)
    except OSError as error:
        raise DataDirUnwritable(f"{manifest} can't be written ({error.strerror}). Make its folder writable.") from None
    finally:
        with suppress(OSError):
            part.unlink()
