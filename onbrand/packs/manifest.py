"""The brand pack: a brand's LoRA and its settings, in a folder with the manifest `pack.json`.

A pack never changes. Its manifest names every file with its size and SHA-256, and names the base by its id. The id of
the pack is the hash of the manifest, so it stands for everything that a picture depends on, except seed and prompt.

This module reads and checks packs. It does not load a tensor (that is `hidream`), make a pack (that is
`hidream.packaging.build`) or know which pack is live (that is `promotion`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from onbrand.errors import ChecksumMismatch, ManifestInvalid, WeightsMissing
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
)

MANIFEST = "pack.json"
SAMPLE = "sample"  # the folder within a base that has the pack bundled with it

Line = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^\P{C}+$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
NoiseLevel = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Document = TypeVar("Document")


@dataclass(frozen=True)
class Lora:
    """The brand's adapter. It adapts exactly `adapted_modules`, which are names of the transformer's modules."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    file: RelativePath
    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    scale: Annotated[float, Field(gt=0, le=4, allow_inf_nan=False)]
    adapted_modules: Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Probe:
    """The transformer's output on a fixed input, without and with the LoRA: see `hidream.health`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    base: Annotated[tuple[Number, ...], Field(min_length=8, max_length=64)]
    fused: Annotated[tuple[Number, ...], Field(min_length=8, max_length=64)]
    precision: Line | None = None  # in which both were computed; packs before 0.5 do not say it

    def __post_init__(self) -> None:
        if len(self.base) != len(self.fused):
            raise ValueError("`base` and `fused` must have the same number of numbers")


@dataclass(frozen=True)
class Sample:
    """A prompt without the brand's suffix, and the seed that it is drawn with: in a pack's `eval_prompts.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    prompt: Annotated[str, Field(min_length=1, max_length=500)]
    seed: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Picture:
    """A picture that the pack drew: a WebP of 512 × 512 pixels, shown where nobody has drawn anything yet."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    file: RelativePath
    prompt: Annotated[str, Field(min_length=1, max_length=500)]  # without the brand's suffix


@dataclass(frozen=True)
class Metrics:
    """What evaluation measured of the samples, beside the brand's own pictures. Shares are from 0 to 1."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    held_out_loss: Number
    inside: dict[str, Number]  # share of samples inside the brand's own range, by criterion
    own_inside: dict[str, Number]  # the same of the brand's own pictures, each compared with the others
    possible_copies: Annotated[int, Field(ge=0)]  # samples
    diversity: Number


@dataclass(frozen=True)
class TrainedOn:
    """The illustrations that were trained on, without those that were held out: one-way digests, and no pixel.

    A digest is the SHA-256 of an illustration's 1024×1024 pixels on `ground`, so a renamed or losslessly saved file has
    the same.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    ground: Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$")]  # the brand's own, on which transparent ones were placed
    digests: Annotated[tuple[Sha256, ...], Field(min_length=1)]  # sorted, so their order says nothing


@dataclass(frozen=True)
class Training:
    """Where a LoRA came from, if `onbrand train` made it: digests and figures, no pixel and no caption of the brand."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    base_model: Line  # what it was trained on; a pack for a faster form of the same model has another base
    base: Sha256
    dataset: Sha256  # digest of the illustrations and their captions
    illustrations: Annotated[int, Field(ge=1)]
    run: Sha256  # of the run's `run.json`
    step: Annotated[int, Field(ge=1)]
    metrics: Metrics
    trained_on: TrainedOn | None = None  # packs before 0.5 do not say it


@dataclass(frozen=True)
class Manifest:
    """All of `pack.json`."""

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
    examples: Annotated[tuple[Line, ...], Field(max_length=6)] = ()  # prompts that the pack is known to draw well
    # The noise levels, from 1 to 0, at which guidance is computed; None: at all (arXiv 2404.07724).
    guidance_interval: tuple[NoiseLevel, NoiseLevel] | None = None
    training: Training | None = None
    pictures: Annotated[tuple[Picture, ...], Field(max_length=4)] = ()

    def __post_init__(self) -> None:
        require_distinct_paths(self.files)
        if not {self.lora.file, *(picture.file for picture in self.pictures)} <= {file.path for file in self.files}:
            raise ValueError("`files` must name the files of the LoRA and of the pictures too")
        if len(set(self.lora.adapted_modules)) != len(self.lora.adapted_modules):
            raise ValueError("`adapted_modules` names a module twice")
        if self.guidance_interval is not None and self.guidance_interval[0] >= self.guidance_interval[1]:
            raise ValueError("`guidance_interval` must begin below its end")


@dataclass(frozen=True)
class BrandPack:
    """A pack on disk. `id` is the SHA-256 of the canonical manifest, so it changes with every byte of every file."""

    directory: Path
    id: str
    manifest: Manifest

    @property
    def pack(self) -> Pack:
        """What a job records about the pack it was drawn with."""
        return Pack(self.id, self.manifest.name, self.manifest.version)

    def path(self, relative: str) -> Path:
        """Where a file of the pack is."""
        return self.directory / relative

    def verify(self) -> None:
        """Read every file that the manifest names and compare its size and SHA-256; errors as for `verify_file`."""
        for file in self.manifest.files:
            verify_file(LocalFolder(self.directory), file)


def verify_file(folder: Folder, file: ManifestFile) -> None:
    """Read one file to its end and compare its size and SHA-256 with its entry in a manifest.

    Raises:
        ChecksumMismatch: the size or the SHA-256 differs.
        WeightsMissing: the file is not there.
        FileUnreadable, FileChanged, ObjectStoreRefused, ObjectStoreUnreachable: it cannot be read to its end.
    """
    if not is_whole(folder, file):
        raise ChecksumMismatch(f"The file {file.path} in {folder} differs from its checksum: {REMEDY}.")


def load_pack(directory: Path) -> BrandPack:
    """Read the manifest of a pack. The files that the manifest names are not read yet: see `BrandPack.verify`.

    Raises:
        WeightsMissing: there is no manifest.
        ManifestInvalid: the manifest is not one that this version understands.
    """
    try:
        document = (directory / MANIFEST).read_bytes()
    except OSError:
        raise WeightsMissing(f"There is no brand pack in {directory}: {MANIFEST} is missing; {REMEDY}.") from None
    manifest = parse_manifest(document)
    return BrandPack(directory, pack_id(manifest), manifest)


def parse_manifest(document: bytes) -> Manifest:
    """Parse `pack.json` strictly: a missing, unknown or wrongly typed field is an error, and no value is guessed.

    Raises:
        ManifestInvalid: the manifest is not one that this version understands.
    """
    return parse_document(document, Manifest, MANIFEST)


def pack_id(manifest: Manifest) -> str:
    """SHA-256 of the manifest as canonical JSON."""
    return hashlib.sha256(document_of(manifest)).hexdigest()


def document_of(manifest: Manifest) -> bytes:
    """The manifest as canonical JSON. What was added later is left out where it is not set, so packs keep their ids."""
    fields = asdict(manifest)
    if manifest.training is None:
        del fields["training"]
    elif manifest.training.trained_on is None:
        del fields["training"]["trained_on"]
    if manifest.probe.precision is None:
        del fields["probe"]["precision"]
    if manifest.guidance_interval is None:
        del fields["guidance_interval"]
    if not manifest.pictures:
        del fields["pictures"]
    return canonical(fields)


def digest(fields: dict[str, Any]) -> str:
    """SHA-256 of canonical JSON."""
    return hashlib.sha256(canonical(fields)).hexdigest()


def canonical(fields: dict[str, Any] | list[Any]) -> bytes:
    """JSON with sorted keys, without spaces, in UTF-8."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_document(document: bytes, kind: type[Document], name: str) -> Document:
    """Parse a manifest of this kind; `name` is its file's name, for the error.

    Raises:
        ManifestInvalid: the manifest is not one that this version understands.
    """
    try:
        return TypeAdapter(kind).validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ManifestInvalid(f"The manifest {name} is wrong at {where} ({first['msg']}): {REMEDY}.") from None


def require_distinct_paths(files: tuple[ManifestFile, ...]) -> None:
    """Do nothing if every path in a manifest is there once.

    Raises:
        ValueError: a path is there twice; pydantic turns it into a `ValidationError`.
    """
    if len({file.path for file in files}) != len(files):
        raise ValueError("`files` names a file twice")
