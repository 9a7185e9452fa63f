"""Whether Onbrand is used and found useful: who signed in, what became of runs, and one question now and then.

Runs are not counted as they happen: the job's row says what became of it, and `expiry.finish` keeps what counts when
the row goes. So nothing is counted twice or forgotten, and submitting and publishing cost nothing more. No prompt is
kept. Times are the database's, days and months those of UTC.
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
    """What somebody wrote beside their answer; whose it is isn't told."""

    useful: bool | None  # None: closed without an answer
    comment: str


@dataclass(frozen=True)
class Usage:
    """One month. A run belongs to the month in which it was submitted, an answer to that of its question."""

    month: date  # its first day
    is_over: bool
    is_kept: bool  # False: some of it is so long ago that it is deleted
    people_signed_in: int
    people_with_pictures: int
    submitted: int
    complete: int
    failed: int
    cancelled: int
    unfinished: int
    saved: int  # complete runs of which at least one picture was saved
    more: int  # submitted for more pictures of a prompt that was drawn before
    median_seconds: float | None  # from submitting to pictures, of the complete ones, waiting included
    asked: int
    useful: int
    not_yet: int
    remarks: tuple[Remark, ...]


# --- noting ----------------------------------------------------------------------------------------------------------


async def has_signed_in_today(connection: Connection, owner: Owner) -> bool:
    """Whether `note_sign_in` has nothing to do; asked first, because reading works where writing doesn't."""
    cursor = await connection.execute(
        "select from sign_in_day where day = (now() at time zone 'UTC')::date and tenant_id = %s and user_id = %s",
        [owner.tenant_id, owner.user_id],
    )
    return cursor.rowcount == 1


async def note_sign_in(connection: Connection, owner: Owner) -> None:
    """Note that this person came today."""
    await connection.execute(
        "insert into sign_in_day (day, tenant_id, user_id) values ((now() at time zone 'UTC')::date, %s, %s)"
        " on conflict do nothing",
        [owner.tenant_id, owner.user_id],
    )


async def note_saved(connection: Connection, job_id: UUID) -> None:
    """Note that a picture of this run was saved; which and how many is nobody's business."""
    await connection.execute("update job set is_saved = true where id = %s and not is_saved", [job_id])


async def forget(connection: Connection) -> None:
    """Delete what is older than `KEPT_DAYS`."""
    for statement in (
        "delete from sign_in_day where day < (now() at time zone 'UTC')::date - %s",
        "delete from past_run where created_at < now() - make_interval(days => %s)",
        "delete from question where asked_at < now() - make_interval(days => %s)",
    ):
        await connection.execute(statement, [KEPT_DAYS])


# --- the question ----------------------------------------------------------------------------------------------------


async def ask(connection: Connection, job: Job) -> bool:
    """Whether to ask the job's owner now if its pictures were useful: once in 14 days, about a complete run.

    Until it is answered, the same run is granted again: the page may have been closed meanwhile.
    """
    if job.status is not Status.COMPLETE:
        return False
    mine = {"tenant": job.owner.tenant_id, "user": job.owner.user_id, "job": job.id, "days": _DAYS_BETWEEN_QUESTIONS}
    # One tab of a person at a time, or each would find that nobody was asked yet.
    lock = f"question/{job.owner.tenant_id}/{job.owner.user_id}"
    await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
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
    """Keep what the owner says of the job, in place of what was said before.

    `useful` None: they closed the question, which takes back nothing.

    Raises:
        NotAsked: `ask` never granted it for this job.
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
    """The comment as it is kept: by the rule for prompts, but shorter; None when nothing visible is left.

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
    """What is known of the month that begins on `month`."""
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
        " and comment is not null order by useful desc nulls last, comment",  # by nothing that tells whose it is
        within,
    )
    remarks = tuple(Remark(said["useful"], said["comment"]) for said in await cursor.fetchall())
    return Usage(month=begins.date(), remarks=remarks, **row)
