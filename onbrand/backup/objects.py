"""Pictures and packs between the object store and a backup, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import IO

from onbrand.backup.archive import BLOCK_BYTES, is_key
from onbrand.errors import ObjectStoreUnreachable
from onbrand.storage.failures import StoreFailed
from onbrand.storage.object_store import ObjectStore

_AT_ONCE = 4


async def keys(store: ObjectStore, prefix: str) -> AsyncIterator[str]:
    """The keys below a prefix that a backup may hold; half-written files have others."""
    with reached():
        async for batch in store.batches(prefix):
            for listed in batch:
                if is_key(listed.key):
                    yield listed.key


async def copy(store: ObjectStore, key: str, target: IO[bytes]) -> tuple[int, str]:
    """Write an object to `target`; its size and SHA-256.

    Raises:
        ObjectMissing: there is none with this key.
        ObjectStoreUnreachable: the store doesn't answer.
    """
    with reached():
        size, digest = await store.size(key), hashlib.sha256()
        for start in range(0, size, BLOCK_BYTES):
            block = bytes(await store.get_range(key, start, min(start + BLOCK_BYTES, size)))
            digest.update(block)
            target.write(block)
    return size, digest.hexdigest()


def put(store: ObjectStore, key: str, content: IO[bytes]) -> None:
    """Store an object durably.

    Raises:
        ObjectStoreUnreachable: the store didn't take it.
    """
    content.seek(0)
    with reached():
        store.upload(key, content, at_once=_AT_ONCE)


@contextmanager
def reached() -> Iterator[None]:
    """Calls of the store; its refusals are one sentence."""
    try:
        yield
    except StoreFailed as error:
        raise ObjectStoreUnreachable(f"The image store doesn't answer as it should ({error.reason}).") from None
