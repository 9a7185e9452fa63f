"""The jobs whose event streams are open: one look at the database serves all streams of this process.

A stream with a look of its own would take a connection several times a second. A hundred streams then kept everybody
waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextvars import Context
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID

from onbrand.api.schemas import JobView, present
from onbrand.database.pool import PATIENCE_SECONDS, Connection, Database
from onbrand.errors import DatabaseUnavailable, JobExpired, JobNotFound, ProblemError
from onbrand.jobs import eta, service
from onbrand.jobs.models import Owner, Status

_LOOK_SECONDS = 0.25  # between two looks at which rows have changed
_OUTLOOK_SECONDS = 1.0  # position and seconds of a job change while its row doesn't
_MOST_VIEWS = 20  # made in one look; the others' turn is in the next
_MOST_OPENING = 2  # connections to the database for all streams that begin, so that some are left for everybody else
_ENDED = (Status.COMPLETE, Status.FAILED)


@dataclass(frozen=True)
class _Seen:
    """A job as a look found it."""

    view: JobView
    version: str | None = None  # of its row
    began_at: float = 0.0  # the look, by the loop's clock

    @cached_property
    def text(self) -> str:
        """The view as JSON, written once for all streams."""
        return self.view.model_dump_json()


@dataclass
class _Watched:
    """A job with at least one stream."""

    owner: Owner
    job_id: UUID
    latest: _Seen
    streams: int = 0
    is_lost: bool = False  # nobody looks at it any more
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let all streams look. The next time has an event of its own."""
        self.changed.set()
        self.changed = asyncio.Event()


class JobWatch:
    """All watched jobs of one process. Looks run in one task, and only while there is a stream."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: dict[tuple[Owner, UUID], _Watched] = {}
        self._looking: asyncio.Task[None] | None = None
        self._opening: dict[tuple[Owner, UUID], asyncio.Task[JobView]] = {}
        self._places = asyncio.Semaphore(_MOST_OPENING)

    async def first_view(self, owner: Owner, job_id: UUID) -> JobView:
        """The job for a stream that begins. All that begin at the same time are told what one look found.

        Raises:
            JobNotFound, JobExpired
            DatabaseUnavailable: the database does not answer, or too many streams begin.
        """
        key = owner, job_id
        opening = self._opening.get(key)
        if opening is None:
            opening = self._opening[key] = asyncio.create_task(self._find(owner, job_id))
            opening.add_done_callback(lambda _: self._opening.pop(key))
        return await asyncio.shield(opening)

    async def _find(self, owner: Owner, job_id: UUID) -> JobView:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(retry_after_seconds=5) from None
        try:
            async with self._database.transaction() as connection:
                return await _view(connection, owner, job_id)
        finally:
            self._places.release()

    async def follow(self, owner: Owner, job_id: UUID, view: JobView, seconds: float) -> AsyncGenerator[str, None]:
        """`view`, which the caller has just made, and each later one, as JSON.

        It ends with the job, after `seconds`, or if the database doesn't answer.
        """
        loop = asyncio.get_running_loop()
        joined_at = loop.time()
        watched = self._watched.setdefault((owner, job_id), _Watched(owner, job_id, _Seen(view)))
        watched.streams += 1
        try:
            if self._looking is None or self._looking.done():
                # In a context of its own: what it logs is of no single request.
                self._looking = loop.create_task(self._look_again_and_again(), context=Context())
            yield view.model_dump_json()
            while view.status not in _ENDED:
                seen = watched.latest
                # What was found before this stream began is older than its `view`: percent would fall.
                if seen.began_at > joined_at and seen.view != view:
                    view = seen.view
                    yield seen.text
                elif watched.is_lost:
                    return
                else:
                    async with asyncio.timeout_at(joined_at + seconds):
                        await watched.changed.wait()
        except TimeoutError:
            return
        finally:
            watched.streams -= 1
            if not watched.streams and self._watched.get((owner, job_id)) is watched:
                del self._watched[owner, job_id]

    async def _look_again_and_again(self) -> None:
        try:
            while self._watched:
                await asyncio.sleep(_LOOK_SECONDS)
                async with self._database.transaction() as connection:
                    await self._look(connection)
        except ProblemError:
            return  # the streams end, and their clients poll
        finally:
            for watched in self._watched.values():
                watched.is_lost = True
                watched.wake()
            self._watched.clear()

    async def _look(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        versions = await service.versions(connection, [watched.job_id for watched in self._watched.values()])
        due = [
            watched
            for watched in self._watched.values()
            if watched.latest.view.status not in _ENDED
            and (
                watched.latest.version != versions.get(watched.job_id)
                or now - watched.latest.began_at >= _OUTLOOK_SECONDS
            )
        ]
        for watched in sorted(due, key=lambda watched: watched.latest.began_at)[:_MOST_VIEWS]:
            try:
                view = await _view(connection, watched.owner, watched.job_id)
            except (JobNotFound, JobExpired):
                watched.is_lost = True
            else:
                watched.latest = _Seen(view, versions.get(watched.job_id), now)
            watched.wake()


async def _view(connection: Connection, owner: Owner, job_id: UUID) -> JobView:
    job = await service.find(connection, owner, job_id)
    return present(job, await eta.outlook(connection, job))
