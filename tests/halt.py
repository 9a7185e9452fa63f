"""Kill or freeze a process of Onbrand at one point of its work, as a power cut or a stalled machine would.

Production code does not know of it: the test's own program wraps the functions. The variable `HALT_AT` names the point,
`HALT_WITH` the signal (SIGKILL if unset). The points are

    fetched                    a delivery is taken, nothing is claimed
    drawing                    in the middle of the steps
    stored K                   K of the four images are in the store
    half stored                one image is stored, the second's PNG is half written
    half rendered              one image is stored, and the PNG of the second; its rendition is half written
    NAME uncommitted           a function of `attempts`, `service` or `workers` has run, its transaction is still open
    NAME committed             the same after its commit, before the caller gets the answer

`python -m tests.halt COMMAND` is `onbrand COMMAND` that halts at the point. This file is no test.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from obstore.store import LocalStore

from onbrand.cli import main
from onbrand.config import Settings
from onbrand.database.pool import Connection, Database
from onbrand.images.store import ImageStore
from onbrand.jobs import attempts, service, workers
from onbrand.jobs.models import StoredImage, image_key, rendition_key
from onbrand.worker.job_runner import JobRunner

_OWNERS = {
    "submit": service,
    "claim": attempts,
    "publish": attempts,
    "end_attempt": attempts,
    "give_back": attempts,
    "withdraw": workers,
}
_STEPS_BEFORE = 3


def halt() -> None:
    """Send the signal to this process; returns only after a freeze."""
    os.kill(os.getpid(), signal.Signals[os.environ.get("HALT_WITH", "SIGKILL")])


def install(point: str) -> None:
    """Make this process halt each time it reaches the point."""
    match point.split():
        case ["fetched"]:
            _instead(JobRunner, "run_next_job", _before)
        case ["drawing"]:
            _instead(attempts, "record_progress", _after(_STEPS_BEFORE))
        case ["stored", images]:
            _instead(ImageStore, "put", _one_by_one(_after(int(images))))
        case ["half", "stored"]:
            _instead(ImageStore, "put", _one_by_one(_half_of_the_second))
        case ["half", "rendered"]:
            _instead(ImageStore, "put", _one_by_one(_half_of_the_second_rendition))
        case [name, "uncommitted"]:
            _instead(_OWNERS[name], name, _after(1))
        case [name, "committed"]:
            _when_committed(_OWNERS[name], name)
        case _:
            raise ValueError(point)


_Function = Callable[..., Awaitable[Any]]


def _instead(owner: Any, name: str, wrap: Callable[[_Function], _Function]) -> None:
    setattr(owner, name, wrap(getattr(owner, name)))


def _before(function: _Function) -> _Function:
    async def wrapped(*arguments: Any, **options: Any) -> Any:
        halt()
        return await function(*arguments, **options)

    return wrapped


def _after(times: int) -> Callable[[_Function], _Function]:
    def wrap(function: _Function) -> _Function:
        done = 0

        async def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            result = await function(*arguments, **options)
            done += 1
            if done == times:
                halt()
            return result

        return wrapped

    return wrap


def _one_by_one(wrap: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """The worker stores the four images at once. Here it does so one after the other, so that the number is known."""

    def wrap_in_turn(function: _Function) -> _Function:
        turn = asyncio.Lock()
        wrapped = wrap(function)

        async def in_turn(*arguments: Any, **options: Any) -> Any:
            async with turn:
                return await wrapped(*arguments, **options)

        return in_turn

    return wrap_in_turn


def _half_of_the_second(function: _Function) -> _Function:
    begun = 0

    async def wrapped(
        images: ImageStore, job_id: UUID, attempt: int, n: int, png: bytes, rendition: bytes
    ) -> StoredImage:
        nonlocal begun
        begun += 1
        if begun == 2:
            await _write_half(image_key(job_id, attempt, n), png)
        stored: StoredImage = await function(images, job_id, attempt, n, png, rendition)
        return stored

    return wrapped


def _half_of_the_second_rendition(function: _Function) -> _Function:
    begun = 0

    async def wrapped(
        images: ImageStore, job_id: UUID, attempt: int, n: int, png: bytes, rendition: bytes
    ) -> StoredImage:
        nonlocal begun
        begun += 1
        if begun == 2:
            await function(images, job_id, attempt, n, png)
            await _write_half(rendition_key(job_id, attempt, n), rendition)
        stored: StoredImage = await function(images, job_id, attempt, n, png, rendition)
        return stored

    return wrapped


async def _write_half(key: str, content: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        halt()

    await LocalStore(Settings().data_dir / "images", mkdir=True).put_async(key, pieces(), chunk_size=16)


def _when_committed(owner: Any, name: str) -> None:
    ours: list[Connection] = []
    function, transaction = getattr(owner, name), Database.transaction

    async def wrapped(connection: Connection, *arguments: Any, **options: Any) -> Any:
        ours.append(connection)
        return await function(connection, *arguments, **options)

    @asynccontextmanager
    async def watched(database: Database) -> AsyncIterator[Connection]:
        async with transaction(database) as connection:
            yield connection
        if connection in ours:
            halt()

    setattr(owner, name, wrapped)
    Database.transaction = watched  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    install(os.environ["HALT_AT"])
    main.main()
