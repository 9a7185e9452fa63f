"""Which stored images are read next and compared with their checksums, and what came of it.

A disk may change a picture without anybody touching it. So each picture, its PNG and its rendition, is read within a
week, whether or not a person opens it. Here are only the statements; `maintenance` reads the images. The database's
clock is the only one.

The pace is even: a round each minute reads so many that all are read in six days, and at least four. None is read twice
on one day. With 30 jobs a day, that is four pictures (about 6 MB) in some minutes of the day; with 3,000 a day, 42 a
minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg.rows import DictRow

from onbrand.database.pool import Connection
from onbrand.jobs.models import StoredImage, stored_image

ROUND_SECONDS = 60
_ROUNDS = 6 * 24 * 60  # in six days
_FEWEST = 4  # images in a round
_REST_HOURS = 24  # before an image is read once more
_SELECT = (
    "select job.id, job.result_attempt, image.n, image.sha256, image.size,"
    " image.rendition_sha256, image.rendition_size from image join job on job.id = image.job_id"
    " where job.status = 'complete' and job.expiring_at is null and job.expires_at > now()"
)


@dataclass(frozen=True)
class Published:
    """One image of a complete job, and where it is stored."""

    job_id: UUID
    attempt: int
    image: StoredImage


async def start_round(connection: Connection) -> list[Published]:
    """The images to read in this round: none if another process began one in the last minute."""
    cursor = await connection.execute(
        "update upkeep set scrubbed_at = now() where scrubbed_at is null"
        " or scrubbed_at not between now() - make_interval(secs => %s) and now() + interval '1 minute'",
        [ROUND_SECONDS],
    )
    if cursor.rowcount != 1:
        return []
    cursor = await connection.execute(
        f"{_SELECT} and image.checked_at < now() - make_interval(hours => %s) order by image.checked_at"
        " limit greatest(%s, (select ceil(count(*) / %s::numeric) from image))",
        [_REST_HOURS, _FEWEST, _ROUNDS],
    )
    return [_published(row) for row in await cursor.fetchall()]


async def next_after(connection: Connection, last: Published | None, limit: int) -> list[Published]:
    """The next `limit` images after `last`, whenever they were read before, in the order of job and number."""
    cursor = await connection.execute(
        f"{_SELECT} and (%(id)s::uuid is null or (job.id, image.n) > (%(id)s::uuid, %(n)s::int))"
        " order by job.id, image.n limit %(limit)s",
        {"id": last and last.job_id, "n": last and last.image.n, "limit": limit},
    )
    return [_published(row) for row in await cursor.fetchall()]


async def note_read(connection: Connection, read: Sequence[Published], damaged: Sequence[Published]) -> list[UUID]:
    """Note that these images were read, and which of them are damaged. The jobs of those not known to be so before.

    An image that the store has lost is known as missing, and not as damaged too.
    """
    bad = {(one.job_id, one.image.n) for one in damaged}
    cursor = await connection.execute(
        "with seen as (select * from unnest(%s::uuid[], %s::int[], %s::bool[]) as seen (job_id, n, is_damaged)),"
        " fresh as (select image.job_id from image join seen using (job_id, n)"
        "  where is_damaged and damaged_since is null and missing_since is null),"
        " noted as (update image set checked_at = now(),"
        "  damaged_since = case when is_damaged and missing_since is null then coalesce(damaged_since, now()) end"
        "  from seen where image.job_id = seen.job_id and image.n = seen.n)"
        " select distinct job_id from fresh order by job_id",
        [
            [one.job_id for one in read],
            [one.image.n for one in read],
            [(one.job_id, one.image.n) in bad for one in read],
        ],
    )
    return [row["job_id"] for row in await cursor.fetchall()]


def _published(row: DictRow) -> Published:
    return Published(row["id"], row["result_attempt"], stored_image(row))
