"""Guards of what waiting people see: their own running attempt, and figures that were measured."""

from __future__ import annotations

from tests.guards.guard import Guard

_PREVIEWS = "tests/integration/jobs/test_previews.py"
_FORECAST = "tests/integration/jobs/test_eta.py"
_OF_HIDREAM = "tests/integration/hidream/test_preview.py"

GUARDS = (
    Guard(
        "people who submit at the same moment are told of each other",
        "service.submit",
        "await _take_turn(connection)",
        "",
        (f"{_FORECAST}::test_people_who_submit_at_the_same_moment_are_told_of_each_other",),
    ),
    Guard(
        "a place that was told is not given to a submission that began before",
        "service.submit",
        "{CLOCK}, {CLOCK}",
        "now(), now()",
        (f"{_FORECAST}::test_places_are_in_the_order_in_which_people_were_told",),
    ),
    Guard(
        "a busy machine's pace counts for those who wait, too",
        "_of_waiting",
        "pace * usual.typical",
        "usual.typical",
        (f"{_FORECAST}::test_waiting_people_are_told_at_the_pace_of_the_job_before_them",),
    ),
    Guard(
        "who waits among others is told how long jobs take among others",
        "UsualDrawing.among",
        "if others",
        "if False",
        (f"{_FORECAST}::test_jobs_with_others_behind_them_are_measured_apart",),
    ),
    Guard(
        "a drawing on the processor lets the API go first",
        "child._load",
        "_let_others_go_first()",
        "pass",
        ("tests/integration/worker/test_real_model.py::test_without_a_gpu_a_model_lets_the_other_processes_go_first",),
    ),
    Guard(
        "previews of an earlier attempt are not shown with the next",
        "_of_running",
        "id and preview.attempt = job.attempt",
        "id",
        (f"{_PREVIEWS}::test_previews_of_an_earlier_attempt_are_not_shown_with_the_next",),
    ),
    Guard(
        "a stale attempt shows nothing",
        "record_progress",
        "cursor.rowcount != 1: return False if progress",
        "progress",
        (f"{_PREVIEWS}::test_a_stale_attempt_shows_nothing",),
    ),
    Guard(
        "however an attempt ends, its previews are deleted",
        "0004_wait.sql",
        "begin delete from preview where job_id = new.id; return",
        """begin
    return""",
        (_PREVIEWS,),
    ),
    Guard(
        "nothing of a preview outlives its job",
        "0004_wait.sql",
        "key references job on delete cascade",
        "key",
        (f"{_PREVIEWS}::test_nothing_of_a_preview_outlives_its_job",),
    ),
    Guard(
        "previews are not written ahead",
        "0004_wait.sql",
        "unlogged table",
        "table",
        (f"{_PREVIEWS}::test_previews_are_not_written_ahead_and_so_are_in_no_replica_or_archive",),
    ),
    Guard(
        "broken previews cost nothing",
        "reports._cut",
        "!= IMAGES_PER_JOB",
        "== 0",
        ("tests/integration/worker/test_drawing.py::test_broken_previews_are_left_out_and_cost_nothing",),
    ),
    Guard(
        "only JPEGs are previews",
        "reports._cut",
        '.startswith(b"\\xff\\xd8\\xff") and preview.endswith(b"\\xff\\xd9")',
        "",
        ("tests/integration/worker/test_drawing.py::test_broken_previews_are_left_out_and_cost_nothing",),
    ),
    Guard(
        "a preview that cannot be made does not stop the drawing",
        "to_jpegs",
        '"" if not torch.isfinite(pictures).all(): return () pixels',
        '""\n    pixels',
        (f"{_OF_HIDREAM}::test_values_that_are_not_finite_give_no_jpeg",),
    ),
    Guard(
        "previews cost a fast model no more than a slow one",
        "Previews.render",
        '"" if time.monotonic() < self._next: return () try',
        '""\n        try',
        (f"{_OF_HIDREAM}::test_a_fast_model_has_fewer_previews",),
    ),
    Guard(
        "what comes after the last step is measured",
        "usual_drawing",
        'row["saving"] or 0',
        "0",
        (f"{_FORECAST}::test_what_is_shown_is_within_30_percent_of_the_truth_in_four_looks_of_five",),
    ),
    Guard(
        "the next attempt has all of it before it again",
        "claim",
        ", drawn_at = null,",
        ",",
        (f"{_FORECAST}::test_the_next_attempt_has_all_of_it_before_it_again",),
    ),
    Guard(
        "loading is measured from when it began",
        "announce",
        "case worker.state when excluded.state then worker.state_since else now() end",
        "now()",
        (f"{_FORECAST}::test_a_cold_start_takes_the_rest_of_the_usual_load_and_then_the_drawing",),
    ),
    Guard(
        "a cold start is not guessed",
        "_of_waiting",
        "if free_in",
        """free_in = free_in or [0.0]
    if free_in""",
        (f"{_FORECAST}::test_a_cold_start_is_not_guessed_from_half_of_what_it_takes",),
    ),
)
