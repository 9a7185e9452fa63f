"""The base: the weights of a model, in a folder with the manifest `base.json`, which names every file with its SHA-256.

The id of a base is the hash of its manifest, so it stands for every byte of the weights. Brand packs name their base by
this id. Nothing here loads a tensor (that is `hidream`) or makes a base (that is `hidream.packaging.pin`).
"""

from __future__ import annotations

import hashlib
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from onbrand.config import Settings
from onbrand.errors import ChecksumMismatch, ConfigError, PackUnfit, SafetensorsInvalid, WeightsMissing
from onbrand.packs.manifest import Line, Manifest, digest, parse_document, require_distinct_paths, verify_file
from onbrand.storage.files import REMEDY, STRICT, Folder, LocalFolder, ManifestFile, RelativePath, open_folder
from onbrand.storage.safetensors_header import FormatError, read_header

BASE_MANIFEST = "base.json"
_WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Source:
    """Where a component of a base came from."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    folder: RelativePath
    repository: Annotated[str, Field(max_length=200)]
    revision: Annotated[str, Field(pattern=r"^([0-9a-f]{40})?$")]  # of a commit; "" for components of our own


@dataclass(frozen=True)
class BaseManifest:
    """All of `base.json`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    schema: Literal[1]
    model: Line  # a row of `hidream.models`
    sources: tuple[Source, ...]
    files: Annotated[tuple[ManifestFile, ...], Field(min_length=1)]

    def __post_init__(self) -> None:
        require_distinct_paths(self.files)

    @property
    def id(self) -> str:
        """The id by which packs name this base: SHA-256 of the canonical manifest."""
        return digest(asdict(self))


@dataclass(frozen=True)
class Base:
    """The weights of a model, in a folder."""

    folder: Folder = field(compare=False)
    manifest: BaseManifest

    @property
    def id(self) -> str:
        """The id by which packs name this base."""
        return self.manifest.id

    def within(self, component: str) -> tuple[ManifestFile, ...]:
        """The files in the folder of one component, such as `transformer`."""
        return tuple(file for file in self.manifest.files if file.path.startswith(f"{component}/"))

    def read(self, path: str) -> bytes:
        """Read a small file and compare it with the manifest.

        Raises:
            ChecksumMismatch: the file differs from the manifest, or the manifest does not name it.
            WeightsMissing, FileUnreadable, FileChanged, ObjectStoreRefused, ObjectStoreUnreachable: as for
                `ByteReader.readinto`.
        """
        data = self.folder.read(path)
        listed = next((file for file in self.manifest.files if file.path == path), None)
        if listed is None or hashlib.sha256(data).hexdigest() != listed.sha256:
            raise ChecksumMismatch(f"The file {path} in {self.folder} differs from its checksum: {REMEDY}.")
        return data

    def shapes(self, component: str) -> dict[str, tuple[int, ...]]:
        """The shapes of a component's tensors, by name. Only the headers of its files are read.

        Raises:
            SafetensorsInvalid: a file does not follow the safetensors format.
            WeightsMissing, FileUnreadable, FileChanged, ObjectStoreRefused, ObjectStoreUnreachable: as for
                `ByteReader.readinto`.
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for file in self.within(component):
            if file.path.endswith(_WEIGHTS):
                with closing(self.folder.open(file.path)) as reader:
                    try:
                        entries = read_header(reader, file.size).entries
                    except FormatError as error:
                        raise SafetensorsInvalid(
                            f"The file {file.path} in {self.folder} can't be used: {error}; {REMEDY}."
                        ) from None
                shapes |= {entry.name: entry.shape for entry in entries}
        return shapes

    def require_fit(self, pack: Manifest) -> None:
        """Do nothing if the pack was made for exactly these weights.

        Raises:
            PackUnfit: it was made for other weights.
        """
        if (pack.base_model, pack.base) != (self.manifest.model, self.id):
            raise PackUnfit(
                f"The brand pack was made for {pack.base_model} with the id {pack.base[:12]}, and {self.folder} has"
                f" {self.manifest.model} with the id {self.id[:12]}. Set ONBRAND_MODEL and ONBRAND_MODEL_PATH to the"
                " pack's own base, or build the pack again on this one."
            )

    def verify_small_files(self) -> None:
        """As `verify`, for all files but the weights: also those that no loader reads, such as `*.index.json`."""
        for file in self.manifest.files:
            if not file.path.endswith(_WEIGHTS):
                verify_file(self.folder, file)

    def verify(self) -> None:
        """Read every file and compare its size and SHA-256; errors as for `manifest.verify_file`."""
        for file in self.manifest.files:
            verify_file(self.folder, file)


def load_base(folder: Folder) -> Base:
    """Read the manifest of a base. The files that the manifest names are not read yet.

    Raises:
        WeightsMissing: there is no manifest.
        ManifestInvalid: the manifest is not one that this version understands.
    """
    try:
        document = folder.read(BASE_MANIFEST)
    except WeightsMissing:
        raise WeightsMissing(f"There is no model in {folder}: {BASE_MANIFEST} is missing; {REMEDY}.") from None
    return Base(folder, parse_document(document, BaseManifest, BASE_MANIFEST))


def require_files(base: Base) -> None:
    """Do nothing if every file of a base on this machine is there. In Azure nothing is asked.

    Raises:
        WeightsMissing: names the first that isn't.
    """
    if not isinstance(base.folder, LocalFolder):
        return
    for file in base.manifest.files:
        if not (base.folder.directory / file.path).is_file():
            raise WeightsMissing(f"The file {file.path} in {base.folder} is missing: {REMEDY}.")


def configured_base(settings: Settings) -> Base:
    """The base that the settings name. Its files are not read yet.

    Raises:
        ConfigError: the base is for another model than `ONBRAND_MODEL`.
        WeightsMissing, ManifestInvalid: as for `load_base`.
    """
    base = load_base(open_folder(settings, settings.model_place))
    if base.manifest.model != settings.model:
        raise ConfigError(
            f"The weights in {base.folder} are those of {base.manifest.model}, and ONBRAND_MODEL is {settings.model}."
            " Set ONBRAND_MODEL or ONBRAND_MODEL_PATH to match."
        )
    return base


def base_at_hand(settings: Settings) -> Base | None:
    """As `configured_base`, or None if there is none: a machine that manages packs need not have the weights."""
    with suppress(WeightsMissing):
        return configured_base(settings)
    return None
