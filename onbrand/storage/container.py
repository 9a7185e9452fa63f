"""Making a missing container of Azure Blob Storage. obstore has no call for it.

The request is the one of https://learn.microsoft.com/rest/api/storageservices/create-container, signed as in
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import urllib.error
import urllib.request
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlsplit

from onbrand.config import AzureContainer
from onbrand.storage.failures import failure
from onbrand.storage.object_store import CONNECT_SECONDS

_API_VERSION = "2023-11-03"


async def create_container(place: Path | AzureContainer | None) -> bool:
    """Make the container, closed to the public.

    False: Azure refused, or the settings hold no key. Only the account's key allows making a container.

    Raises:
        StoreFailed: Azure did not answer.
    """
    if not isinstance(place, AzureContainer) or place.key is None:
        return False
    try:
        return await asyncio.to_thread(_create, place, place.key.get_secret_value())
    except OSError as error:
        raise failure(error) from None  # its text has addresses in it


def _create(place: AzureContainer, key: str) -> bool:
    url = f"{place.endpoint}/{place.name}?restype=container"
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _API_VERSION}
    content_type = "application/octet-stream"  # without it urllib sets another type, which would not be the signed one
    standard = ["PUT", "", "", "", "", content_type, "", "", "", "", "", ""]
    named = [f"{name}:{value}" for name, value in headers.items()]
    resource = [f"/{place.account}{urlsplit(url).path}", "restype:container"]
    signed = "\n".join([*standard, *named, *resource])
    signature = hmac.digest(base64.b64decode(key), signed.encode(), hashlib.sha256)
    headers["Authorization"] = f"SharedKey {place.account}:{base64.b64encode(signature).decode()}"
    headers["Content-Type"] = content_type
    request = urllib.request.Request(url, data=b"", headers=headers, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 409 and b"ContainerAlreadyExists" in error.read(10_000)
