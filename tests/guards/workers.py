"""Guards of the worker: it stops, survives and lets go as promised, and its model never outlives it."""

from __future__ import annotations

from tests.guards.guard import Guard

_WORKER = "tests/integration/worker"
_STOPPING = f"{_WORKER}/test_stopping.py"
_DRAWING = f"{_WORKER}/test_drawing.py"
_OUTAGES = f"{_WORKER}/test_outages.py"
_STORING = f"{_WORKER}/test_storing.py"
_MODEL = f"{_WORKER}/test_model_process.py"

GUARDS = (
    Guard(
        "a stopping worker gives its job back",
        "_run_attempt",
        ": await self._commit(lambda connection: attempts.give_back(connection, claim)) logger",
        """:
            logger""",
        (f"{_STOPPING}::test_a_second_signal_gives_the_job_back_at_once_even_from_a_model_that_hangs",),
    ),
    Guard(
        "a job that outlasts the grace is given back",
        "_drain",
        ": runner.hand_back() await",
        """:
        await""",
        (f"{_STOPPING}::test_a_job_that_outlasts_the_grace_is_given_back_and_completed_elsewhere",),
    ),
    Guard(
        "the running job has the whole grace",
        "_drain",
        "grace_seconds,",
        "0.1,",
        (f"{_STOPPING}::test_the_running_job_has_the_whole_grace",),
    ),
    Guard(
        "a stopping worker takes no other job",
        "_drain",
        ": consuming.cancel()  # takes no further delivery, and waits for the running one hurrying",
        """:
    hurrying""",
        (f"{_STOPPING}::test_a_worker_that_is_told_to_stop_finishes_its_job_and_takes_no_other",),
    ),
    Guard(
        "a second signal is obeyed at once",
        "_drain",
        "stop_now.",
        "asyncio.Event().",
        (f"{_STOPPING}::test_a_second_signal_gives_the_job_back_at_once_even_from_a_model_that_hangs",),
    ),
    Guard(
        "a worker ends with its supervisor",
        "wait_for_parent",
        "loop.call_soon_threadsafe(stop.set)",
        "",
        (f"{_STOPPING}::test_a_worker_that_is_told_to_stop_finishes_its_job_and_takes_no_other",),
    ),
    Guard(
        "a cancelled job's drawing stops",
        "_go_on_only_if",
        "await self._model.stop_drawing(claim)",
        "pass",
        (f"{_DRAWING}::test_a_cancelled_job_stops_within_a_step_and_the_model_goes_on_with_the_next",),
    ),
    Guard(
        "a cancel is heard between two steps",
        "_watch",
        "await self._go_on_only_if(is_ours, claim)",
        "pass",
        (f"{_DRAWING}::test_a_cancelled_job_stops_within_a_step_and_the_model_goes_on_with_the_next",),
    ),
    Guard(
        "progress keeps the lease",
        "DrawingStage._record",
        "lease_seconds=self._lease_seconds",
        "lease_seconds=0",
        (f"{_DRAWING}::test_a_slow_model_keeps_its_lease",),
    ),
    Guard(
        "a model that hangs is killed",
        "ModelProcess.draw",
        "(patience_seconds)",
        "(None)",
        (f"{_DRAWING}::test_a_model_that_hangs_is_killed_after_the_lease_and_the_job_drawn_again",),
    ),
    Guard(
        "what a model says about another job is no answer",
        "ModelProcess.draw",
        'None or frame.fields.get("job_id") != job_id',
        "None",
        (f"{_DRAWING}::test_trouble_with_the_model_costs_one_attempt",),
    ),
    Guard(
        "a model that failed draws no more",
        "DrawingStage._failure",
        "await self._model.stop()",
        "pass",
        (f"{_DRAWING}::test_trouble_with_the_model_costs_one_attempt",),
    ),
    Guard(
        "a finished drawing waits for the database",
        "worker.retries",
        "300.0  #",
        "0.0  #",
        (f"{_OUTAGES}::test_four_finished_images_wait_for_the_database_to_be_published",),
    ),
    Guard(
        "a drawing goes on while the database is away",
        "_record",
        "return await self._go_on_only_if",
        """raise
        await self._go_on_only_if""",
        (f"{_OUTAGES}::test_a_drawing_survives_a_restart_of_the_database",),
    ),
    Guard(
        "a worker that must go does not wait for the database",
        "commit_with_retries",
        "_STOPPING_PATIENCE_SECONDS if must_stop.is_set() else _PATIENCE_SECONDS",
        "_PATIENCE_SECONDS",
        (f"{_OUTAGES}::test_a_worker_that_must_go_does_not_wait_for_the_database",),
    ),
    Guard(
        "a finished drawing waits for the store",
        "worker.publishing",
        "_STORE_PATIENCE_SECONDS = 30.0",
        "_STORE_PATIENCE_SECONDS = 0.0",
        (f"{_STORING}::test_a_store_that_is_away_for_a_moment_costs_nothing_but_time_though_the_lease_is_shorter",),
    ),
    Guard(
        "the lease is kept while the store is away",
        "PublishingStage._store",
        "Stopping await self._renew(claim) await",
        """Stopping
            await""",
        (f"{_STORING}::test_a_store_that_is_away_for_a_moment_costs_nothing_but_time_though_the_lease_is_shorter",),
    ),
    Guard(
        "a cancel ends the wait for the store",
        "PublishingStage._renew",
        "if not is_ours: raise NoLongerOurs",
        "",
        (f"{_STORING}::test_a_cancel_ends_the_wait_for_a_store_that_is_away",),
    ),
    Guard(
        "a worker that must go does not wait for the store",
        "PublishingStage._store",
        "error if self._must_stop.is_set(): raise Stopping await",
        """error
            await""",
        (f"{_STORING}::test_a_worker_that_must_stop_hands_back_a_job_whose_store_is_away",),
    ),
    Guard(
        "a worker hears of new jobs after an outage",
        "listen_for_jobs",
        "with suppress(QueueLost)",
        "if True",
        (f"{_OUTAGES}::test_a_worker_hears_of_new_jobs_again_after_an_outage_it_has_slept_through",),
    ),
    Guard(
        "a worker refuses a database of another version",
        "_wait_for_schema",
        "await migrations.require_current(connection)",
        "pass",
        (f"{_OUTAGES}::test_a_worker_refuses_a_database_without_its_schema",),
    ),
    Guard(
        "a model does not outlive its worker",
        "child.main",
        "ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)",
        "pass",
        (f"{_WORKER}/test_real_model.py::test_a_model_that_cannot_notice_the_end_of_its_worker_ends_with_it",),
    ),
    Guard(
        "a model ends with its standard input",
        "_listen",
        "os._exit(0)",
        "pass",
        (f"{_WORKER}/test_real_model.py::test_a_model_ends_with_its_standard_input_even_while_it_loads",),
    ),
    Guard(
        "a worker whose model never loads ends",
        "ModelProcess.ensure_ready",
        'raise ModelProcessDied("The model process died each time it was loaded. Is there enough memory?")',
        "return",
        (f"{_MODEL}::test_a_model_that_never_loads_is_given_up_and_nothing_keeps_running",),
    ),
    Guard(
        "a worker's model is loaded before there is work",
        "_consume",
        "async with in_use.turn: await in_use.ensure_ready()  #",
        "#",
        (f"{_MODEL}::test_the_state_that_a_worker_announces_is_its_models",),
    ),
    Guard(
        "a worker takes no job while its model loads again",
        "JobRunner.run_next_job",
        "await self._has_model() except",
        "pass\n        except",
        (f"{_MODEL}::test_a_worker_takes_no_delivery_while_its_model_loads_again",),
    ),
    Guard(
        "a frame that is torn is no frame",
        "frames.read",
        ") if len(body) < header_size + payload_size: raise FrameBroken return",
        """)
    return""",
        ("tests/unit/test_frames.py",),
    ),
    Guard(
        "workers of two hosts are told apart",
        "run_worker",
        ") + secrets.token_hex(3)",
        ")",
        ("tests/integration/test_hosts.py::test_jobs_are_drawn_on_both_hosts_by_workers_that_are_told_apart",),
    ),
    Guard(
        "a cut-off host removes what it had stored",
        "_run_attempt",
        ") await self._publishing.discard(claim) except",
        """)
        except""",
        (
            "tests/integration/test_hosts.py::test_a_job_whose_host_is_cut_off_is_completed_by_another_and_the_first_works_on_when_it_is_back",
        ),
    ),
    Guard(
        "the API sweeps, with no worker alive",
        "Maintenance.run",
        ": group.create_task(_for_ever(self.sweep, SWEEP_SECONDS)) group",
        """:
            group""",
        (
            "tests/integration/test_hosts.py::test_a_job_whose_host_is_cut_off_is_completed_by_another_and_the_first_works_on_when_it_is_back",
        ),
    ),
)
