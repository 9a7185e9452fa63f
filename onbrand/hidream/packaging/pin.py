"""Turn a directory of weights in diffusers' layout into a base: write `base.json`, with the hash of every file.

The operator checks where the weights came from before running this. After that, every change of a file is detected.
This module downloads nothing and changes no other file. `docs/models.md` explains how to obtain the weights.
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
from onbrand.hidream.weights.stream import SUFFIX
from onbrand.packs.base import BASE_MANIFEST, Base, BaseManifest, Source, load_base
from onbrand.packs.manifest import canonical
from onbrand.storage.files import LocalFolder, ManifestFile
from onbrand.storage.safetensors_header import LENGTH_BYTES, FormatError, header_length, tensor_entries

_TOKENIZERS = "tokenizer"  # the prefix of their folders' names
_MAX_THREADS = 4  # each hashes one file
# Loading such a file can run code that is in it. Onbrand loads none of them, but a base must not even contain them.
_CODE = {".bin", ".ckpt", ".dill", ".joblib", ".msgpack", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth", ".h5"}
_CODE |= {".dll", ".dylib", ".ipynb", ".py", ".pyc", ".pyd", ".sh", ".so"}
_SOURCE = re.compile(r"([^=@]+)=([^=@]+)@([0-9a-f]{40})")


def parse_source(text: str) -> Source:
    """Parse the source of a component: `FOLDER=REPOSITORY@REVISION`.

    Raises:
        ConfigError: the text has another form.
    """
    found = _SOURCE.fullmatch(text)
    if found is None:
        raise ConfigError(
            "Write a source as FOLDER=REPOSITORY@REVISION. The revision is the 40 hexadecimal digits of a commit; a"
            " branch can point to another commit tomorrow."
        )
    return Source(found[1], found[2], found[3])


def write_base(directory: Path, model_name: str, sources: Sequence[Source]) -> Base:
    """Hash every file of the components and tokenizers in `directory`, and write `base.json` in one step.

    Hidden files, and files beside these folders, are not part of the base and are not read.

    Raises:
        ConfigError: the model is unknown, the sources do not match its components, or the directory has a `base.json`
            already and the files or sources have changed.
        WeightsMissing: a component has no weights in the directory.
        CodeInBase: a file can contain code.
        SafetensorsInvalid: a file is called `.safetensors` and is not one.
        FileUnreadable: the operating system cannot read a file.
        DataDirUnwritable: the manifest cannot be written.
    """
    model = MODELS.get(model_name)
    if model is None:
        raise ConfigError(f"There is no such model: choose {', '.join(MODELS)}.")
    complete = _sources_of(model, sources)
    paths = sorted(_files(directory, model))
    for folder in model.components:
        if not any(path.startswith(f"{folder}/") and path.endswith(SUFFIX) for path in paths):
            raise WeightsMissing(f"There are no weights in {directory / folder}: put its {SUFFIX} files there.")
    with ThreadPoolExecutor(_MAX_THREADS) as threads:
        files = tuple(threads.map(lambda path: _pinned(directory, path), paths))
    _write(directory / BASE_MANIFEST, canonical(asdict(BaseManifest(1, model_name, complete, files))))
    return load_base(LocalFolder(directory))


def _sources_of(model: Model, sources: Sequence[Source]) -> tuple[Source, ...]:
    given = {source.folder: source for source in sources}
    if len(given) != len(sources):
        raise ConfigError("Name the source of each component only once.")
    if unknown := sorted(given.keys() - model.components.keys()):
        raise ConfigError(f"{model.title} has no component {unknown[0]}: it has {', '.join(model.components)}.")
    downloaded = {folder: part.repository for folder, part in model.components.items() if part.repository}
    if missing := [folder for folder in downloaded if folder not in given]:
        raise ConfigError(
            f"Say where {missing[0]} came from: --source {missing[0]}={downloaded[missing[0]]}@REVISION. The revision"
            " is the commit that you downloaded."
        )
    return tuple(given.get(folder, Source(folder, "", "")) for folder in model.components)


def _files(directory: Path, model: Model) -> Iterator[str]:
    folders = {*model.components, *(path.name for path in directory.glob(f"{_TOKENIZERS}*"))}
    # Links are followed, because a component may be on another disk or in a cache.
    for folder in folders:
        for parent, below, names in os.walk(directory / folder, followlinks=True):
            below[:] = [name for name in below if not name.startswith(".")]
            for name in names:
                if not name.startswith("."):
                    yield (Path(parent) / name).relative_to(directory).as_posix()


def _pinned(directory: Path, path: str) -> ManifestFile:
    if Path(path).suffix.lower() in _CODE:
        raise CodeInBase(
            f"The file {path} in {directory} can contain code, which a base must not: remove it (weights are read from"
            f" {SUFFIX} files only)."
        )
    try:
        with (directory / path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if path.endswith(SUFFIX):
                length = header_length(file.read(LENGTH_BYTES), size)
                tensor_entries(file.read(length), size - LENGTH_BYTES - length)
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
                f"{manifest} was written for other files or sources. If you changed them on purpose, remove it. Brand"
                " packs that were built for the old files will not fit any more."
            )
        part.write_bytes(content)
        part.replace(manifest)
    except OSError as error:
        raise DataDirUnwritable(f"{manifest} can't be written ({error.strerror}). Make its folder writable.") from None
    finally:
        with suppress(OSError):
            part.unlink()
