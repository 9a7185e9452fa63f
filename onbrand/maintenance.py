"""What happens without a request: lost jobs are found, due jobs are deleted, rows and stored images are compared, and
stored images are read.

It runs in each API process, so it works with no worker alive; a worker also sweeps once at its start. Any number of
processes may run it at the same time, and each may die on any line: every step is one transaction or may be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from onbrand.budget import governor
from onbrand.budget.plan import Plan
from onbrand.config import Settings
from onbrand.database.pool import Database
from onbrand.errors import DatabaseUnavailable, ImageCorrupt, ImageStoreUnavailable
from onbrand.images.keys import StoredKey
from onbrand.images.store import ImageStore
from onbrand.jobs import retention, scrub, usage
from onbrand.jobs.attempts import Rules
from onbrand.jobs.models import image_keys
from onbrand.jobs.sweep import Swept, sweep_jobs

logger = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
EXPIRE_SECONDS = 60.0
_COLLECT_EVERY_HOURS = 6
_COLLECT_CHECK_SECONDS = 300.0  # how often each process asks whether the six hours are over
_BATCH = 100
_AT_ONCE = 8  # jobs whose images are deleted at the same time
_FOREIGN_SHARE = 0.1  # if more of the stored images have no job, this is probably not their database


@dataclass(frozen=True)
class Expired:
    """What a round of deletion did: jobs deleted, jobs whose images the store did not delete, whether all must wait."""

    deleted: int = 0
    unfinished: int = 0
    held: bool = False


@dataclass(frozen=True)
class Collected:
    """What a comparison did: stored images deleted, half-written files deleted, published images found missing."""

    deleted: int = 0
    leftovers: int = 0
    missing: int = 0
    held: bool = False


@dataclass(frozen=True)
class Scrubbed:
    """What reading stored images found: how many were read, and how many of them are damaged or gone."""

    read: int = 0
    damaged: int = 0


class Maintenance:
    """Looks after one database and the image store that belongs to it."""

    def __init__(self, settings: Settings, database: Database, images: ImageStore) -> None:
        self._rules = Rules.of(settings)
        self._plan = Plan.of(settings)
        self._database = database
        self._images = images

    async def run(self) -> None:
        """Do everything in turns until cancelled. An error in one round is logged, and the next round tries again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(self.sweep, SWEEP_SECONDS))
            group.create_task(_for_ever(self.expire, EXPIRE_SECONDS))
            group.create_task(_for_ever(self._collect_in_turn, _COLLECT_CHECK_SECONDS))
            group.create_task(_for_ever(self.scrub_round, scrub.ROUND_SECONDS))

    async def sweep(self) -> Swept:
        """Find lost jobs and late jobs (`jobs.sweep`), and log what was done."""
        async with self._database.transaction() as connection:
            swept = await sweep_jobs(connection, self._rules)
        if self._plan is not None:
            async with self._database.transaction() as connection:
                await governor.tend(connection, self._plan)
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
        """Delete the jobs whose retention time is over.

        `confirmed`: also when so many are due at once that the clock is probably wrong.
        """
        async with self._database.transaction() as connection:
            is_held = await retention.is_deletion_held(connection) and not confirmed
        if is_held:
            logger.error(
                "More than half of all jobs are due for deletion at once. Is the database's clock right? They will be"
                " deleted in some hours; `onbrand clean --confirm` deletes them now.",
                extra={"action": "expire_held"},
            )
            return Expired(held=True)
        deleted = unfinished = 0
        while True:
            async with self._database.transaction() as connection:
                marked = await retention.mark_for_deletion(connection, _BATCH)
            if not marked:
                break
            gate = asyncio.Semaphore(_AT_ONCE)
            done = await asyncio.gather(*(self._delete(job_id, gate) for job_id in marked))
            deleted, unfinished = deleted + sum(done), unfinished + done.count(False)
            if unfinished:
                logger.warning("The image store does not answer", extra={"action": "store_lost"})
                break
        async with self._database.transaction() as connection:
            await retention.delete_old_traces(connection)
            await usage.delete_old(connection)
            overdue = await retention.overdue(connection)
        if deleted:
            logger.info("%d jobs were deleted after their retention time", deleted, extra={"action": "expire"})
        if overdue:
            logger.error(
                "%d jobs should have been deleted a day ago, but their images can't be deleted",
                overdue,
                extra={"action": "expire_overdue"},
            )
        return Expired(deleted, unfinished)

    async def _delete(self, job_id: UUID, gate: asyncio.Semaphore) -> bool:
        async with gate:
            try:
                await self._images.delete_job(job_id)
            except ImageStoreUnavailable:
                return False  # the job stays marked, and a later round deletes it
            async with self._database.transaction() as connection:
                await retention.delete_row(connection, job_id)
            logger.info(
                "The job was deleted after its retention time", extra={"action": "delete_job", "job_id": str(job_id)}
            )
            return True

    async def collect(self, *, confirmed: bool = False) -> Collected:
        """Compare rows and stored images, both ways: delete images of no result, note published images that are gone.

        `confirmed`: delete also when so many images belong to no job that this is probably not their database.
        """
        orphans: list[StoredKey] = []
        without_job = total = 0
        seen: set[str] = set()
        # This machine's clock, not the database's; two hours are more than its error.
        before = datetime.now(UTC) - timedelta(hours=retention.ORPHAN_HOURS)
        async with self._database.transaction() as connection:
            began = await retention.database_now(connection)
        async for batch in self._images.stored():
            async with self._database.transaction() as connection:
                kept_attempts = await retention.attempts_to_keep(connection, {key.job_id for key in batch})
            for key in batch:
                seen.add(key.key)
                kept = kept_attempts.get(key.job_id)
                if key.modified < before and (kept is None or kept.attempt != key.attempt):
                    orphans.append(key)
                    without_job += kept is None
            total += len(batch)
        is_held = without_job > _FOREIGN_SHARE * total and not confirmed
        async with self._database.transaction() as connection:
            await retention.note_collection_held(connection, is_held=is_held)
        if is_held:
            logger.error(
                "%d of %d stored images belong to no job. Is this the right database for them? Nothing is deleted;"
                " `onbrand clean --confirm` deletes them.",
                without_job,
                total,
                extra={"action": "collect_held"},
            )
        deleted = 0 if is_held else await self._images.delete(orphans)
        leftovers = await self._images.sweep_leftovers(timedelta(hours=retention.ORPHAN_HOURS))
        missing = await self._note_missing(seen, began)
        if deleted or leftovers:
            logger.info(
                "Deleted %d images and %d half-written files that belong to no result",
                deleted,
                leftovers,
                extra={"action": "collect"},
            )
        return Collected(deleted, leftovers, missing, is_held)

    async def _note_missing(self, seen: set[str], began: datetime) -> int:
        missing: list[tuple[UUID, int]] = []
        after: UUID | None = None
        while True:
            async with self._database.transaction() as connection:
                published = await retention.published_images(connection, began, after, _BATCH)
            if not published:
                break
            for job_id, attempt, image in published:
                if not seen.issuperset(image_keys(job_id, attempt, image)):
                    missing.append((job_id, image.n))
            after = published[-1][0]
        async with self._database.transaction() as connection:
            await retention.note_missing(connection, missing)
        for job_id in sorted({job_id for job_id, _ in missing}):
            logger.error(
                "The store has lost images of a complete job", extra={"action": "image_missing", "job_id": str(job_id)}
            )
        return len(missing)

    async def scrub_round(self) -> Scrubbed:
        """Read the stored images whose turn it is (`jobs.scrub`), one after the other, and note which are damaged."""
        async with self._database.transaction() as connection:
            images = await scrub.start_round(connection)
        return await self._read(images)

    async def read_all(self, tell: Callable[[int], None] = lambda _: None) -> Scrubbed:
        """Read every stored image of a complete job now, and note which are damaged. `tell` hears how many are read."""
        read, damaged = 0, 0
        last: scrub.Published | None = None
        while True:
            async with self._database.transaction() as connection:
                images = await scrub.next_after(connection, last, _BATCH)
            if not images:
                return Scrubbed(read, damaged)
            last = images[-1]
            found = await self._read(images)
            read, damaged = read + found.read, damaged + found.damaged
            tell(read)

    async def _read(self, images: Sequence[scrub.Published]) -> Scrubbed:
        damaged: list[scrub.Published] = []
        for published in images:
            try:
                await self._images.require_whole(published.job_id, published.attempt, published.image)
            except ImageCorrupt:
                damaged.append(published)
        async with self._database.transaction() as connection:
            found = await scrub.note_read(connection, images, damaged)
        for job_id in found:
            logger.error(
                "A stored image of a complete job is damaged or gone",
                extra={"action": "image_corrupt", "job_id": str(job_id)},
            )
        return Scrubbed(len(images), len(damaged))

    async def _collect_in_turn(self) -> None:
        async with self._database.transaction() as connection:
            is_our_turn = await retention.start_collection(connection, _COLLECT_EVERY_HOURS)
        if is_our_turn:
            await self.collect()


async def _for_ever(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    is_lost = False
    while True:
        try:
            await work()
        except DatabaseUnavailable:
            if not is_lost:
                logger.warning("The database does not answer", extra={"action": "database_lost"})
            is_lost = True
        except ImageStoreUnavailable:
            if not is_lost:
                logger.warning("The image store does not answer", extra={"action": "store_lost"})
            is_lost = True
        except Exception:  # an unforeseen error in one round must not end the loop
            logger.exception("A round of maintenance failed", extra={"action": "sweep_failed"})
        else:
            is_lost = False
        await asyncio.sleep(seconds)
