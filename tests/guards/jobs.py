"""Guards of the job's life: the fence, whose turn it is, an end for each, the sweep."""

from __future__ import annotations

from tests.guards.guard import Guard

_ATTEMPTS = "tests/integration/test_attempts.py"
_STALE = f"{_ATTEMPTS}::test_a_stale_attempt_can_neither_report_nor_publish_nor_fail"

GUARDS = (
    # --- the fence: every change by a worker names its attempt -------------------------------------------------------
    Guard(
        "a stale attempt reports no progress",
        "onbrand/attempts.py",
        """then coalesce(drawn_at, now()) end"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",""",
        """then coalesce(drawn_at, now()) end"
        " where id = %(id)s and status = 'processing'",""",
        (_STALE,),
    ),
    Guard(
        "a stale attempt publishes nothing",
        "onbrand/attempts.py",
        """" expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",""",
        """" expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and status = 'processing'",""",
        (_STALE,),
    ),
    Guard(
        "a stale attempt ends no other",
        "onbrand/attempts.py",
        " where id = %s and attempt = %s and status = 'processing' for update",
        " where id = %s and (attempt = %s or true) and status = 'processing' for update",
        (_STALE,),
    ),
    Guard(
        "a stale attempt gives nothing back",
        "onbrand/attempts.py",
        """tries = tries - 1 + %(used)s"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",""",
        """tries = tries - 1 + %(used)s"
        " where id = %(id)s and status = 'processing'",""",
        (_STALE,),
    ),
    Guard(
        "a stale attempt renews no lease",
        "onbrand/attempts.py",
        " where id = %s and attempt = %s and status = 'processing'\",\n        [lease_seconds",
        " where id = %s and (attempt = %s or true) and status = 'processing'\",\n        [lease_seconds",
        (_STALE,),
    ),
    Guard(
        "a stale attempt does not hold the job",
        "onbrand/attempts.py",
        """select from job where id = %s and attempt = %s and status = 'processing'", [claim.job_id""",
        """select from job where id = %s and (attempt = %s or true) and status = 'processing'", [claim.job_id""",
        (_STALE,),
    ),
    Guard(
        "a cancelled job has no running attempt",
        "onbrand/attempts.py",
        """select from job where id = %s and attempt = %s and status = 'processing'", [claim.job_id""",
        """select from job where id = %s and attempt = %s", [claim.job_id""",
        (f"{_ATTEMPTS}::test_a_cancelled_job_stays_cancelled_whatever_its_worker_does",),
    ),
    Guard(
        "a cancelled job is never published",
        "onbrand/attempts.py",
        """" expires_at = now() + make_interval(hours => %(hours)s)"
        " where id = %(id)s and attempt = %(attempt)s and status = 'processing'",""",
        """" expires_at = now() + make_interval(hours => %(hours)s), error_code = null"
        " where id = %(id)s and attempt = %(attempt)s",""",
        (f"{_ATTEMPTS}::test_a_cancelled_job_stays_cancelled_whatever_its_worker_does",),
    ),
    Guard(
        "publishing again after a lost answer is success",
        "onbrand/attempts.py",
        "return cursor.rowcount == 1\n    for image in images:",
        "return False\n    for image in images:",
        (f"{_ATTEMPTS}::test_publishing_again_after_a_lost_answer_is_no_failure_and_adds_nothing",),
    ),
    Guard(
        "a job has exactly four images",
        "onbrand/attempts.py",
        "if sorted(image.n for image in images) != list(range(1, IMAGES_PER_JOB + 1)):",
        "if not images:",
        (f"{_ATTEMPTS}::test_publishing_anything_but_four_images_is_refused",),
    ),
    # --- claiming ----------------------------------------------------------------------------------------------------
    Guard(
        "only a waiting job can be claimed",
        "onbrand/attempts.py",
        " where id = %(id)s and status = 'queued'\"\n        \" returning",
        ' where id = %(id)s"\n        " returning',
        (f"{_ATTEMPTS}::test_only_one_of_eight_racing_workers_claims_a_job",),
    ),
    Guard(
        "workers pass over a job that is being claimed",
        "onbrand/attempts.py",
        "and status = 'queued' for update skip locked) as locked limit 1",
        "and status = 'queued' for update) as locked limit 1",
        (f"{_ATTEMPTS}::test_a_job_that_is_being_claimed_is_passed_over_without_waiting",),
    ),
    Guard(
        "the job whose turn it is is locked",
        "onbrand/attempts.py",
        "and status = 'queued' for update skip locked) as locked limit 1",
        "and status = 'queued') as locked limit 1",
        (f"{_ATTEMPTS}::test_a_job_that_is_being_claimed_is_passed_over_without_waiting",),
    ),
    Guard(
        "nobody waits behind another's backlog",
        "onbrand/migrations/0002_upkeep.sql",
        "case when first_started_at is null then turn end,\n                                  "
        "served_at nulls first, first_created_at, created_at, id) as place",
        "created_at, id) as place",
        (f"{_ATTEMPTS}::test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog",),
    ),
    Guard(
        "of two people the one served longer ago is next",
        "onbrand/migrations/0002_upkeep.sql",
        "served_at nulls first, first_created_at, created_at, id) as place",
        "first_created_at, created_at, id) as place",
        (f"{_ATTEMPTS}::test_people_take_turns_so_that_nobody_waits_behind_anothers_backlog",),
    ),
    Guard(
        "an interrupted job is next",
        "onbrand/migrations/0002_upkeep.sql",
        "order by first_started_at is null, case when first_started_at is null then turn end,",
        "order by turn,",
        (f"{_ATTEMPTS}::test_an_interrupted_job_is_next_because_its_deadline_is_running",),
    ),
    Guard(
        "deliveries of cancelled jobs are forgotten",
        "onbrand/attempts.py",
        "    await forget_surplus(connection)\n",
        "",
        (f"{_ATTEMPTS}::test_deliveries_of_cancelled_jobs_do_not_pile_up",),
    ),
    Guard(
        "nothing is drawn while the store stays away",
        "onbrand/worker/generate.py",
        "            self._store_failed = isinstance(failure, StorageUnavailable)\n",
        "",
        ("tests/integration/worker/test_storing.py::test_while_the_store_stays_away_nothing_is_drawn_in_vain",),
    ),
    Guard(
        "a claim whose commit was never heard of is found",
        "onbrand/worker/generate.py",
        "            await attempts.drop_lost_claims(connection, self._worker_id, self._rules)\n",
        "",
        (
            "tests/integration/worker/test_lost_connections.py"
            "::test_a_claim_that_a_worker_never_heard_of_is_drawn_at_its_next_turn",
        ),
    ),
    Guard(
        "a worker drops its own lost claims only",
        "onbrand/attempts.py",
        "where status = 'processing' and worker_id = %s for update",
        "where status = 'processing' and worker_id <> %s || '!' for update",
        (f"{_ATTEMPTS}::test_a_claim_whose_commit_was_never_heard_of_is_queued_again_at_its_workers_next_turn",),
    ),
    # --- an end for every job ----------------------------------------------------------------------------------------
    Guard(
        "a failing job is not tried for ever",
        "onbrand/attempts.py",
        'if failure.retryable and row["tries"] < rules.max_attempts and not row["late"]:',
        'if failure.retryable and not row["late"]:',
        (f"{_ATTEMPTS}::test_a_retryable_failure_is_queued_again_until_the_tries_are_used_up",),
    ),
    Guard(
        "a job that kills its workers is not tried for ever",
        "onbrand/attempts.py",
        'if lost["tries"] < rules.max_attempts:',
        "if True:",
        (f"{_ATTEMPTS}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "an attempt that is given back is no try",
        "onbrand/attempts.py",
        "return await _requeue(connection, claim.job_id, claim.attempt, tries_used=0)",
        "return await _requeue(connection, claim.job_id, claim.attempt)",
        (f"{_ATTEMPTS}::test_an_attempt_that_is_given_back_does_not_count",),
    ),
    Guard(
        "a job past its deadline is not tried again",
        "onbrand/attempts.py",
        'rules.max_attempts and not row["late"]:',
        "rules.max_attempts:",
        (f"{_ATTEMPTS}::test_the_deadline_counts_from_the_first_attempt_and_ends_the_retries",),
    ),
    Guard(
        "the sweep ends a job past its deadline",
        "onbrand/attempts.py",
        'and (first_started_at + make_interval(secs => %s) < now()"',
        'and (first_started_at + make_interval(secs => 10 * %s) < now()"',
        (f"{_ATTEMPTS}::test_a_job_past_its_deadline_fails_though_its_lease_is_live_and_its_worker_learns_of_it",),
    ),
    Guard(
        "a job that no worker takes ends",
        "onbrand/attempts.py",
        "or (status = 'queued' and queued_at + make_interval(secs => %s) < now()))",
        "or (status = 'queued' and queued_at + make_interval(secs => 10 * %s) < now()))",
        (f"{_ATTEMPTS}::test_a_job_nobody_took_in_time_fails_for_want_of_capacity",),
    ),
    Guard(
        "an unusable picture gets other seeds",
        "onbrand/attempts.py",
        "new_seeds=failure is BadImage",
        "new_seeds=False",
        (f"{_ATTEMPTS}::test_an_unusable_picture_is_tried_again_with_other_seeds",),
    ),
    Guard(
        "a lapsed lease is found",
        "onbrand/attempts.py",
        "where status = 'processing' and lease_until < now()",
        "where status = 'processing' and lease_until < now() - interval '1 hour'",
        (f"{_ATTEMPTS}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "a live lease is left alone",
        "onbrand/attempts.py",
        "where status = 'processing' and lease_until < now()",
        "where status = 'processing'",
        (f"{_ATTEMPTS}::test_progress_renews_the_lease_and_never_moves_back",),
    ),
    Guard(
        "of several sweeps one works",
        "onbrand/attempts.py",
        'if row is None or not row["mine"]:\n        return Swept()',
        "if row is None:\n        return Swept()",
        (f"{_ATTEMPTS}::test_of_two_sweeps_at_once_one_works",),
    ),
    Guard(
        "a lost delivery is made again",
        "onbrand/attempts.py",
        "    for job_id in lost:\n        await deliver(connection, job_id)\n",
        "",
        (f"{_ATTEMPTS}::test_the_sweep_delivers_again_what_waits_without_a_queue_entry",),
    ),
    Guard(
        "a requeued job is delivered",
        "onbrand/attempts.py",
        "    await deliver(connection, job_id)\n    return True\n",
        "    return True\n",
        (f"{_ATTEMPTS}::test_the_sweep_requeues_a_lapsed_lease_with_a_delivery_and_fails_an_exhausted_one",),
    ),
    Guard(
        "what a dead worker had taken is forgotten",
        "onbrand/attempts.py",
        "    await forget_abandoned(connection)\n",
        "",
        (f"{_ATTEMPTS}::test_the_sweep_forgets_deliveries_that_a_dead_worker_had_taken",),
    ),
    Guard(
        "a live worker's delivery is not forgotten",
        "onbrand/tasks.py",
        "worker.last_heartbeat > now() - interval '1 day'",
        "worker.last_heartbeat > now() + interval '1 day'",
        (f"{_ATTEMPTS}::test_the_sweep_forgets_deliveries_that_a_dead_worker_had_taken",),
    ),
)
