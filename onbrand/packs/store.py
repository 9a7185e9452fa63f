"""The shelf: brand packs in the object store, `packs/{pack id}/…`, beside the images and kept for ever.

A pack on the shelf never changes, and its manifest there is the canonical one, so that the id is the hash of that file
too: a reader can tell a single flipped bit. The pack that ships with a base (`packs.SAMPLE`) counts as one more, where
it lies. Which pack is live is the business of `promotion`; what is in one, of `packs`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from onbrand.config import AzureContainer, Settings
from onbrand.errors import (
    PackNotFound,
    StorageRefused,
    StorageUnreachable,
    WeightsDamaged,
    WeightsMissing,
)
from onbrand.packs.manifest import MANIFEST, SAMPLE, BrandPack, Manifest, canonical, load_pack, parse_manifest
from onbrand.storage import files
from onbrand.storage.failures import StoreFailed
from onbrand.storage.files import Folder, LocalFolder, ManifestFile, is_whole
from onbrand.storage.object_store import FOR_WEIGHTS, ObjectStore, open_container, open_storage
from onbrand.storage.range_reader import RangeReader

FOLDER = "packs"  # of the object store, and of the data directory
SHORTEST_PREFIX = 6
_ID = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 4  # parts of one file that are sent side by side


@dataclass(frozen=True)
class StoredPack:
    """A pack that can be fetched. Without a manifest it is damaged; whether its files are whole is not known."""

    id: str
    manifest: Manifest | None
    is_bundled: bool


@dataclass(frozen=True)
class _Shelved(Folder):
    """The files of one pack on the shelf."""

    objects: ObjectStore = field(compare=False)
    pack_id: str

    def __str__(self) -> str:
        return f"{FOLDER}/{self.pack_id} of the object store"

    def open(self, path: str) -> RangeReader:
        """Begin to read a file."""
        return RangeReader(self.objects, _key(self.pack_id, path), str(self))


class PackStore:
    """The packs in one object store, copies of them in a local folder, and the one that ships with the base."""

    def __init__(self, objects: ObjectStore, copies: Path, *, bundled: BrandPack | None) -> None:
        self._objects = objects
        self._copies = copies
        self.bundled = bundled

    @classmethod
    def open(cls, settings: Settings) -> PackStore:
        """The shelf that the settings name. It is not asked anything yet.

        Raises:
            DataDirUnwritable, ConfigError: the store cannot be opened.
            WeightsDamaged: the manifest of the bundled pack cannot be read.
        """
        place, base, bundled = settings.storage, settings.place(settings.model_place), None
        if isinstance(base, Path) and (base / SAMPLE / MANIFEST).is_file():
            bundled = load_pack(base / SAMPLE)
        copies = settings.data_dir / FOLDER
        if isinstance(place, AzureContainer):
            return cls(open_container(place, FOR_WEIGHTS), copies, bundled=bundled)
        return cls(open_storage(place), copies, bundled=bundled)

    def list(self) -> list[StoredPack]:
        """All packs, by their ids. Only their manifests are read.

        Raises:
            StorageRefused, StorageUnreachable: the store does not answer, or not to us.
        """
        with _reached():
            found = self._objects.subfolders(FOLDER)
        ids = sorted({prefix.rpartition("/")[2] for prefix in found} - {self.bundled.id if self.bundled else ""})
        listed = [pack for pack_id in ids if _ID.fullmatch(pack_id) and (pack := self._listed(pack_id))]
        return ([StoredPack(self.bundled.id, self.bundled.manifest, True)] if self.bundled else []) + listed

    def find(self, beginning: str) -> StoredPack:
        """The one pack whose id begins so.

        Raises:
            PackNotFound: there is none, or several, or these are not at least six hexadecimal digits.
            StorageRefused, StorageUnreachable: as for `list`.
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

    def add(self, directory: Path) -> BrandPack:
        """Put a whole pack on the shelf, its manifest last. Adding it again changes nothing, or completes it.

        Raises:
            WeightsMissing: the directory holds no pack, or a file of it is missing.
            WeightsDamaged: a file differs from the manifest, here or under the same id on the shelf.
            StorageRefused, StorageUnreachable: as for `list`; adding it again goes on from there.
        """
        pack = load_pack(directory)
        pack.verify()
        document = canonical(asdict(pack.manifest))
        for file in pack.manifest.files:
            self._put(pack.id, file, pack.path(file.path))
        self._put(pack.id, ManifestFile(MANIFEST, len(document), pack.id), document)
        return pack

    def verify(self, pack_id: str) -> Manifest:
        """Read every byte of a pack where it lies, and return its manifest.

        Raises:
            PackNotFound: it is not there.
            WeightsMissing, WeightsDamaged: it is not whole.
            StorageRefused, StorageUnreachable: as for `list`.
        """
        if self.bundled is not None and self.bundled.id == pack_id:
            self.bundled.verify()
            return self.bundled.manifest
        shelved, manifest = _Shelved(self._objects, pack_id), self._manifest(pack_id)
        for file in manifest.files:
            _require_whole(shelved, file)
        return manifest

    def fetch(self, pack_id: str) -> BrandPack:
        """A whole pack in a local folder: the bundled one, or the copy, which is read and compared each time.

        A file that is missing in the copy, or damaged, comes from the store, and only then is that asked. Safe to run
        in several processes at the same time, and to repeat after a crash.

        Raises:
            PackNotFound: it is not on the shelf.
            WeightsMissing, WeightsDamaged: it is not whole there.
            StorageRefused, StorageUnreachable: as for `list`.
            DataDirUnwritable: the copy cannot be written.
        """
        if self.bundled is not None and self.bundled.id == pack_id:
            self.bundled.verify()
            return self.bundled
        directory, shelved = self._copies / pack_id, _Shelved(self._objects, pack_id)
        manifest = _manifest_in(LocalFolder(directory), pack_id)
        if manifest is None:
            manifest = self._manifest(pack_id)
            size = len(canonical(asdict(manifest)))
            files.fetch(shelved, [ManifestFile(MANIFEST, size, pack_id)], directory)
        for file in manifest.files:
            try:
                files.fetch(shelved, [file], directory)
            except (WeightsMissing, WeightsDamaged):
                raise _not_whole(pack_id, file.path) from None
        return BrandPack(directory, pack_id, manifest)

    def _manifest(self, pack_id: str) -> Manifest:
        if not self._has(pack_id, MANIFEST):
            raise PackNotFound(f"The pack {pack_id[:12]} is not on the shelf. Add it with `onbrand pack add DIR`.")
        manifest = _manifest_in(_Shelved(self._objects, pack_id), pack_id)
        if manifest is None:
            raise _not_whole(pack_id, MANIFEST)
        return manifest

    def _listed(self, pack_id: str) -> StoredPack | None:
        try:
            return StoredPack(pack_id, self._manifest(pack_id), is_bundled=False)
        except WeightsDamaged:
            return StoredPack(pack_id, None, is_bundled=False)
        except PackNotFound:  # not added to its end
            return None

    def _has(self, pack_id: str, path: str) -> bool:
        with _reached():
            return self._objects.has(_key(pack_id, path))

    def _put(self, pack_id: str, file: ManifestFile, content: Path | bytes) -> None:
        key = _key(pack_id, file.path)
        if not self._has(pack_id, file.path):
            # This replaces what another process stored here in the meantime. It can only be the same bytes.
            with _reached():
                self._objects.upload(key, content, at_once=_AT_ONCE)
        _require_whole(_Shelved(self._objects, pack_id), file)


