"""Reading a request's body: bounded before it is read, strict in what counts as JSON.

FastAPI's own reader is not used, because it takes any size, reads before anybody is signed in, accepts other encodings
and repeated keys, and answers 500 to lone surrogates and NaN.
"""

from __future__ import annotations

import asyncio
from email.message import Message
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from onbrand.api.schemas import Body
from onbrand.errors import BodyTooLarge, BodyTooSlow, JsonInvalid, MediaTypeUnsupported, RequestInvalid
from onbrand.storage import strict_json

MAX_BYTES = 8192
PATIENCE_SECONDS = 10.0

Model = TypeVar("Model", bound=Body)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as `model`.

    Raises:
        MediaTypeUnsupported: not declared as application/json in UTF-8, or compressed.
        BodyTooLarge: more than 8,192 bytes, declared or sent.
        BodyTooSlow: not all of it came within `PATIENCE_SECONDS`.
        JsonInvalid: not one JSON document in UTF-8.
        RequestInvalid: repeated keys, NaN or Infinity, missing, unknown or wrongly typed fields.
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
    message = Message()
    message["content-type"] = declared[0]
    charset = message.get_param("charset", "utf-8")
    if message.get_content_type() != "application/json" or str(charset).lower() not in ("utf-8", "utf8"):
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
