"""Guards of what is kept of usage: counted once, asked seldom, without a prompt and not for ever."""

from __future__ import annotations

from tests.guards.guard import Guard

_USAGE = "tests/integration/jobs/test_usage.py"
_API = "tests/integration/api/test_usage.py"
_STATS = "tests/integration/cli/test_stats.py"

GUARDS = (
    # --- the question ------------------------------------------------------------------------------------------------
    Guard(
        "of a person's tabs one at a time asks",
        "ask",
        '" await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock]) await',
        '"\n    await',
        (f"{_USAGE}::test_a_tab_that_asks_waits_for_one_that_asked_just_before",),
    ),
    Guard(
        "a person is not asked again for 14 days",
        "usage",
        "_DAYS_BETWEEN_QUESTIONS = 14",
        "_DAYS_BETWEEN_QUESTIONS = 13",
        (f"{_USAGE}::test_a_person_is_asked_again_after_exactly_14_days",),
    ),
    Guard(
        "a run is asked about once",
        "ask",
        "job_id = %(job)s and answered_at is null",
        "job_id = %(job)s",
        (f"{_API}::test_until_it_is_answered_the_same_run_is_asked_about_again_and_no_other",),
    ),
    Guard(
        "an answered question stays with its run",
        "ask",
        "user_id = %(user)s and answered_at is null and not exists",
        "user_id = %(user)s and not exists",
        (f"{_API}::test_a_question_without_an_answer_moves_to_a_newer_run",),
    ),
    Guard(
        "nobody moves another person's question",
        "ask",
        """tenant_id = %(tenant)s" " and user_id = %(user)s and answered_at""",
        """tenant_id = %(tenant)s and answered_at""",
        (f"{_API}::test_somebody_elses_question_cannot_be_moved",),
    ),
    Guard(
        "only a complete run is asked about",
        "ask",
        '"" if job.status is not Status.COMPLETE: return False mine',
        '""\n    mine',
        (f"{_API}::test_a_run_that_is_not_complete_is_not_asked_about",),
    ),
    Guard(
        "what was not asked is not answered",
        "usage.answer",
        "raise NotAsked",
        "pass",
        (f"{_API}::test_what_was_not_asked_cannot_be_answered",),
    ),
    Guard(
        "nobody answers another person's question",
        "answer_question",
        "job = await service.find(connection, identity.owner, job_id)",
        """cursor = await connection.execute("select * from job where id = %s", [job_id])
        job = store._job(await cursor.fetchone() or {})""",
        (f"{_API}::test_somebody_elses_question_cannot_be_answered",),
    ),
    Guard(
        "a comment has an end",
        "normalise_comment",
        "None if len(comment) > MAX_COMMENT_CODE_POINTS: raise CommentTooLong return",
        """None
    return""",
        ("tests/unit/test_stats.py",),
    ),
    # --- counting ----------------------------------------------------------------------------------------------------
    Guard(
        "a deleted run goes on counting",
        "retention.delete_row",
        '"  from gone)"',
        '"  from gone where false)"',
        (f"{_USAGE}::test_a_deleted_run_counts_as_it_did_before",),
    ),
    Guard(
        "more is more of one's own",
        "submit",
        "tenant_id = %(tenant)s and user_id = %(user)s and status",
        "status",
        (f"{_USAGE}::test_more_is_a_prompt_of_which_the_same_person_still_has_images",),
    ),
    Guard(
        "only who is admitted has signed in",
        "me",
        "identity.refusal is None and not",
        "not",
        (f"{_API}::test_somebody_who_is_not_admitted_has_not_signed_in",),
    ),
    Guard(
        "a look at the headers is no download",
        "get_image",
        'is_download and request.method == "GET"',
        "is_download",
        (f"{_API}::test_a_run_is_saved_once_a_picture_of_it_was_saved",),
    ),
    Guard(
        "what cannot be noted is no reason to refuse",
        "routes._note",
        "DatabaseUnavailable",
        "",
        (f"{_API}::test_what_cannot_be_noted_is_given_all_the_same",),
    ),
    Guard(
        "what is kept of usage is deleted in the end",
        "expire",
        ") await usage.delete_old(connection) overdue",
        """)
            overdue""",
        (f"{_USAGE}::test_what_is_kept_of_usage_is_deleted_after_400_days",),
    ),
    Guard(
        "a month begins at midnight in UTC",
        "of_month",
        "= %(begins)s and created_at <",
        " %(begins)s and created_at <=",
        (f"{_USAGE}::test_months_begin_and_end_at_midnight_in_utc",),
    ),
    Guard(
        "a few answers are no percentage",
        "onbrand.cli.stats",
        "_FEW = 10",
        "_FEW = 9",
        (f"{_STATS}::test_ten_or_more_answers_have_a_percentage",),
    ),
)
