"""One object store, a folder or a container of Azure Blob Storage: opening it, and every call that Onbrand makes to it.

It knows neither images nor packs. Their rooms choose the keys, compare checksums and decide how long a caller may wait.
Errors are those of `failures`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, LocalStore
from obstore.store import ObjectStore as AnyStore

from onbrand.config import AzureContainer
from onbrand.errors import ConfigError, DataDirUnwritable
from onbrand.storage import local_disk
from onbrand.storage.failures import ContainerMissing, ObjectMissing, StoreFailed, translated

if TYPE_CHECKING:
    from obstore import Bytes
    from obstore.store import AzureConfig

CONNECT_SECONDS = 2.0
PART_BYTES = 8 * 2**20  # of one request, where an object is read or written in parts
BATCH = 1000  # objects that one listing request brings


@dataclass(frozen=True)
class Patience:
    """How long obstore waits for Azure. obstore's defaults are 30 s for a request and 3 minutes for all its tries."""

    request_seconds: float  # one request, from connecting to the last byte
    retry_seconds: float  # after this, a request that failed isn't sent again
    retries: int
    pause_seconds: float  # the longest between two tries
    idle_connections: int  # how many are kept open for the next request


# A refused connection ends after half a second. `images/store.py` tries again where that makes sense.
FOR_IMAGES = Patience(request_seconds=8, retry_seconds=2, retries=3, pause_seconds=0.4, idle_connections=8)
# A worker that starts can wait, and a request brings megabytes. But an operator should hear of a wrong address soon.
FOR_WEIGHTS = Patience(request_seconds=60, retry_seconds=20, retries=10, pause_seconds=5, idle_connections=64)


@dataclass(frozen=True)
class Listed:
    """One object that a listing found."""

    key: str
    modified: datetime  # by the store's clock


