"""Can the object store be used? A small object is written, read and deleted, and the answer is one sentence."""

from __future__ import annotations

import asyncio
import errno
from uuid import uuid4

from onbrand.config import AzureContainer
from onbrand.errors import ObjectStoreRefused, ObjectStoreUnreachable
from onbrand.storage.container import create_container
from onbrand.storage.failures import ContainerMissing, ObjectMissing, StoreFailed, failure
from onbrand.storage.object_store import ObjectStore

CHECK_SECONDS = 5.0
PROBES = "checks"  # the folder of the small objects; no image's key begins like this
# Errors that stay until somebody has changed something.
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT}


async def check(objects: ObjectStore) -> None:
    """Write, read and delete a small object. A missing container is made first if the settings hold the key.

    Raises:
        ObjectStoreRefused: the store will not work until somebody changes something.
        ObjectStoreUnreachable: no answer within five seconds, or there is no room at this moment.
    """
    key = f"{PROBES}/{uuid4()}"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            try:
                await objects.put(key, b"onbrand", is_new=False)
            except ContainerMissing:
                if not await create_container(objects.place):
                    raise
                await objects.put(key, b"onbrand", is_new=False)
            await objects.get(key)
            await objects.delete_one(key)
    except ObjectMissing:
        raise _verdict(objects, StoreFailed("the object is missing again", errno=errno.ENOENT)) from None
    except StoreFailed as error:
        raise _verdict(objects, error) from None
    except TimeoutError as error:
        raise _verdict(objects, failure(error)) from None


def _verdict(objects: ObjectStore, failed: StoreFailed) -> ObjectStoreRefused | ObjectStoreUnreachable:
    place, why = objects.place, failed.reason
    if not isinstance(place, AzureContainer):
        sentence = f"The images' folder can't be written ({why})."
        if failed.errno in _LASTING:
            return ObjectStoreRefused(f"{sentence} Make it writable, or choose another with ONBRAND_STORAGE_URL.")
        return ObjectStoreUnreachable(f"{sentence} Make room, or choose another with ONBRAND_STORAGE_URL.")
    if isinstance(failed, ContainerMissing):
        return ObjectStoreRefused(
            f"The container {place.name} doesn't exist and couldn't be made. Make it in the storage account, or set"
            " ONBRAND_STORAGE_AZURE_KEY, which lets Onbrand do it."
        )
    if failed.is_refused:
        if place.key is not None:
            return ObjectStoreRefused(
                f"Azure refuses access to the container {place.name} ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT,"
                " _KEY and _ENDPOINT, and that the account allows keys and this network."
            )
        return ObjectStoreRefused(
            f"Azure refuses access to the container {place.name} ({why}). Give the managed identity the role Storage"
            " Blob Data Contributor on it, and check ONBRAND_STORAGE_AZURE_ACCOUNT and _CLIENT_ID."
        )
    identity = "" if place.key is not None else ", that this machine has a managed identity,"
    return ObjectStoreUnreachable(
        f"The object store does not answer ({why}). Check ONBRAND_STORAGE_AZURE_ACCOUNT and _ENDPOINT{identity} and"
        " the way out to Azure."
    )
