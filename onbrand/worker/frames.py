"""The pipe between the worker and its model process: length-prefixed frames of a JSON header and raw bytes.

The format is not pickle, although both sides run the same code: a frame that a crash has cut off must be an error, and
must never become an object.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_PREFIX = struct.Struct(">II")  # bytes of the header, bytes of the payload
_MAX_HEADER_BYTES = 64 * 1024
_MAX_PAYLOAD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Frame:
    """One message. `kind` says what the fields mean; `child` lists the kinds."""

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    payload: bytes = b""


class FrameBroken(Exception):
    """The other side sent bytes that are not a frame, or ended in the middle of one."""


def pack(frame: Frame) -> bytes:
    """The frame as bytes."""
    header = json.dumps({"kind": frame.kind, **frame.fields}).encode()
    return _PREFIX.pack(len(header), len(frame.payload)) + header + frame.payload


def write(stream: BinaryIO, frame: Frame) -> None:
    """Write a whole frame to a raw stream.

    One call of `stream.write` may write only a part. That happens when SIGSTOP or a container's freezer stops the
    process while it writes into a full pipe: afterwards the call returns a short count (64 KiB of 1 MB, measured on
    Linux).
    """
    left = memoryview(pack(frame))
    while left:
        left = left[stream.write(left) :]


def read(stream: BinaryIO) -> Frame | None:
    """Read the next frame of a blocking stream; None at its end.

    Raises:
        FrameBroken: the bytes are not a whole frame.
    """
    prefix = stream.read(_PREFIX.size)
    if not prefix:
        return None
    if len(prefix) < _PREFIX.size:
        raise FrameBroken
    header_size, payload_size = _sizes(prefix)
    body = stream.read(header_size + payload_size)
    if len(body) < header_size + payload_size:
        raise FrameBroken
    return _unpack(body[:header_size], body[header_size:])


async def read_async(stream: asyncio.StreamReader) -> Frame | None:
    """Read the next frame without blocking; otherwise like `read`."""
    try:
        header_size, payload_size = _sizes(await stream.readexactly(_PREFIX.size))
        header = await stream.readexactly(header_size)
        return _unpack(header, await stream.readexactly(payload_size))
    except asyncio.IncompleteReadError as error:
        if error.expected == _PREFIX.size and not error.partial:
            return None
        raise FrameBroken from error


def _sizes(prefix: bytes) -> tuple[int, int]:
    header_size, payload_size = _PREFIX.unpack(prefix)
    if header_size > _MAX_HEADER_BYTES or payload_size > _MAX_PAYLOAD_BYTES:
        raise FrameBroken
    return header_size, payload_size


def _unpack(header: bytes, payload: bytes) -> Frame:
    try:
        fields = json.loads(header)
        kind = fields.pop("kind")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise FrameBroken from error
    if not isinstance(kind, str):
        raise FrameBroken
    return Frame(kind, fields, payload)