def _key(pack_id: str, path: str) -> str:
    return f"{FOLDER}/{pack_id}/{path}"


def _manifest_in(place: Folder, pack_id: str) -> Manifest | None:
    """The manifest that a folder has of this pack; None if it has another, a damaged one or none.

    Raises:
        WeightsDamaged: it is whole, and of a kind that this version does not understand.
    """
    try:
        document = place.read(MANIFEST)
    except (WeightsMissing, WeightsDamaged):
        return None
    return parse_manifest(document) if hashlib.sha256(document).hexdigest() == pack_id else None


def _require_whole(shelved: _Shelved, file: ManifestFile) -> None:
    with suppress(WeightsMissing, WeightsDamaged):
        if is_whole(shelved, file):
            return
    raise _not_whole(shelved.pack_id, file.path)


def _not_whole(pack_id: str, path: str) -> WeightsDamaged:
    return WeightsDamaged(
        f"The pack {pack_id[:12]} on the shelf is damaged: {path} is missing or differs from its checksum. Delete"
        f" {FOLDER}/{pack_id} in the object store and add the pack again, or use another."
    )


@contextmanager
def _reached() -> Iterator[None]:
    """A call to the store; its failure becomes a sentence."""
    try:
        yield
    except StoreFailed as failed:
        why = failed.reason
        if failed.is_refused:
            raise StorageRefused(f"The object store refuses the brand packs ({why}). Run `onbrand doctor`.") from None
        raise StorageUnreachable(
            f"The object store with the brand packs does not answer ({why}). Try again, or run `onbrand doctor`."
        ) from None
