"""Whether Onbrand is used and found useful: who signed in, how jobs ended, and the answers to one question.

Jobs are not counted while they happen. A job's row says how it ended, and when the row is deleted,
`retention.delete_row` keeps what is counted. So no job is counted twice or forgotten, and submitting and publishing do
no extra work. No prompt is kept. Times are the database's; days and months are those of UTC.

The commands and tables here call a job, deleted or not, a *run*: the view `run` has them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

from onbrand.database.pool import Connection
from onbrand.errors import CommentInvalid, CommentTooLong, NotAsked, PromptBlank, PromptInvalid, PromptTooLong
from onbrand.jobs import prompt
from onbrand.jobs.models import Job, Owner, Status

KEPT_DAYS = 400  # a year and a month: long enough to compare with the same month a year ago
MAX_COMMENT_CODE_POINTS = 200
_DAYS_BETWEEN_QUESTIONS = 14


@dataclass(frozen=True)
class Remark:
    """A comment that somebody wrote with an answer. It does not say who wrote it."""

    useful: bool | None  # None: they closed the question without an answer
    comment: str


@dataclass(frozen=True)
class Usage:
    """One month. A job belongs to the month in which it was submitted, an answer to the month of its question."""

    month: date  # its first day
    is_over: bool
    is_kept: bool  # False: a part of the month is so long ago that its records are deleted
    people_signed_in: int
    people_with_pictures: int
    submitted: int
    complete: int
    failed: int
    cancelled: int
    unfinished: int
    saved: int  # complete jobs of which at least one image was saved
    more: int  # submitted with a prompt of which the person already had images
    median_seconds: float | None  # of complete jobs, from submission to result, including the time in the queue
    asked: int
    useful: int
    not_yet: int
    remarks: tuple[Remark, ...]


# --- recording -------------------------------------------------------------------------------------------------------


async def has_signed_in_today(connection: Connection, owner: Owner) -> bool:
    """Whether `note_sign_in` has nothing to do. Ask first: a database that takes no writes can still answer this."""
    cursor = await connection.execute(
        "select from sign_in_day where day = (now() at time zone 'UTC')::date and tenant_id = %s and user_id = %s",
        [owner.tenant_id, owner.user_id],
    )
    return cursor.rowcount == 1


async def note_sign_in(connection: Connection, owner: Owner) -> None:
    """Note that this person signed in today."""
    await connection.execute(
        "insert into sign_in_day (day, tenant_id, user_id) values ((now() at time zone 'UTC')::date, %s, %s)"
        " on conflict do nothing",
        [owner.tenant_id, owner.user_id],
    )


async def note_saved(connection: Connection, job_id: UUID) -> None:
    """Note that an image of this job was saved. Which one and how many is not stored."""
    await connection.execute("update job set is_saved = true where id = %s and not is_saved", [job_id])


async def delete_old(connection: Connection) -> None:
    """Delete the records that are older than `KEPT_DAYS`."""
    for statement in (
        "delete from sign_in_day where day < (now() at time zone 'UTC')::date - %s",
        "delete from past_run where created_at < now() - make_interval(days => %s)",
        "delete from question where asked_at < now() - make_interval(days => %s)",
    ):
        await connection.execute(statement, [KEPT_DAYS])


# --- the question ----------------------------------------------------------------------------------------------------


async def ask(connection: Connection, job: Job, *, instead_of: UUID | None = None) -> bool:
    """Whether to ask the job's owner now if its images were useful: once in 14 days, about a complete job.

    `instead_of`: an older job of theirs that they were asked about. If they have not answered, the question is about
    this job from here on.

    As long as the question about a job is not answered, asking again about the same job returns True again, because the
    page may have been closed meanwhile.
    """
    if job.status is not Status.COMPLETE:
        return False
    mine = {"tenant": job.owner.tenant_id, "user": job.owner.user_id, "job": job.id, "days": _DAYS_BETWEEN_QUESTIONS}
    # One browser tab of a person at a time: otherwise each tab would find that the person was not asked yet.
    lock = f"question/{job.owner.tenant_id}/{job.owner.user_id}"
    await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
    await connection.execute(
        "update question set job_id = %(job)s where job_id = %(instead_of)s and tenant_id = %(tenant)s"
        " and user_id = %(user)s and answered_at is null and not exists (select from question where job_id = %(job)s)",
        mine | {"instead_of": instead_of},
    )
    await connection.execute(
        "insert into question (job_id, tenant_id, user_id) select %(job)s, %(tenant)s, %(user)s where not exists ("
        " select from question where tenant_id = %(tenant)s and user_id = %(user)s"
        " and (job_id = %(job)s or asked_at > now() - make_interval(days => %(days)s)))",
        mine,
    )
    cursor = await connection.execute(
        "select from question where job_id = %(job)s and answered_at is null"
        " and asked_at > now() - make_interval(days => %(days)s)",
        mine,
    )
    return cursor.rowcount == 1


async def answer(connection: Connection, job: Job, *, useful: bool | None, comment: str | None) -> None:
    """Store the owner's answer about a job; it replaces an earlier answer.

    `useful` None: they closed the question. That does not delete an earlier answer.

    Raises:
        NotAsked: `ask` never returned True for this job.
        CommentTooLong, CommentInvalid: see `normalise_comment`.
    """
    cursor = await connection.execute(
        "update question set useful = coalesce(%(useful)s, useful), answered_at = now(),"
        " comment = case when %(useful)s::boolean is null then coalesce(%(comment)s, comment) else %(comment)s end"
        " where job_id = %(job)s and tenant_id = %(tenant)s and user_id = %(user)s",
        {
            "useful": useful,
            "comment": normalise_comment(comment),
            "job": job.id,
            "tenant": job.owner.tenant_id,
            "user": job.owner.user_id,
        },
    )
    if cursor.rowcount != 1:
        raise NotAsked


def normalise_comment(text: str | None) -> str | None:
    """The comment as it is stored, normalised like a prompt; None if nothing visible is left.

    Raises:
        CommentTooLong: more than 200 code points are left.
        CommentInvalid: control characters, lone surrogates or piles of combining marks.
    """
    if text is None:
        return None
    try:
        comment = prompt.normalise(text)
    except PromptBlank:
        return None
    except PromptTooLong:
        raise CommentTooLong from None
    except PromptInvalid:
        raise CommentInvalid from None
    if len(comment) > MAX_COMMENT_CODE_POINTS:
        raise CommentTooLong
    return comment


# --- counting --------------------------------------------------------------------------------------------------------


async def this_month(connection: Connection) -> date:
    """The first day of the current month."""
    cursor = await connection.execute("select date_trunc('month', now() at time zone 'UTC')::date as month")
    row = await cursor.fetchone()
    assert row is not None  # a select without a table always has a row
    month: date = row["month"]
    return month


async def of_month(connection: Connection, month: date) -> Usage:
    """The usage of the month whose first day is `month`."""
    begins = datetime(month.year, month.month, 1, tzinfo=UTC)
    ends = datetime(month.year + month.month // 12, month.month % 12 + 1, 1, tzinfo=UTC)
    within = {"begins": begins, "ends": ends, "first": begins.date(), "behind": ends.date(), "kept": KEPT_DAYS}
    cursor = await connection.execute(
        "select %(ends)s <= now() as is_over, %(begins)s >= now() - make_interval(days => %(kept)s) as is_kept,"
        " (select count(distinct (tenant_id, user_id)) from sign_in_day"
        "  where day >= %(first)s and day < %(behind)s) as people_signed_in,"
        " runs.*, answers.* from ("
        " select count(distinct (tenant_id, user_id)) filter (where outcome = 'complete') as people_with_pictures,"
        "  count(*) as submitted, count(*) filter (where outcome = 'complete') as complete,"
        "  count(*) filter (where outcome = 'failed') as failed,"
        "  count(*) filter (where outcome = 'cancelled') as cancelled,"
        "  count(*) filter (where outcome in ('queued', 'processing')) as unfinished,"
        "  count(*) filter (where outcome = 'complete' and is_saved) as saved,"
        "  count(*) filter (where is_more) as more,"
        "  percentile_cont(0.5) within group (order by seconds) as median_seconds"
        " from run where created_at >= %(begins)s and created_at < %(ends)s) as runs, ("
        " select count(*) as asked, count(*) filter (where useful) as useful,"
        "  count(*) filter (where not useful) as not_yet"
        " from question where asked_at >= %(begins)s and asked_at < %(ends)s) as answers",
        within,
    )
    row = await cursor.fetchone()
    assert row is not None  # aggregates always have a row
    cursor = await connection.execute(
        "select useful, comment from question where asked_at >= %(begins)s and asked_at < %(ends)s"
        " and comment is not null order by useful desc nulls last, comment",  # an order that reveals no author
        within,
    )
    remarks = tuple(Remark(said["useful"], said["comment"]) for said in await cursor.fetchall())
    return Usage(month=begins.date(), remarks=remarks, **row)
