"""Guards of the month's budget: what is accepted, what is billed, and what is wanted."""

from __future__ import annotations

from tests.guards.guard import Guard

_MONTHS = "tests/integration/budget/test_random_months.py"
_GOVERNOR = "tests/integration/budget/test_governor.py"
_SCALER = "tests/integration/worker/test_scaler.py"

GUARDS = (
    Guard(
        "a job is accepted only if the money for it is there",
        "governor.admit",
        "now.job_usd <= now.left_usd",
        "True",
        (f"{_GOVERNOR}::test_a_spent_budget_refuses_with_the_date_and_opens_with_the_month",),
    ),
    Guard(
        "what was accepted before counts",
        "Standing.left_usd",
        "- self.reserved_usd",
        "",
        (f"{_GOVERNOR}::test_two_processes_that_accept_at_once_never_overshoot",),
    ),
    Guard(
        "one transaction at a time decides about the budget",
        "governor.admit",
        "await ledger.lock(connection)",
        "",
        (f"{_GOVERNOR}::test_a_decision_waits_for_the_one_before_it",),
    ),
    Guard(
        "a replica is billed from when it was wanted",
        "ledger.saw",
        "worker_id is null and ended_at is null",
        "false",
        (f"{_GOVERNOR}::test_a_replica_is_billed_from_the_demand_to_its_end",),
    ),
    Guard(
        "failed starts close the demand",
        "ledger.tend",
        "await _close_after_failed_starts(connection)",
        "False",
        (f"{_GOVERNOR}::test_three_failed_starts_close_the_demand_for_ten_minutes",),
    ),
    Guard(
        "a clock that is set back makes no life cheaper",
        "ledger.repair_future_times",
        "ended_at is null and seen_at > now()",
        "false",
        (f"{_GOVERNOR}::test_a_clock_that_is_set_back_makes_no_life_cheaper_or_dearer",),
    ),
    Guard(
        "a clock that is set back keeps no GPU warm",
        "ledger.repair_future_times",
        "warm_until = least(warm_until, now() + make_interval(secs => %(warm)s))",
        "warm_until = warm_until",
        (f"{_GOVERNOR}::test_a_lease_does_not_get_longer_by_a_clock_that_is_set_back",),
    ),
    Guard(
        "each of several replicas has its start promised",
        "governor.standing",
        "plan.attempts * (job_seconds + start)",
        "job_seconds",
        (f"{_GOVERNOR}::test_several_replicas_never_cost_more_than_the_budget",),
    ),
    Guard(
        "each accepted job may be tried as often as allowed",
        "governor.standing",
        "plan.attempts * (job_seconds + start)",
        "job_seconds + start",
        (f"{_MONTHS}::test_a_month_costs_at_most_its_budget_whatever_happens",),
    ),
    Guard(
        "a replica that vanished is billed for some time more",
        "ledger.tend",
        "set ended_at = seen_at + make_interval(secs => %(grace)s)",
        "set ended_at = seen_at",
        (f"{_MONTHS}::test_a_month_costs_at_most_its_budget_whatever_happens",),
    ),
    Guard(
        "a start that fails is counted at once",
        "run._run_worker",
        "is_failure=is_failure",
        "",
        (f"{_SCALER}::test_a_start_that_fails_is_never_seen_as_a_life_that_just_ended",),
    ),
    Guard(
        "a worker's end waits for a decision about the budget",
        "ledger.ended",
        "await lock(connection)",
        "",
        (f"{_GOVERNOR}::test_a_decision_waits_for_the_one_before_it",),
    ),
    Guard(
        "the same failed starts close the demand once",
        "ledger._close_after_failed_starts",
        ", closed_until)",
        ", 'epoch')",
        (f"{_GOVERNOR}::test_a_demand_that_opens_again_is_not_closed_for_the_starts_before",),
    ),
)
