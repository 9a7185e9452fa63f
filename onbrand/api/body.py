"""Reading a request's body: the size is limited before reading, and only strict JSON is accepted.

FastAPI's own reader is not used. It accepts any size, other encodings and repeated keys, reads the body before it
checks who calls, and answers 500 to lone surrogates and NaN. See docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from onbrand.api.schemas import Body
from onbrand.errors import BodyTooLarge, BodyTooSlow, JsonInvalid, MediaTypeUnsupported, RequestInvalid
from onbrand.storage import strict_json

MAX_BYTES = 8192
PATIENCE_SECONDS = 10.0  # from the first byte of the body to the last

# The only parameter that JSON has in practice. Python's reader of mail headers raises TypeError for some of the others.
_JSON_IN_UTF8 = re.compile(r"application/json[ \t]*(?:;[ \t]*charset=(?:utf-?8|\"utf-?8\")[ \t]*)?", re.IGNORECASE)

Model = TypeVar("Model", bound=Body)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as `model`.

    Raises:
        MediaTypeUnsupported: the body is compressed, or its type is not application/json in UTF-8.
        BodyTooLarge: more than 8,192 bytes are declared or sent.
        BodyTooSlow: the body was not complete within `PATIENCE_SECONDS`.
        JsonInvalid: not one JSON document in UTF-8.
        RequestInvalid: a key is repeated, a number is NaN or Infinity, or a field is missing, unknown or wrongly typed.
    """
    _check_media_type(request)
    text = _decode(await _read(request))
    try:
        return model.model_validate(strict_json.loads(text))
    except (strict_json.Ambiguous, ValidationError):
        raise RequestInvalid(model.expected) from None
    except (ValueError, RecursionError):
        raise JsonInvalid from None


def _check_media_type(request: Request) -> None:
    declared = request.headers.getlist("content-type")
    if len(declared) != 1 or request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MediaTypeUnsupported
    if not _JSON_IN_UTF8.fullmatch(declared[0].strip(" \t")):
        raise MediaTypeUnsupported


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 9 or int(length) > MAX_BYTES:
        raise BodyTooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    return bytes(body)


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise JsonInvalid from None
