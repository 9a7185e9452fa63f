"""Blocking work beside an event loop, in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Found = TypeVar("Found")


async def in_thread(work: Callable[[], Found]) -> Found:
    """Run blocking work in a thread that nobody waits for once the caller has given up.

    `asyncio.to_thread` would not do: the interpreter waits for its threads when it ends.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Found] = loop.create_future()

    def settle(found: Found | None, error: BaseException | None) -> None:
        if result.done():
            return
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(found)  # type: ignore[arg-type]

    def run() -> None:
        found, error = None, None
        try:
            found = work()
        except BaseException as met:  # it is raised where the result is awaited
            error = met
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await result
