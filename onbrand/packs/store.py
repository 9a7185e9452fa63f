"""The pack store: brand packs in the object store, under `packs/{pack id}/…`, beside the images.

Packs are never deleted. A stored pack never changes. Its manifest is stored as canonical JSON, so the pack's id is also
the SHA-256 of that file, and one changed bit is noticed. The pack that is bundled with a base (`manifest.SAMPLE`) is
listed too, and is read from the base's folder. `promotion` knows which pack is live; `manifest` knows what a pack
contains.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from onbrand.config import AzureContainer, Settings
from onbrand.errors import (
    ChecksumMismatch,
    FileDamaged,
    ManifestInvalid,
    ObjectStoreRefused,
    ObjectStoreUnreachable,
    PackNotFound,
    StoredPackDamaged,
    WeightsMissing,
)
from onbrand.packs.base import Base
from onbrand.packs.lora import inspect_pack
from onbrand.packs.manifest import MANIFEST, SAMPLE, BrandPack, Manifest, document_of, load_pack, parse_manifest
from onbrand.storage import files
from onbrand.storage.failures import StoreFailed
from onbrand.storage.files import Folder, LocalFolder, ManifestFile, is_whole
from onbrand.storage.object_store import FOR_WEIGHTS, ObjectStore, open_container, open_storage
from onbrand.storage.range_reader import RangeReader

FOLDER = "packs"  # in the object store, and in the data directory for the copies
SHORTEST_PREFIX = 6
# The base and the pack in models/mini. Its pack.json is pinned by nothing else, and it decides what is drawn.
SHIPPED_BASE = "808ad94712108c9b1222ca1b9c54bfb045b1f69e715e388642add225262e13f9"
SHIPPED_PACK = "a95107dee19e32f567260ca7eb16bc9329050d966de2e43d1e56b3038691d7d4"
_ID = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 4  # parts of one file that are sent side by side


@dataclass(frozen=True)
class StoredPack:
    """A pack in the store. `manifest` is None if the stored manifest is damaged. The other files were not read."""

    id: str
    manifest: Manifest | None
    is_bundled: bool


@dataclass(frozen=True)
class ShownPicture:
    """A picture that a pack shows of itself."""

    prompt: str
    webp: bytes
    sha256: str


@dataclass(frozen=True)
class _StoredFolder(Folder):
    """The files of one pack in the store."""

    objects: ObjectStore = field(compare=False)
    pack_id: str

    def __str__(self) -> str:
        return f"{FOLDER}/{self.pack_id} of the object store"

    def open(self, path: str) -> RangeReader:
        """Open a file for reading."""
        return RangeReader(self.objects, _key(self.pack_id, path), str(self))


class PackStore:
    """The packs in one object store, their copies in a local folder, and the pack that is bundled with the base."""

    def __init__(self, objects: ObjectStore, copies: Path, *, bundled: BrandPack | None) -> None:
        self._objects = objects
        self._copies = copies
        self.bundled = bundled

    @classmethod
    def open(cls, settings: Settings) -> PackStore:
        """The pack store that the settings name. No request is made yet.

        Raises:
            DataDirUnwritable, ConfigError: the object store cannot be opened.
            ManifestInvalid: the manifest of the bundled pack is not one that this version understands.
            ChecksumMismatch: the pack of the mini is not the one that ships with Onbrand.
        """
        place, bundled = settings.storage, bundled_pack(settings)
        copies = settings.data_dir / FOLDER
        if isinstance(place, AzureContainer):
            return cls(open_container(place, FOR_WEIGHTS), copies, bundled=bundled)
        return cls(open_storage(place), copies, bundled=bundled)

    def list(self) -> list[StoredPack]:
        """All packs: the bundled one, then the others sorted by id. Only their manifests are read.

        Raises:
            ObjectStoreRefused: the object store refuses us.
            ObjectStoreUnreachable: the object store does not answer.
        """
        with _reached():
            found = self._objects.subfolders(FOLDER)
        ids = sorted({prefix.rpartition("/")[2] for prefix in found} - {self.bundled.id if self.bundled else ""})
        listed = [pack for pack_id in ids if _ID.fullmatch(pack_id) and (pack := self._listed(pack_id))]
        return ([StoredPack(self.bundled.id, self.bundled.manifest, True)] if self.bundled else []) + listed

    def find(self, beginning: str) -> StoredPack:
        """The one pack whose id begins with `beginning`.

        Raises:
            PackNotFound: no id or several ids begin so, or `beginning` is not at least six hexadecimal digits.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `list`.
        """
        if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}", beginning):
            raise PackNotFound(
                f"Give a pack's id, or at least its first {SHORTEST_PREFIX} digits; `onbrand pack list` shows them."
            )
        found = [pack for pack in self.list() if pack.id.startswith(beginning)]
        if len(found) != 1:
            which = f"The ids of {len(found)} packs begin" if found else "No pack has an id that begins"
            raise PackNotFound(f"{which} with {beginning}; `onbrand pack list` shows them.")
        return found[0]

    def add(self, directory: Path, base: Base | None = None) -> BrandPack:
        """Verify a pack and store it, its manifest last. Adding it again changes nothing, or completes a first attempt.

        The LoRA is read and compared with the manifest and, if the pack was made for `base`, with its transformer.

        Raises:
            WeightsMissing: the directory has no pack, or a file of it is missing.
            ManifestInvalid, FileDamaged: the pack in the directory is damaged.
            LoraInvalid, LoraManifestMismatch, LoraWithoutEffect, LoraBaseMismatch: its LoRA cannot be used.
            StoredPackDamaged: the store has another file under the same id.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `list`. Adding the pack again continues.
        """
        pack = load_pack(directory)
        pack.verify()
        inspect_pack(LocalFolder(directory), pack.manifest, base)
        document = document_of(pack.manifest)
        for file in pack.manifest.files:
            self._put(pack.id, file, pack.path(file.path))
        self._put(pack.id, ManifestFile(MANIFEST, len(document), pack.id), document)
        return pack

    def verify(self, pack_id: str, base: Base | None = None) -> Manifest:
        """Read every byte of a stored or bundled pack and its LoRA, as `add` does, and return its manifest.

        Raises:
            PackNotFound: the store does not have it.
            StoredPackDamaged, ManifestInvalid: the stored pack is damaged.
            WeightsMissing, FileDamaged: the bundled pack is damaged.
            LoraInvalid, LoraManifestMismatch, LoraWithoutEffect, LoraBaseMismatch: its LoRA cannot be used.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `list`.
        """
        if self.bundled is not None and self.bundled.id == pack_id:
            self.bundled.verify()
            inspect_pack(LocalFolder(self.bundled.directory), self.bundled.manifest, base)
            return self.bundled.manifest
        stored, manifest = _StoredFolder(self._objects, pack_id), self._manifest(pack_id)
        for file in manifest.files:
            _require_intact(stored, file)
        inspect_pack(stored, manifest, base)
        return manifest

    def fetch(self, pack_id: str) -> BrandPack:
        """A verified pack in a local folder: the bundled pack, or a copy of a stored one.

        The copy is read and compared each time. The object store is asked only for files that are missing or damaged in
        the copy. Several processes may do this at the same time, and it can be repeated after a crash.

        Raises:
            PackNotFound: the store does not have it.
            StoredPackDamaged, ManifestInvalid: the stored pack is damaged.
            WeightsMissing, FileDamaged: the bundled pack is damaged.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `list`.
            DataDirUnwritable: the copy cannot be written.
        """
        if self.bundled is not None and self.bundled.id == pack_id:
            self.bundled.verify()
            return self.bundled
        directory, stored = self._copies / pack_id, _StoredFolder(self._objects, pack_id)
        manifest = _manifest_in(LocalFolder(directory), pack_id)
        if manifest is None:
            manifest = self._manifest(pack_id)
            size = len(document_of(manifest))
            files.fetch(stored, [ManifestFile(MANIFEST, size, pack_id)], directory)
        for file in manifest.files:
            try:
                files.fetch(stored, [file], directory)
            except (WeightsMissing, FileDamaged):
                raise _damaged(pack_id, file.path) from None
        return BrandPack(directory, pack_id, manifest)

    def pictures(self, pack_id: str) -> tuple[ShownPicture, ...]:
        """The pictures that a pack shows of itself. No other file of it is read.

        Raises:
            PackNotFound: the store does not have it.
            StoredPackDamaged, ManifestInvalid, WeightsMissing, FileDamaged: a picture or the manifest is damaged.
            ObjectStoreRefused, ObjectStoreUnreachable: as for `list`.
        """
        if self.bundled is not None and self.bundled.id == pack_id:
            folder: Folder = LocalFolder(self.bundled.directory)
            manifest = self.bundled.manifest
        else:
            folder, manifest = _StoredFolder(self._objects, pack_id), self._manifest(pack_id)
        checksums = {file.path: file.sha256 for file in manifest.files}
        shown = []
        for picture in manifest.pictures:
            webp = folder.read(picture.file)
            if hashlib.sha256(webp).hexdigest() != checksums[picture.file]:
                raise _damaged(pack_id, picture.file)
            shown.append(ShownPicture(picture.prompt, webp, checksums[picture.file]))
        return tuple(shown)

    def _manifest(self, pack_id: str) -> Manifest:
        if not self._has(pack_id, MANIFEST):
            raise PackNotFound(f"The pack {pack_id[:12]} is not in the pack store. Add it with `onbrand pack add DIR`.")
        manifest = _manifest_in(_StoredFolder(self._objects, pack_id), pack_id)
        if manifest is None:
            raise _damaged(pack_id, MANIFEST)
        return manifest

    def _listed(self, pack_id: str) -> StoredPack | None:
        try:
            return StoredPack(pack_id, self._manifest(pack_id), is_bundled=False)
        except (StoredPackDamaged, ManifestInvalid):
            return StoredPack(pack_id, None, is_bundled=False)
        except PackNotFound:  # its manifest is missing: adding it did not finish
            return None

    def _has(self, pack_id: str, path: str) -> bool:
        with _reached():
            return self._objects.has(_key(pack_id, path))

    def _put(self, pack_id: str, file: ManifestFile, content: Path | bytes) -> None:
        key = _key(pack_id, file.path)
        if not self._has(pack_id, file.path):
            # An upload in parts can overwrite. That is harmless: everybody who writes this key writes the same bytes.
            with _reached():
                self._objects.upload(key, content, at_once=_AT_ONCE)
        _require_intact(_StoredFolder(self._objects, pack_id), file)


def bundled_pack(settings: Settings) -> BrandPack | None:
    """The pack that came with the configured base; None if none did. Nothing is made.

    Raises:
        ManifestInvalid: its manifest is not one that this version understands.
        ChecksumMismatch: the pack of the mini is not the one that ships with Onbrand.
    """
    base = settings.place(settings.model_place)
    if isinstance(base, Path) and (base / SAMPLE / MANIFEST).is_file():
        bundled = load_pack(base / SAMPLE)
        _require_shipped(bundled)
        return bundled
    return None


def _require_shipped(bundled: BrandPack) -> None:
    if bundled.manifest.base == SHIPPED_BASE and bundled.id != SHIPPED_PACK:
        raise ChecksumMismatch(
            f"The file {MANIFEST} in {bundled.directory} is not the one that ships with Onbrand: {files.REMEDY}."
        )


def _key(pack_id: str, path: str) -> str:
    return f"{FOLDER}/{pack_id}/{path}"


def _manifest_in(folder: Folder, pack_id: str) -> Manifest | None:
    """The manifest of this pack in a folder; None if it is missing, damaged or another pack's.

    Raises:
        ManifestInvalid: it is undamaged, but not one that this version understands.
    """
    try:
        document = folder.read(MANIFEST)
    except (WeightsMissing, FileDamaged):
        return None
    return parse_manifest(document) if hashlib.sha256(document).hexdigest() == pack_id else None


def _require_intact(stored: _StoredFolder, file: ManifestFile) -> None:
    with suppress(WeightsMissing, FileDamaged):
        if is_whole(stored, file):
            return
    raise _damaged(stored.pack_id, file.path)


def _damaged(pack_id: str, path: str) -> StoredPackDamaged:
    return StoredPackDamaged(
        f"The pack {pack_id[:12]} in the pack store is damaged: {path} is missing or differs from its checksum. Delete"
        f" {FOLDER}/{pack_id} in the object store and add the pack again, or use another pack."
    )


@contextmanager
def _reached() -> Iterator[None]:
    """A call to the store; its failure becomes a sentence."""
    try:
        yield
    except StoreFailed as failed:
        why = failed.reason
        if failed.is_refused:
            raise ObjectStoreRefused(
                f"The object store refuses the brand packs ({why}). Run `onbrand doctor`."
            ) from None
        raise ObjectStoreUnreachable(
            f"The object store with the brand packs does not answer ({why}). Try again, or run `onbrand doctor`."
        ) from None
