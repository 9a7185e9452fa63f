"""Guards of the job's life: the fence, whose turn it is, an end for each, the sweep."""

from __future__ import annotations

from tests.guards.guard import Guard

_SWEEP = "tests/integration/jobs/test_sweep.py"
_FAIRNESS = "tests/integration/jobs/test_fairness.py"
_ATTEMPTS = "tests/integration/jobs/test_attempts.py"
_STALE = f"{_ATTEMPTS}::test_a_stale_attempt_can_neither_report_nor_publish_nor_fail"

GUARDS = (
    # --- the fence: every change by a worker names its attempt -------------------------------------------------------
    Guard(
        "a stale attempt reports no progress",
        "record_progress",
        "attempt = %(attempt)s and status",
        "status",
        (_STALE,),
    ),
    Guard(
        "a stale attempt publishes nothing",
        "attempts.publish",
        "attempt = %(attempt)s and status",
        "status",
        (_STALE,),
    ),
    Guard(
        "a stale attempt ends no other",
        "end_attempt",
        "attempt = %s",
        "(attempt = %s or true)",
        (_STALE,),
    ),
    Guard(
        "a stale attempt gives nothing back",
        "_requeue",
        "attempt = %(attempt)s and status",
        "status",
        (_STALE,),
    ),
    Guard(
        "a stale attempt renews no lease",
        "renew",
        "attempt = %s",
        "(attempt = %s or true)",
        (_STALE,),
    ),
    Guard(
        "a stale attempt does not hold the job",
        "attempts.is_current",
        "attempt = %s",
        "(attempt = %s or true)",
        (_STALE,),
    ),
    Guard(
        "a cancelled job has no running attempt",
        "attempts.is_current",
        "s and status = 'processing'",
        "s",
        (f"{_ATTEMPTS}::test_a_cancelled_job_stays_cancelled_whatever_its_worker_does",),
    ),
    Guard(
        "a cancelled job is never published",
        "attempts.publish",
        "\" \" where id = %(id)s and attempt = %(attempt)s and status = 'processing'",
        """, error_code = null"
        " where id = %(id)s and attempt = %(attempt)s""",
        (f"{_ATTEMPTS}::test_a_cancelled_job_stays_cancelled_whatever_its_worker_does",),
    ),
    Guard(
        "publishing again after a lost answer is success",
        "attempts.publish",
        "cursor.rowcount == 1",
        "False",
        (f"{_ATTEMPTS}::test_publishing_again_after_a_lost_answer_is_no_failure_and_adds_nothing",),
    ),
    Guard(
        "a job has exactly four images",
        "attempts.publish",
        "sorted(image.n for image in images) != list(range(1, IMAGES_PER_JOB + 1))",
        "not images",
        (f"{_ATTEMPTS}::test_publishing_anything_but_four_images_is_refused",),
    ),
    # --- claiming ----------------------------------------------------------------------------------------------------
    Guard(
        "only a waiting job can be claimed",
        "claim",
        "s and status = 'queued'",
        "s",
        (f"{_ATTEMPTS}::test_only_one_of_eight_racing_workers_claims_a_job",),
    ),
    Guard(
        "workers pass over a job that is being claimed",
        "next_job",
        "update skip locked",
        "update",
        (f"{_FAIRNESS}::test_a_job_that_is_being_claimed_is_passed_over_without_waiting",),
    ),
    Guard(
        "the job whose turn it is is locked",
        "next_job",
        "' for update skip locked",
        "'",
        (f"{_FAIRNESS}::test_a_job_that_is_being_claimed_is_passed_over_without_waiting",),
    ),
    Guard(
        "nobody waits behind another's backlog",
        "0002_upkeep.sql",
        "case when first_started_at is null then turn end, served_at nulls first, first_created_at, created_at",
        "created_at",
        (f"{_FAIRNESS}::test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog",),
    ),
    Guard(
        "of two people the one served longer ago is next",
        "0002_upkeep.sql",
        "served_at nulls first, first_created_at",
        "first_created_at",
        (f"{_FAIRNESS}::test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog",),
    ),
    Guard(
        "an interrupted job is next",
        "0002_upkeep.sql",
        "first_started_at is null, case when first_started_at is null then turn end",
        "turn",
        (f"{_FAIRNESS}::test_an_interrupted_job_is_next_because_its_deadline_is_running",),
    ),
    Guard(
        "deliveries of cancelled jobs are forgotten",
        "sweep_jobs",
        ") await delete_surplus(connection) await",
        """)
    await""",
        (f"{_SWEEP}::test_deliveries_of_cancelled_jobs_do_not_pile_up",),
    ),
    Guard(
        "nothing is drawn while the store stays away",
        "_run_attempt",
        ": self._store_failed = isinstance(failure, ImagesNotStored) try",
        """:
            try""",
        ("tests/integration/worker/test_storing.py::test_while_the_store_does_not_answer_no_further_job_is_drawn",),
    ),
    Guard(
        "a claim whose commit was never heard of is found",
        "take",
        ": await attempts.drop_lost_claims(connection, self._worker_id, self._rules) job_id",
        """:
            job_id""",
        (
            "tests/integration/worker/test_lost_connections.py"
            "::test_a_claim_that_a_worker_never_heard_of_is_drawn_at_its_next_turn",
        ),
    ),
    Guard(
        "a worker drops its own lost claims only",
        "drop_lost_claims",
        "= %s for",
        "<> %s || '!' for",
        (f"{_ATTEMPTS}::test_a_claim_whose_commit_was_never_heard_of_is_queued_again_at_its_workers_next_turn",),
    ),
    # --- an end for every job ----------------------------------------------------------------------------------------
    Guard(
        "a failing job is not tried for ever",
        "end_attempt",
        'row["tries"] < rules.max_attempts and not',
        "not",
        (f"{_ATTEMPTS}::test_a_retryable_failure_is_queued_again_until_the_tries_are_used_up",),
    ),
    Guard(
        "a job that kills its workers is not tried for ever",
        "requeue_or_fail",
        'lost["tries"] < rules.max_attempts',
        "True",
        (f"{_SWEEP}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "an attempt that is given back is no try",
        "give_back",
        ", tries_used=0",
        "",
        (f"{_ATTEMPTS}::test_an_attempt_that_is_given_back_does_not_count",),
    ),
    Guard(
        "a job past its deadline is not tried again",
        "end_attempt",
        'max_attempts and not row["late"]',
        "max_attempts",
        (f"{_ATTEMPTS}::test_the_deadline_counts_from_the_first_attempt_and_ends_the_retries",),
    ),
    Guard(
        "the sweep ends a job past its deadline",
        "_fail_late",
        '%s) < now()"',
        '10 * %s) < now()"',
        (f"{_SWEEP}::test_a_job_past_its_deadline_fails_though_its_lease_is_live_and_its_worker_learns_of_it",),
    ),
    Guard(
        "a job that no worker takes ends",
        "_fail_late",
        "%s) < now())",
        "10 * %s) < now())",
        (f"{_SWEEP}::test_a_job_nobody_took_in_time_fails_for_want_of_capacity",),
    ),
    Guard(
        "an unusable picture gets other seeds",
        "end_attempt",
        "failure is BadImage",
        "False",
        (f"{_ATTEMPTS}::test_an_unusable_picture_is_tried_again_with_other_seeds",),
    ),
    Guard(
        "a lapsed lease is found",
        "sweep_jobs",
        '< now()"',
        "< now() - interval '1 hour'\"",
        (f"{_SWEEP}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "a live lease is left alone",
        "sweep_jobs",
        "' and lease_until < now()",
        "'",
        (f"{_ATTEMPTS}::test_progress_renews_the_lease_and_never_moves_back",),
    ),
    Guard(
        "of several sweeps one works",
        "sweep_jobs",
        'None or not row["mine"]',
        "None",
        (f"{_SWEEP}::test_of_two_sweeps_at_once_one_works",),
    ),
    Guard(
        "a lost delivery is made again",
        "_deliver_again",
        "] for job_id in without_delivery: await deliver(connection, job_id) return",
        """]
    return""",
        (f"{_SWEEP}::test_the_sweep_delivers_again_what_waits_without_a_queue_entry",),
    ),
    Guard(
        "a requeued job is delivered",
        "_requeue",
        "await deliver(connection, job_id) return",
        "return",
        (f"{_SWEEP}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "what a dead worker had taken is forgotten",
        "sweep_jobs",
        ") await delete_abandoned(connection) await",
        """)
    await""",
        (f"{_SWEEP}::test_the_sweep_forgets_deliveries_that_a_dead_worker_had_taken",),
    ),
    Guard(
        "a live worker's delivery is not forgotten",
        "delete_abandoned",
        "> now() -",
        "> now() +",
        (f"{_SWEEP}::test_the_sweep_forgets_deliveries_that_a_dead_worker_had_taken",),
    ),
)
