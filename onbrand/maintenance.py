"""What must happen while nobody asks for anything: lost work is found, what is due is deleted, the store is compared.

Runs in the API process, so that it works with no worker alive, and once at a worker's start. Any number of processes
may do it at the same time, and each may die on any line: every step is one transaction or may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from onbrand.config import Settings
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable, ImageStoreUnavailable
from onbrand.images.store import ImageStore, StoredKey
from onbrand.jobs import attempts, retention, usage
from onbrand.jobs.attempts import Rules, Swept

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
EXPIRE_SECONDS = 60.0
_COLLECT_EVERY_HOURS = 6
_COLLECT_ASK_SECONDS = 300.0
_BATCH = 100
_AT_ONCE = 8  # jobs whose images are deleted side by side
_FOREIGN_SHARE = 0.1  # of stored images without a job: more, and this is hardly the database they belong to


@dataclass(frozen=True)
class Expired:
    """What a deletion did: jobs deleted, jobs whose images the store did not let go, or whether all of it waits."""

    deleted: int = 0
    unfinished: int = 0
    held: bool = False


@dataclass(frozen=True)
class Collected:
    """What a comparison found: stored images deleted, half-written files deleted, published images missing."""

    deleted: int = 0
    leftovers: int = 0
    missing: int = 0
    held: bool = False


class Maintenance:
    """The upkeep of one database and the image store that belongs to it."""

    def __init__(self, settings: Settings, database: Database, images: ImageStore) -> None:
        self._rules = Rules.of(settings)
        self._database = database
        self._images = images

    async def run(self) -> None:
        """Look after everything until cancelled; what goes wrong in a round is logged and tried again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(self.sweep, SWEEP_SECONDS))
            group.create_task(_for_ever(self.expire, EXPIRE_SECONDS))
            group.create_task(_for_ever(self._collect_in_turn, _COLLECT_ASK_SECONDS))

    async def sweep(self) -> Swept:
        """Find work that was lost: `attempts.sweep`."""
        async with self._database.transaction() as connection:
            swept = await attempts.sweep(connection, self._rules)
        for job_id in swept.requeued:
            logger.warning(
                "The job's worker was lost; it is queued again", extra={"action": "sweep", "job_id": str(job_id)}
            )
        for job_id, code in swept.failed:
            logger.warning(
                "The job was given up (%s)", code, extra={"action": "fail_late", "job_id": str(job_id), "code": code}
            )
        if swept.delivered_again:
            logger.warning(
                "%d waiting jobs had lost their queue entry and got a new one",
                swept.delivered_again,
                extra={"action": "deliver_again"},
            )
        return swept

    async def expire(self, *, confirmed: bool = False) -> Expired:
        """Delete the jobs whose time is over. `confirmed`: also when it is so much that a wrong clock is likelier."""
        async with self._database.transaction() as connection:
            held = await retention.is_held(connection) and not confirmed
        if held:
            logger.error(
                "More than half of all jobs are due for deletion at once. Is the database's clock right? They are"
                " deleted in some hours; `onbrand clean --confirm` does it now.",
                extra={"action": "expire_held"},
            )
            return Expired(held=True)
        deleted = unfinished = 0
        while True:
            async with self._database.transaction() as connection:
                begun = await retention.begin(connection, _BATCH)
            if not begun:
                break
            gate = asyncio.Semaphore(_AT_ONCE)
            done = await asyncio.gather(*(self._delete(job_id, gate) for job_id in begun))
            deleted, unfinished = deleted + sum(done), unfinished + done.count(False)
            if unfinished:
                logger.warning("The image store does not answer", extra={"action": "store_lost"})
                break
        async with self._database.transaction() as connection:
            await retention.forget(connection)
            await usage.forget(connection)
            overdue = await retention.overdue(connection)
        if deleted:
            logger.info("%d jobs were kept for their full time and are deleted", deleted, extra={"action": "expire"})
        if overdue:
            logger.error(
                "%d jobs should have been deleted a day ago, but their images can't be",
                overdue,
                extra={"action": "expire_overdue"},
            )
        return Expired(deleted, unfinished)

    async def _delete(self, job_id: UUID, gate: asyncio.Semaphore) -> bool:
        async with gate:
            try:
                await self._images.delete_job(job_id)
            except ImageStoreUnavailable:
                return False  # it stays marked, and is taken up again
            async with self._database.transaction() as connection:
                await retention.finish(connection, job_id)
            return True

    async def collect(self, *, confirmed: bool = False) -> Collected:
        """Compare rows and stored images, both ways: delete what belongs to no result, note what is missing.

        `confirmed`: also when so many images belong to no job that this may not be their database.
        """
        orphans: list[StoredKey] = []
        strangers = total = 0
        seen: set[tuple[UUID, int, int]] = set()
        oldest = datetime.now(UTC) - timedelta(
            hours=retention.ORPHAN_HOURS
        )  # by this clock; the grace is for its error
        async for batch in self._images.stored():
            async with self._database.transaction() as connection:
                known = await retention.known(connection, {key.job_id for key in batch})
            for key in batch:
                seen.add((key.job_id, key.attempt, key.n))
                kept = known.get(key.job_id)
                if key.modified < oldest and (kept is None or kept.attempt != key.attempt):
                    orphans.append(key)
                    strangers += kept is None
            total += len(batch)
        held = strangers > _FOREIGN_SHARE * total and not confirmed
        async with self._database.transaction() as connection:
            await retention.note_held(connection, held=held)
        if held:
            logger.error(
                "%d of %d stored images belong to no job. Is this the right database for them? Nothing is deleted;"
                " `onbrand clean --confirm` does it.",
                strangers,
                total,
                extra={"action": "collect_held"},
            )
        deleted = 0 if held else await self._images.delete(orphans)
        leftovers = await self._images.sweep_leftovers(timedelta(hours=retention.ORPHAN_HOURS))
        missing = await self._note_missing(seen)
        if deleted or leftovers:
            logger.info(
                "Deleted %d images and %d half-written files that belong to no result",
                deleted,
                leftovers,
                extra={"action": "collect"},
            )
        return Collected(deleted, leftovers, missing, held)

    async def _note_missing(self, seen: set[tuple[UUID, int, int]]) -> int:
        missing: list[tuple[UUID, int]] = []
        after: UUID | None = None
        while True:
            async with self._database.transaction() as connection:
                published = await retention.published(connection, after, _BATCH)
            if not published:
                break
            missing += [(job_id, image.n) for job_id, n, image in published if (job_id, n, image.n) not in seen]
            after = published[-1][0]
        async with self._database.transaction() as connection:
            await retention.note_missing(connection, missing)
        for job_id in sorted({job_id for job_id, _ in missing}):
            logger.error(
                "The store has lost images of a complete job", extra={"action": "image_missing", "job_id": str(job_id)}
            )
        return len(missing)

    async def _collect_in_turn(self) -> None:
        async with self._database.transaction() as connection:
            mine = await retention.may_collect(connection, _COLLECT_EVERY_HOURS)
        if mine:
            await self.collect()


async def _for_ever(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    lost = False
    while True:
        try:
            await work()
        except DatabaseUnavailable:
            if not lost:
                logger.warning("The database does not answer", extra={"action": "database_lost"})
            lost = True
        except ImageStoreUnavailable:
            if not lost:
                logger.warning("The image store does not answer", extra={"action": "store_lost"})
            lost = True
        except Exception:  # the loop must outlive whatever one round meets
            logger.exception("A round of upkeep failed", extra={"action": "sweep_failed"})
        else:
            lost = False
        await asyncio.sleep(seconds)
