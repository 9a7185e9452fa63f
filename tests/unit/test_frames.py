"""Frames between the worker and its model: what goes in comes out, and a torn one is never taken for a whole one."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import Callable
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import Buffer

from onbrand.worker.frames import Frame, FrameBroken, pack, read, read_async, write

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)
FRAMES = st.builds(
    Frame,
    kind=st.text(max_size=10),
    fields=st.dictionaries(st.text(max_size=5).filter(lambda name: name != "kind"), VALUES, max_size=3),
    payload=st.binary(max_size=50),
)


def read_blocking(data: bytes) -> Frame | None:
    """The first frame of a stream that ends after `data`."""
    return read(io.BytesIO(data))


def read_without_blocking(data: bytes) -> Frame | None:
    """The same, by the other reader."""

    async def first() -> Frame | None:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await read_async(stream)

    return asyncio.run(first())


READERS = pytest.mark.parametrize("reader", [read_blocking, read_without_blocking])
Reader = Callable[[bytes], Frame | None]


class Trickle(io.RawIOBase):
    """A pipe that takes a few bytes at a time, as one does whose writer is stopped and goes on."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: Buffer) -> int:
        taken = bytes(data)[:7]
        self.taken += taken
        return len(taken)


@given(frames=st.lists(FRAMES, max_size=4))
def test_what_is_packed_is_read_again_and_then_the_end(frames: list[Frame]) -> None:
    stream = io.BytesIO(b"".join(map(pack, frames)))
    assert [read(stream) for _ in frames] == frames
    assert read(stream) is None


@READERS
@given(frame=FRAMES)
def test_both_readers_read_a_frame_and_no_more(reader: Reader, frame: Frame) -> None:
    assert reader(pack(frame) + b"the next") == frame


@given(frame=FRAMES)
def test_a_stream_that_takes_a_frame_in_pieces_gets_all_of_it(frame: Frame) -> None:
    stream = Trickle()
    write(cast(BinaryIO, stream), frame)
    assert stream.taken == pack(frame)


@READERS
def test_a_frame_torn_at_any_byte_is_broken_and_only_one_that_has_not_begun_is_the_end(reader: Reader) -> None:
    whole = pack(Frame("image", {"job_id": "x", "n": 1}, b"\x89PNG" * 3))
    assert reader(b"") is None
    for size in range(1, len(whole)):
        with pytest.raises(FrameBroken):
            reader(whole[:size])


def framed(header: bytes) -> bytes:
    return struct.pack(">II", len(header), 0) + header


@READERS
@pytest.mark.parametrize(
    "data",
    [
        b"Traceback (most recent call last):\n",
        struct.pack(">II", 65_537, 0),
        struct.pack(">II", 10, 2**26 + 1),
        framed(b"not json"),
        framed(b"\xff\xfe"),
        framed(b"[]"),
        framed(b"7"),
        framed(b"null"),
        framed(json.dumps({"job_id": "x"}).encode()),
        framed(json.dumps({"kind": 7}).encode()),
        framed(b"[" * 60_000),
        pack(Frame("progress", {"job_id": "x" * 65_536})),
    ],
    ids=lambda data: data[:16].hex(),
)
def test_anything_that_is_no_frame_is_broken(reader: Reader, data: bytes) -> None:
    with pytest.raises(FrameBroken):
        reader(data)
