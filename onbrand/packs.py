"""The brand pack: what a worker loads, an immutable directory with a manifest (`pack.json`) beside its files.

The manifest names every file with its size and SHA-256, so the pack's id, the hash of the manifest, stands for all of
it. This file reads and checks packs; it neither loads a tensor (that is `hidream`) nor makes a pack.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from onbrand.errors import WeightsDamaged, WeightsMissing
from onbrand.job import Pack

MANIFEST = "pack.json"
_REMEDY = (
    "restore it (for the pack that ships with Onbrand: `git checkout -- models/mini`) or set ONBRAND_MODEL_PATH to a"
    " complete pack"
)
_STRICT = ConfigDict(extra="forbid", strict=True)


def _stays_inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or ":" in path or "\0" in path:
        raise ValueError("use a relative path with forward slashes that stays inside the pack")
    return path


RelativePath = Annotated[str, Field(max_length=200), AfterValidator(_stays_inside)]
Line = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\P{C}+$")]


@dataclass(frozen=True)
class PackFile:
    """One file the worker loads: its size in bytes and its SHA-256 in hexadecimal."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    path: RelativePath
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Lora:
    """The brand's adapter. `adapted_modules` are the transformer's module names it must touch: these and no others."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    file: RelativePath
    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    scale: Annotated[float, Field(ge=0, le=4, allow_inf_nan=False)]
    adapted_modules: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Manifest:
    """The whole of `pack.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: Line
    version: Line
    review: Literal["not_reviewed", "approved"]  # has a designer signed it off?
    base_model: Line  # a row of `hidream.models`
    prompt_suffix: Annotated[str, Field(max_length=200)]  # the trigger words, appended to every prompt
    prompt_token_limit: Annotated[int, Field(ge=16, le=512)]
    steps: Annotated[int, Field(ge=1, le=200)]
    guidance_scale: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)]
    lora: Lora
    files: Annotated[tuple[PackFile, ...], Field(min_length=1)]
    examples: Annotated[tuple[Line, ...], Field(max_length=6)] = ()  # prompts that it is known to draw well

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("`files` names a file twice")
        if self.lora.file not in paths:
            raise ValueError("`files` must name the LoRA's file too")
        if len(set(self.lora.adapted_modules)) != len(self.lora.adapted_modules):
            raise ValueError("`adapted_modules` names a module twice")


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
        """Read every file of the manifest and compare its size and SHA-256.

        Raises:
            WeightsMissing: a file is not there.
            WeightsDamaged: a file differs from the manifest.
        """
        for file in self.manifest.files:
            self.verify_file(file)

    def verify_file(self, file: PackFile) -> None:
        """`verify` for one file of the manifest: for who wants to say how far it is."""
        try:
            with self.path(file.path).open("rb") as stream:
                is_whole = stream.seek(0, 2) == file.size
                stream.seek(0)
                if is_whole and hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256:
                    return
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise WeightsMissing(f"The brand pack's file {file.path} is missing: {_REMEDY}.") from None
        except OSError as error:
            raise WeightsDamaged(
                f"The brand pack's file {file.path} cannot be read ({error.strerror}): {_REMEDY}."
            ) from error
        raise WeightsDamaged(f"The brand pack's file {file.path} differs from its checksum: {_REMEDY}.")


def load_pack(directory: Path) -> BrandPack:
    """Read a pack's manifest. The files it names are not read yet: see `BrandPack.verify`.

    Raises:
        WeightsMissing: there is no manifest.
        WeightsDamaged: the manifest is not one this version understands.
    """
    try:
        document = (directory / MANIFEST).read_bytes()
    except OSError:
        raise WeightsMissing(f"There is no brand pack in {directory}: {MANIFEST} is missing; {_REMEDY}.") from None
    manifest = parse_manifest(document)
    return BrandPack(directory, pack_id(manifest), manifest)


def parse_manifest(document: bytes) -> Manifest:
    """The manifest in a JSON document, strictly: a missing, unknown or wrongly typed field is refused, none guessed.

    Raises:
        WeightsDamaged: the manifest is not one this version understands.
    """
    try:
        return TypeAdapter(Manifest).validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise WeightsDamaged(f"The brand pack's {MANIFEST} is wrong at {where} ({first['msg']}): {_REMEDY}.") from None


def pack_id(manifest: Manifest) -> str:
    """SHA-256 of the manifest as canonical JSON: sorted keys, no spaces, UTF-8."""
    fields = asdict(manifest)
    if not manifest.examples:
        del fields["examples"]  # packs were made before there were any, and keep their ids
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
