"""A reader that is closed while its answer arrives: whoever waits for the answer is not left waiting."""

from __future__ import annotations

import threading
from typing import cast

from onbrand.storage.object_store import ObjectStore
from onbrand.storage.range_reader import RangeReader


class AnswersAtOnce:
    """An object store whose object is empty."""

    async def size(self, _key: str) -> int:
        return 0


def test_an_answer_that_comes_while_the_reader_is_closed_is_handed_over() -> None:
    reader = RangeReader(cast("ObjectStore", AnswersAtOnce()), "a.bin", "models")
    is_held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        goes_on.wait()

    reader._loop.call_soon_threadsafe(hold)  # so that the request and the end are dealt with in the same turn
    assert is_held.wait(10)
    read: list[int] = []
    reading = threading.Thread(target=lambda: read.append(reader.readinto(memoryview(bytearray(1)))), daemon=True)
    closing = threading.Thread(target=reader.close, daemon=True)
    for thread in (reading, closing):
        waiting = len(reader._loop._ready)  # type: ignore[attr-defined]
        thread.start()
        while len(reader._loop._ready) == waiting:  # type: ignore[attr-defined]
            pass
    goes_on.set()
    for thread in (reading, closing):
        thread.join(10)
        assert not thread.is_alive()
    assert read == [0]
