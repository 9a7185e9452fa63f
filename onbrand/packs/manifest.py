"""What a worker loads: a *base* (the weights of a model) and a *brand pack* (the brand's LoRA and its settings).

Both are immutable folders with a manifest (`base.json`, `pack.json`) that names every file with its size and SHA-256.
So the id of either, the hash of its manifest, stands for all of it; and as a pack names its base by id, a pack's id
stands for everything that a picture depends on, seed and prompt aside.

It reads and checks; it neither loads a tensor (that is `hidream`), nor makes a pack, nor knows which one is live.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from onbrand.config import Settings
from onbrand.errors import ChecksumMismatch, ConfigError, ManifestInvalid, PackUnfit, WeightsMissing
from onbrand.jobs.models import Pack
from onbrand.storage.files import (
    REMEDY,
    STRICT,
    Folder,
    LocalFolder,
    ManifestFile,
    RelativePath,
    Sha256,
    is_whole,
    open_folder,
)

MANIFEST = "pack.json"
BASE_MANIFEST = "base.json"
SAMPLE = "sample"  # the folder of a base with a pack to begin with

Line = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\P{C}+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Document = TypeVar("Document")


@dataclass(frozen=True)
class Source:
    """Where a component of a base came from. `revision` is a commit's 40 hexadecimal digits, or "" for our own."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    folder: RelativePath
    repository: Annotated[str, Field(max_length=200)]
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]


