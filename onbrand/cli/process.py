"""What `onbrand api` and `onbrand worker` share: both run until a signal, and both need a database address."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from onbrand.config import Settings
from onbrand.errors import ConfigError

if TYPE_CHECKING:
    from onbrand.database.address import Address

StopWithParent = Annotated[bool, typer.Option(hidden=True, help="Stop when standard input ends.")]


def database_address(settings: Settings) -> Address:
    """The address of the configured database.

    Raises:
        ConfigError: none is configured.
    """
    from onbrand.database.address import configured

    address = configured(settings)
    if address is None:
        raise ConfigError("Set ONBRAND_DATABASE_URL, or run `onbrand up`, which brings its own PostgreSQL.")
    return address


async def run_until_signalled(
    work: Callable[[asyncio.Event, asyncio.Event], Awaitable[None]], stop_with_parent: bool
) -> None:
    """Run `work(stop, stop_now)`. The first SIGTERM or Ctrl-C sets `stop`, the second sets `stop_now`."""
    loop = asyncio.get_running_loop()
    stop, stop_now = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if stop_with_parent:

        def wait_for_parent() -> None:
            # Not sys.stdin: the interpreter locks it when it ends, and would wait for this thread.
            while os.read(0, 1024):
                pass
            loop.call_soon_threadsafe(stop.set)

        threading.Thread(target=wait_for_parent, name="parent", daemon=True).start()
    await work(stop, stop_now)
