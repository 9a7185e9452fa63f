"""Guards of whose a job is: what one person may ask for, and that nobody else sees it."""

from __future__ import annotations

from tests.guards.guard import Guard

_ATTEMPTS = "tests/integration/jobs/test_attempts.py"
_STORE = "tests/integration/jobs/test_service.py"

GUARDS = (
    # --- submitting --------------------------------------------------------------------------------------------------
    Guard(
        "a job and its delivery are one transaction",
        "submit",
        "deliver(",
        """connection.commit()
    await deliver(""",
        (f"{_ATTEMPTS}::test_a_submission_that_is_rolled_back_leaves_neither_a_job_nor_a_delivery",),
    ),
    Guard(
        "a submitted job is delivered",
        "submit",
        ") await deliver(connection, job_id) return",
        """)
    return""",
        (f"{_STORE}::test_a_submitted_job_waits_with_four_seeds_of_its_own_and_one_delivery",),
    ),
    Guard(
        "an Idempotency-Key comes with one prompt",
        "submit",
        'earlier["prompt"] != prompt',
        "False",
        (f"{_STORE}::test_a_key_belongs_to_one_person_and_one_prompt",),
    ),
    Guard(
        "an Idempotency-Key is one person's",
        "submit",
        'job where tenant_id = %(tenant)s and user_id = %(user)s" " and idempotency_key',
        "job where idempotency_key",
        (f"{_STORE}::test_a_key_belongs_to_one_person_and_one_prompt",),
    ),
    Guard(
        "one person's submissions go one at a time",
        "submit",
        '" await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock]) mine',
        '"\n    mine',
        (f"{_STORE}::test_parallel_submissions_cannot_pass_the_limit_of_a_person",),
    ),
    Guard(
        "one person has so many unfinished jobs",
        "check_limits",
        'row["unfinished"] >= limits.unfinished_per_user',
        "False",
        (f"{_STORE}::test_parallel_submissions_cannot_pass_the_limit_of_a_person",),
    ),
    Guard(
        "one person submits so many in a minute",
        "check_limits",
        'row["seconds_to_wait"] is not None and row["seconds_to_wait"] > 0',
        "False",
        (f"{_STORE}::test_a_person_may_submit_only_so_many_in_a_minute_and_is_told_when_to_go_on",),
    ),
    Guard(
        "only so many jobs wait in all",
        "check_limits",
        'row["waiting"] >= limits.waiting',
        "False",
        (f"{_STORE}::test_only_so_many_jobs_may_wait_in_all",),
    ),
    # --- whose job it is ---------------------------------------------------------------------------------------------
    Guard(
        "a job is its user's alone",
        "service.find",
        '" where id = %s and tenant_id = %s and user_id = %s"',
        '" where id = %s and tenant_id = %s and (user_id = %s or true)"',
        (f"{_STORE}::test_another_persons_job_is_not_found", "tests/integration/api/test_ownership.py"),
    ),
    Guard(
        "a job is its tenant's alone",
        "service.find",
        '" where id = %s and tenant_id = %s',
        '" where id = %s and (tenant_id = %s or true)',
        (f"{_STORE}::test_another_persons_job_is_not_found",),
    ),
    Guard(
        "nobody cancels another user's job",
        "cancel",
        "user_id = %(user)s and status",
        "status",
        (f"{_STORE}::test_another_persons_job_is_not_found",),
    ),
    Guard(
        "nobody cancels another tenant's job",
        "cancel",
        "tenant_id = %(tenant)s and user_id",
        "user_id",
        (f"{_STORE}::test_another_persons_job_is_not_found",),
    ),
    Guard(
        "a finished job cannot be cancelled",
        "cancel",
        "s and status in ('queued', 'processing')",
        "s",
        (f"{_STORE}::test_cancelling_ends_an_unfinished_job_and_leaves_a_finished_one_as_it_is",),
    ),
    Guard(
        "only its owner learns that a deleted job was there",
        "service.find",
        "expired_job where id = %s and tenant_id = %s and user_id = %s",
        "expired_job where id = %s and (tenant_id = %s or user_id = %s or true)",
        (f"{_STORE}::test_a_deleted_job_is_gone_for_its_owner_and_unknown_to_others",),
    ),
    Guard(
        "a job is not shown from the instant it expires",
        "service.find",
        "= now(),",
        " now(),",
        (f"{_STORE}::test_a_job_is_not_shown_from_the_instant_it_expires",),
    ),
    Guard(
        "a job whose deletion has begun is never shown again",
        "service.find",
        "expiring_at is not null or coalesce",
        "coalesce",
        ("tests/integration/maintenance/test_retention.py::test_a_clock_that_goes_back_brings_nothing_back",),
    ),
    Guard(
        "a picture is checked to be its owner's",
        "get_image",
        "job = await service.find(connection, identity.owner, job_id)",
        """cursor = await connection.execute("select * from job where id = %s", [job_id])
        job = store._job(await cursor.fetchone() or {})""",
        ("tests/integration/api/test_ownership.py::test_a_known_etag_does_not_open_somebody_elses_image",),
    ),
)