@dataclass(frozen=True)
class BaseManifest:
    """The whole of `base.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    model: Line  # a row of `hidream.models`
    sources: tuple[Source, ...]
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        _refuse_twice(self.files)

    @property
    def id(self) -> str:
        """What packs call this base: SHA-256 of the canonical manifest."""
        return digest(asdict(self))


@dataclass(frozen=True)
class Lora:
    """The brand's adapter. `adapted_modules` are the transformer's module names it must touch: these and no others."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    file: RelativePath
    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    scale: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]
    adapted_modules: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Probe:
    """What the transformer answers to a fixed input, without and with the LoRA: see `hidream.health`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    base: Annotated[tuple[Number, ...], Field(min_length=8, max_length=64)]
    fused: Annotated[tuple[Number, ...], Field(min_length=8, max_length=64)]

    def __post_init__(self) -> None:
        if len(self.base) != len(self.fused):
            raise ValueError("`base` and `fused` must have as many numbers")


@dataclass(frozen=True)
class Manifest:
    """The whole of `pack.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[2]
    name: Line
    version: Line
    base_model: Line  # a row of `hidream.models`
    base: Sha256  # the id of the base that the LoRA was trained on
    prompt_suffix: Annotated[str, Field(max_length=200)]  # the trigger words, appended to every prompt
    prompt_token_limit: Annotated[int, Field(ge=16, le=512)]
    steps: Annotated[int, Field(ge=1, le=200)]
    guidance_scale: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)]
    shift: Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)]  # of the scheduler's sigmas
    lora: Lora
    probe: Probe
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]
    examples: Annotated[tuple[Line, ...], Field(max_length=6)] = ()  # prompts that it is known to draw well

    def __post_init__(self) -> None:
        _refuse_twice(self.files)
        if self.lora.file not in {file.path for file in self.files}:
            raise ValueError("`files` must name the LoRA's file too")
        if len(set(self.lora.adapted_modules)) != len(self.lora.adapted_modules):
            raise ValueError("`adapted_modules` names a module twice")


@dataclass(frozen=True)
class Base:
    """The weights of a model, in a folder."""

    folder: Folder = field(compare=False)
    manifest: BaseManifest

    @property
    def id(self) -> str:
        """What packs call it."""
        return self.manifest.id

    def within(self, component: str) -> tuple[ManifestFile, ...]:
        """The files of one component's folder."""
        return tuple(file for file in self.manifest.files if file.path.startswith(f"{component}/"))

    def read(self, path: str) -> bytes:
        """A small file, whole, compared with the manifest; errors as for `verify`."""
        data = self.folder.read(path)
        listed = next((file for file in self.manifest.files if file.path == path), None)
        if listed is None or hashlib.sha256(data).hexdigest() != listed.sha256:
            raise ChecksumMismatch(f"The file {path} in {self.folder} differs from its checksum: {REMEDY}.")
        return data

    def require_fit(self, pack: Manifest) -> None:
        """Do nothing if a pack was made for exactly these weights.

        Raises:
            PackUnfit: it was made for others.
        """
        if (pack.base_model, pack.base) != (self.manifest.model, self.id):
            raise PackUnfit(
                f"The brand pack was made for {pack.base_model} with the id {pack.base[:12]}, and {self.folder} holds"
                f" {self.manifest.model} with the id {self.id[:12]}. Set ONBRAND_MODEL and ONBRAND_MODEL_PATH to the"
                " pack's own base, or build the pack anew on this one."
            )

    def verify(self) -> None:
        """Read every file and compare its size and SHA-256.

        Raises:
            WeightsMissing: a file is not there.
            ChecksumMismatch: a file differs from the manifest.
            FileUnreadable, FileChanged: a file cannot be read to its end.
        """
        for file in self.manifest.files:
            verify_file(self.folder, file)


@dataclass(frozen=True)
class BrandPack:
    """A pack on disk. `id` is the SHA-256 of the canonical manifest, so it changes with any byte of any file."""

    directory: Path
    id: str
    manifest: Manifest

    @property
    def pack(self) -> Pack:
        """What a job records about the pack it ran on."""
        return Pack(self.id, self.manifest.name, self.manifest.version)

    def path(self, relative: str) -> Path:
        """Where a file of the pack is."""
        return self.directory / relative

    def verify(self) -> None:
        """Read every file of the manifest and compare its size and SHA-256; errors as for `Base.verify`."""
        for file in self.manifest.files:
            verify_file(LocalFolder(self.directory), file)


def verify_file(folder: Folder, file: ManifestFile) -> None:
    """Compare one file with its line in a manifest; errors as for `Base.verify`."""
    if not is_whole(folder, file):
        raise ChecksumMismatch(f"The file {file.path} in {folder} differs from its checksum: {REMEDY}.")


def load_base(folder: Folder) -> Base:
    """Read a base's manifest. The files it names are not read yet.

    Raises:
        WeightsMissing: there is no manifest.
        ManifestInvalid: the manifest is not one this version understands.
    """
    try:
        document = folder.read(BASE_MANIFEST)
    except WeightsMissing:
        raise WeightsMissing(f"There is no model in {folder}: {BASE_MANIFEST} is missing; {REMEDY}.") from None
    return Base(folder, _parse(document, BaseManifest, BASE_MANIFEST))


def configured_base(settings: Settings) -> Base:
    """The base that the settings name; its files are not read yet.

    Raises:
        ConfigError: it is another model's.
        WeightsMissing, ManifestInvalid: as for `load_base`.
    """
    base = load_base(open_folder(settings, settings.model_place))
    if base.manifest.model != settings.model:
        raise ConfigError(
            f"The weights in {base.folder} are those of {base.manifest.model}, and ONBRAND_MODEL is {settings.model}."
            " Set ONBRAND_MODEL or ONBRAND_MODEL_PATH to match."
        )
    return base


def load_pack(directory: Path) -> BrandPack:
    """Read a pack's manifest. The files it names are not read yet: see `BrandPack.verify`.

    Raises:
        WeightsMissing: there is no manifest.
        ManifestInvalid: the manifest is not one this version understands.
    """
    try:
        document = (directory / MANIFEST).read_bytes()
    except OSError:
        raise WeightsMissing(f"There is no brand pack in {directory}: {MANIFEST} is missing; {REMEDY}.") from None
    manifest = parse_manifest(document)
    return BrandPack(directory, pack_id(manifest), manifest)


def parse_manifest(document: bytes) -> Manifest:
    """The manifest in a JSON document, strictly: a missing, unknown or wrongly typed field is refused, none guessed.

    Raises:
        ManifestInvalid: the manifest is not one this version understands.
    """
    return _parse(document, Manifest, MANIFEST)


def pack_id(manifest: Manifest) -> str:
    """SHA-256 of the manifest as canonical JSON."""
    return digest(asdict(manifest))


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(canonical(fields)).hexdigest()


def canonical(fields: dict[str, Any]) -> bytes:
    """JSON with sorted keys, without spaces, in UTF-8."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _parse(document: bytes, kind: type[Document], name: str) -> Document:
    try:
        return TypeAdapter(kind).validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ManifestInvalid(f"The manifest {name} is wrong at {where} ({first['msg']}): {REMEDY}.") from None


def _refuse_twice(files: tuple[ManifestFile, ...]) -> None:
    if len({file.path for file in files}) != len(files):
        raise ValueError("`files` names a file twice")