class ObjectStore:
    """One store. `place` is where it is: a folder, a container, or None for a store that a test made.

    Calls that an image needs are coroutines; calls that packs and weights need block.
    """

    def __init__(self, store: AnyStore, place: Path | AzureContainer | None = None) -> None:
        self.store = store
        self.place = place
        self.folder = place if isinstance(place, Path) else None

    # --- small objects, each in one request --------------------------------------------------------------------------

    async def put(self, key: str, content: bytes, *, is_new: bool) -> None:
        """Store an object, whole or not at all. With `is_new`, an object that is there is not replaced.

        On disk obstore writes to a temporary name beside the target and links it, so a reader never sees half a file.

        Raises:
            ObjectExists: an object is there already, and `is_new` is set.
            ContainerMissing, StoreFailed
        """
        with translated(is_missing_expected=False):
            await self.store.put_async(key, content, mode="create" if is_new else "overwrite")

    async def get(self, key: str) -> bytes:
        """A whole object.

        Raises:
            ObjectMissing: the store has none with this key.
            ContainerMissing, StoreFailed: also when the store is a folder and the whole folder is missing.
        """
        try:
            with translated():
                return bytes(await (await self.store.get_async(key)).bytes_async())
        except ObjectMissing:
            if self.folder is not None and not self.folder.is_dir():
                raise StoreFailed("the folder is missing") from None
            raise

    async def make_durable(self, key: str) -> None:
        """Make a written object survive a power cut. In Azure every object does already.

        Raises:
            StoreFailed
        """
        if self.folder is not None:
            with translated(is_missing_expected=False):
                await asyncio.to_thread(local_disk.sync, self.folder, key)

    async def batches(self, prefix: str) -> AsyncIterator[list[Listed]]:
        """All objects below a prefix, in batches of at most `BATCH`, in no order. Half-written files on disk too.

        Raises:
            ContainerMissing, StoreFailed: the list is not complete.
        """
        if self.folder is not None:
            walk = local_disk.files(self.folder, prefix)
            while True:
                with translated(is_missing_expected=False):
                    files = await asyncio.to_thread(_next_files, walk)
                if not files:
                    return
                yield files
        listing = self.store.list(prefix, chunk_size=BATCH)
        while True:
            with translated(is_missing_expected=False):
                chunk = await anext(listing, None)
            if chunk is None:
                return
            yield [Listed(one["path"], one["last_modified"]) for one in chunk]

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects: in Azure at most 256 in a call, on disk with the folders that are then empty.

        Raises:
            ObjectMissing: one was missing. The store reports only the first such key, and may have refused others.
            StoreFailed
        """
        try:
            with translated():
                if self.folder is not None:
                    await asyncio.to_thread(local_disk.remove, self.folder, keys)
                else:
                    await self.store.delete_async(list(keys))
        except ContainerMissing:
            raise ObjectMissing from None  # without a container there is nothing to delete

    async def delete_one(self, key: str) -> None:
        """Delete one object, and no folder.

        Raises:
            ObjectMissing: it was not there.
            StoreFailed
        """
        try:
            with translated():
                await self.store.delete_async(key)
        except ContainerMissing:
            raise ObjectMissing from None

    # --- packs and weights -------------------------------------------------------------------------------------------

    def has(self, key: str) -> bool:
        """Whether there is an object with this key.

        Raises:
            ContainerMissing, StoreFailed
        """
        try:
            with translated():
                obstore.head(self.store, key)
        except ObjectMissing:
            return False
        return True

    def subfolders(self, prefix: str) -> list[str]:
        """The prefixes of the next level below a prefix, such as `packs/a` and `packs/b` for `packs`.

        Raises:
            ContainerMissing, StoreFailed
        """
        with translated(is_missing_expected=False):
            return list(obstore.list_with_delimiter(self.store, prefix)["common_prefixes"])

    def upload(self, key: str, source: Path | bytes | IO[bytes], *, at_once: int) -> None:
        """Store a large object durably, whole or not at all, in parts of which `at_once` are sent side by side.

        It replaces an object with the same key: obstore has no mode for parts that only creates.

        Raises:
            ContainerMissing, StoreFailed
        """
        with translated(is_missing_expected=False):
            obstore.put(self.store, key, source, chunk_size=PART_BYTES, max_concurrency=at_once)
            if self.folder is not None:
                local_disk.sync(self.folder, key)

    async def size(self, key: str) -> int:
        """An object's size in bytes.

        Raises:
            ObjectMissing, ContainerMissing, StoreFailed
        """
        with translated():
            return (await self.store.head_async(key))["size"]

    async def get_range(self, key: str, start: int, end: int) -> Bytes:
        """The bytes of an object from `start` up to but not including `end`.

        Raises:
            ObjectMissing, ContainerMissing, StoreFailed
        """
        with translated():
            return await self.store.get_range_async(key, start=start, end=end)


def _next_files(walk: Iterator[tuple[str, float]]) -> list[Listed]:
    return [Listed(key, datetime.fromtimestamp(changed, UTC)) for key, changed in islice(walk, BATCH)]


def open_storage(place: Path | AzureContainer) -> ObjectStore:
    """The store, without asking it anything yet; a folder is made if it is missing.

    Raises:
        DataDirUnwritable: the folder cannot be made.
        ConfigError: the settings for Azure make no address.
    """
    if isinstance(place, AzureContainer):
        return open_container(place, FOR_IMAGES)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of this machine may not look at pictures
        return ObjectStore(LocalStore(place), place)
    except OSError:
        raise DataDirUnwritable(
            "The images' folder can't be made. Point ONBRAND_DATA_DIR or ONBRAND_STORAGE_URL to one that you may write."
        ) from None


def open_container(place: AzureContainer, patience: Patience) -> ObjectStore:
    """A container, without asking it anything yet.

    Raises:
        ConfigError: the settings make no address.
    """
    # obstore reads the environment for every option that is left out here.
    config: AzureConfig = {
        "account_name": place.account,
        "endpoint": place.endpoint,
        "credential_type": "workload_identity" if place.is_workload else "managed_identity",
        "use_emulator": False,
        "skip_signature": False,
    }
    if place.key is not None:
        config["credential_type"] = "access_key"
        config["account_key"] = place.key.get_secret_value()
    elif place.client_id is not None:
        config["client_id"] = str(place.client_id)
    try:
        store = AzureStore(
            place.name,
            prefix=place.prefix,
            config=config,
            client_options={
                "allow_http": urlsplit(place.endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=patience.request_seconds),
                "pool_max_idle_per_host": str(patience.idle_connections),
            },
            retry_config={
                "max_retries": patience.retries,
                "retry_timeout": timedelta(seconds=patience.retry_seconds),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=patience.pause_seconds),
                    "base": 2,
                },
            },
        )
    except BaseError:
        raise ConfigError("The ONBRAND_STORAGE_AZURE_… settings make no address: look at the endpoint") from None
    return ObjectStore(store, place)
