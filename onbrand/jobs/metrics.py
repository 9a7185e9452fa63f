"""The numbers that an operator watches, read from the database in one statement. `api/metrics` formats them.

The statement is cheap at any size: with 100,000 ended jobs it reads indexes and the counts of each day, never a whole
table.
"""

from __future__ import annotations

from dataclasses import dataclass

from onbrand.database.pool import Connection

STATEMENT = """
select
    (select count(*) from job where status = 'queued') as queued,
    (select count(*) from job where status = 'processing') as processing,
    (select count(*) from job where status = 'complete')
        + (select coalesce(sum(complete), 0) from day_count) as complete,
    (select count(*) from job where status = 'failed')
        + (select coalesce(sum(failed), 0) from day_count) as failed,
    (select count(*) from live_worker where state = 'loading') as workers_loading,
    (select count(*) from live_worker where state = 'ready') as workers_ready,
    (select count(*) from live_worker where refused_pack_id is not null) as workers_refusing,
    (select count(*) from image where missing_since is not null) as images_missing,
    (select count(*) from image where damaged_since is not null) as images_damaged,
    (select extract(epoch from now() - min(created_at)) from job where status = 'queued') as waiting_seconds,
    extract(epoch from now() - swept_at) as since_sweep,
    extract(epoch from now() - expired_at) as since_expiry,
    extract(epoch from now() - collected_at) as since_collection,
    extract(epoch from now() - scrubbed_at) as since_scrub,
    extract(epoch from now() - retention_held_since) as retention_held,
    extract(epoch from now() - collection_held_since) as collection_held
from upkeep
"""


@dataclass(frozen=True)
class Figures:
    """The state of all jobs, workers and maintenance at one moment; times are in seconds."""

    queued: int
    processing: int
    complete: int  # since the installation, including deleted jobs
    failed: int  # likewise
    workers: dict[str, int]  # live ones, by their state
    images_missing: int  # published images that the store has lost
    images_damaged: int  # published images whose stored bytes are others now
    oldest_waiting: float  # how long the oldest queued job has been waiting; 0 if none is queued
    since_upkeep: dict[str, float]  # for each maintenance task, when it was last done; without tasks never done
    retention_held: float  # how long a suspiciously large deletion has been held back; 0 if none is
    collection_held: float  # how long so many images have belonged to no job that none of them is deleted; else 0
    workers_refusing: int  # live ones that can't use the brand pack that is live, and draw with the one before


async def collect(connection: Connection) -> Figures:
    """The figures of this moment."""
    cursor = await connection.execute(STATEMENT)
    row = await cursor.fetchone()
    assert row is not None  # the migration made the one row
    since = {task: row[f"since_{task}"] for task in ("sweep", "expiry", "collection", "scrub")}
    return Figures(
        queued=row["queued"],
        processing=row["processing"],
        complete=int(row["complete"]),
        failed=int(row["failed"]),
        workers={"loading": row["workers_loading"], "ready": row["workers_ready"]},
        images_missing=row["images_missing"],
        oldest_waiting=float(row["waiting_seconds"] or 0),
        since_upkeep={task: float(seconds) for task, seconds in since.items() if seconds is not None},
        retention_held=float(row["retention_held"] or 0),
        images_damaged=row["images_damaged"],
        collection_held=float(row["collection_held"] or 0),
        workers_refusing=row["workers_refusing"],
    )
