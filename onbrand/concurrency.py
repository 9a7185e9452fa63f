"""Two helpers for asyncio: blocking work in a thread, and work that an event may interrupt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """Run blocking work in a daemon thread. If the caller is cancelled, nobody waits for the thread.

    `asyncio.to_thread` does not do here: the interpreter waits for its threads when the process ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # it is raised again where the future is awaited
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="blocking", daemon=True).start()
    return await future


async def unless_set(event: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do the work to its end, or cancel it when the event is set first. Whether the work was done."""
    doing, waiting = asyncio.create_task(work), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({doing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(doing, waiting)
    if doing.cancelled():
        return False
    doing.result()
    return True


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and return when they have ended. Their exceptions are not raised."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
