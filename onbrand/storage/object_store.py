"""Opening the object store, a folder or a container of Azure Blob Storage, and finding out whether it can be used.

It knows nothing of images; keys, checksums and how long a caller may wait are the business of `images.py`. No error
leaves here with an address, an account or a key in it: `reason` says in a few words what went wrong.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import hmac
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import AzureStore, LocalStore, ObjectStore

from onbrand.config import AzureContainer
from onbrand.errors import ConfigError, DataDirUnwritable, ObjectStoreRefused, ObjectStoreUnreachable

if TYPE_CHECKING:
    from obstore.store import AzureConfig

CHECK_SECONDS = 5.0
_CONNECT_SECONDS = 2.0
_API_VERSION = "2023-11-03"
_PROBES = "checks"  # no image's key begins like this


@dataclass(frozen=True)
class Patience:
    """How long obstore waits for Azure; its own is half a minute a request, and three minutes for all its tries."""

    request_seconds: float  # one request, from connecting to the last byte
    retry_seconds: float  # after this, a request that failed isn't sent again
    retries: int
    pause_seconds: float  # the longest between two tries
    idle_connections: int  # how many are kept for the next request


# A refused connection ends after half a second; `images.py` tries on where that makes sense.
FOR_IMAGES = Patience(request_seconds=8, retry_seconds=2, retries=3, pause_seconds=0.4, idle_connections=8)
# A worker that starts can wait, and a request brings megabytes; but a wrong address should be heard of soon.
FOR_WEIGHTS = Patience(request_seconds=60, retry_seconds=20, retries=10, pause_seconds=5, idle_connections=64)
# Where trying again is in vain until somebody has changed something.
_LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT}


def open_storage(place: Path | AzureContainer) -> ObjectStore:
    """The store, without asking it anything yet; a folder is made if it is missing.

    Raises:
        DataDirUnwritable: the folder cannot be made.
        ConfigError: the settings for Azure make no address.
    """
    if isinstance(place, AzureContainer):
        return open_container(place, FOR_IMAGES)
    try:
        place.mkdir(parents=True, exist_ok=True)
        return LocalStore(place)
    except OSError:
        raise DataDirUnwritable(
            "The images' folder can't be made. Point ONBRAND_DATA_DIR or ONBRAND_STORAGE_URL to one that you may write."
        ) from None


def open_container(place: AzureContainer, patience: Patience) -> AzureStore:
    """A container, without asking it anything yet.

    Raises:
        ConfigError: the settings make no address.
    """
    # obstore reads the environment for whatever is left open here.
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
        return AzureStore(
            place.name,
            prefix=place.prefix,
            config=config,
            client_options={
                "allow_http": urlsplit(place.endpoint).scheme == "http",
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
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


async def check(objects: ObjectStore, place: Path | AzureContainer) -> None:
    """Write, read and delete a small object, after making the container if it is missing and we hold the key.

    Raises:
        ObjectStoreRefused: it will not work until somebody changes something.
        ObjectStoreUnreachable: no answer within five seconds, or only now no room.
    """
    key = f"{_PROBES}/{uuid4()}"
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            try:
                await objects.put_async(key, b"onbrand")
            except FileNotFoundError as error:
                if not (is_missing_container(error) and await create_container(place)):
                    raise
                await objects.put_async(key, b"onbrand")
            await (await objects.get_async(key)).bytes_async()
            await objects.delete_async(key)
    except (BaseError, OSError) as error:
        raise _finding(place, error) from None


def _finding(place: Path | AzureContainer, error: Exception) -> ObjectStoreRefused | ObjectStoreUnreachable:
    why = reason(error)
    if not isinstance(place, AzureContainer):
        sentence = f"The images' folder can't be written ({why})."
        if _errno(error) in _LASTING:
            return ObjectStoreRefused(f"{sentence} Make it writable, or choose another with ONBRAND_STORAGE_URL.")
        return ObjectStoreUnreachable(f"{sentence} Make room, or choose another with ONBRAND_STORAGE_URL.")
    if is_missing_container(error):
        return ObjectStoreRefused(
            f"The container {place.name} doesn't exist and couldn't be made. Make it in the storage account, or set"
            " ONBRAND_STORAGE_AZURE_KEY, which lets Onbrand do it."
        )
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or re.match(r"4(?!08|29)\d\d", why):
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


def reason(error: Exception) -> str:
    """What went wrong in a few words, such as `403 AuthorizationFailure`: never an address, an account or a path."""
    text = str(error)
    if status := re.search(r"status code: (\d{3})", text):
        code = re.search(r"<Code>(\w{1,80})</Code>", text)
        return f"{status[1]} {code[1]}" if code else status[1]
    if number := _errno(error):
        return os.strerror(number)
    if isinstance(error, TimeoutError) or "kind: Timeout" in text:
        return "no answer in time"
    return "no connection" if "HttpError" in text or isinstance(error, OSError) else type(error).__name__


def _errno(error: Exception) -> int | None:
    number = re.search(r"\(os error (\d+)\)", str(error))
    return int(number[1]) if number else getattr(error, "errno", None)


def is_missing_container(error: Exception) -> bool:
    """Whether an error says that the container, and not only the object, is missing."""
    return "<Code>ContainerNotFound</Code>" in str(error)


async def create_container(place: Path | AzureContainer | None) -> bool:
    """Make the container, closed to the public. False: only somebody with the account's key can, or it was refused.

    Raises:
        OSError: no answer.
    """
    if not isinstance(place, AzureContainer) or place.key is None:
        return False
    return await asyncio.to_thread(_create_container, place, place.key.get_secret_value())


def _create_container(place: AzureContainer, key: str) -> bool:
    # obstore has no call for it: https://learn.microsoft.com/rest/api/storageservices/create-container, signed as in
    # https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
    url = f"{place.endpoint}/{place.name}?restype=container"
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _API_VERSION}
    content_type = "application/octet-stream"  # urllib would choose another, which would then not be what is signed
    standard = ["PUT", "", "", "", "", content_type, "", "", "", "", "", ""]
    named = [f"{name}:{value}" for name, value in headers.items()]
    resource = [f"/{place.account}{urlsplit(url).path}", "restype:container"]
    signed = "\n".join([*standard, *named, *resource])
    signature = hmac.digest(base64.b64decode(key), signed.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {place.account}:{base64.b64encode(signature).decode()}"
    headers["Content-Type"] = content_type
    request = urllib.request.Request(url, data=b"", headers=headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=_CONNECT_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 409 and b"ContainerAlreadyExists" in error.read(10_000)
