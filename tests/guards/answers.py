"""Guards of what the service says: to browsers, when something is away, in its figures and in its log."""

from __future__ import annotations

from tests.guards.guard import Cut, Guard

_API = "tests/integration/api"
_HEADERS = f"{_API}/test_headers.py"
_OUTAGE = f"{_API}/test_outage.py"
_PROCESS = f"{_API}/test_process.py"

GUARDS = (
    # --- what browsers are told --------------------------------------------------------------------------------------
    Guard(
        "only the configured origin may call",
        "Cors.__init__",
        "origins,",
        '["*"],',
        (f"{_HEADERS}::test_no_other_page_may_call",),
    ),
    Guard(
        "an origin that only ends like ours is another",
        "Cors.__init__",
        ", allow_credentials",
        ',\n            allow_origin_regex=r"https?://.*onbrand\\.example",\n            allow_credentials',
        (f"{_HEADERS}::test_no_other_page_may_call",),
    ),
    Guard(
        "no page calls with cookies",
        "Cors.__init__",
        "allow_credentials=False",
        "allow_credentials=True",
        (f"{_HEADERS}::test_the_configured_page_may_call_and_read_what_it_needs",),
    ),
    Guard(
        "no page may use other methods",
        "Cors.__init__",
        'GET", "POST", "PUT", "DELETE',
        "*",
        (f"{_HEADERS}::test_the_configured_page_may_do_nothing_else",),
    ),
    Guard(
        "the configured page may read what was refused before any route",
        "OuterMiddleware._answer",
        "Cors(response, origins=self._origins)",
        "response",
        (f"{_HEADERS}::test_the_configured_page_may_read_what_was_refused_before_any_route",),
    ),
    Guard(
        "a browser keeps the answer to a preflight",
        "Cors.__init__",
        "max_age=_PREFLIGHT_SECONDS",
        "max_age=0",
        (f"{_HEADERS}::test_the_configured_page_may_call_and_read_what_it_needs",),
    ),
    Guard(
        "an answer is not taken for anything else",
        "_secure",
        'request_id headers["X-Content-Type-Options"] = "nosniff" headers',
        """request_id
        headers""",
        (f"{_HEADERS}::test_every_answer_has_the_headers_that_keep_it_what_it_is",),
    ),
    Guard(
        "what the API answers can be no page",
        "_secure",
        ') headers.setdefault("Content-Security-Policy", _API_POLICY) headers',
        """)
        headers""",
        (f"{_HEADERS}::test_what_the_api_answers_can_be_no_page_and_is_kept_nowhere",),
    ),
    Guard(
        "what the API answers is kept nowhere",
        "_secure",
        ') headers.setdefault("Cache-Control", "private, no-store") headers',
        """)
        headers""",
        (f"{_HEADERS}::test_what_the_api_answers_can_be_no_page_and_is_kept_nowhere",),
    ),
    Guard(
        "the page runs its own scripts only",
        "policy",
        "; style-",
        " 'unsafe-inline'; style-",
        (f"{_HEADERS}::test_the_page_may_only_run_its_own_scripts_and_not_be_framed",),
    ),
    Guard(
        "browsers insist on TLS",
        "_secure",
        'headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"',
        "pass",
        (f"{_API}/test_production.py::test_browsers_are_told_to_insist_on_tls",),
    ),
    Guard(
        "an image says what it is",
        "answer_png",
        '"image/png",',
        '"text/html",',
        (f"{_API}/test_images.py",),
    ),
    # --- what is away ------------------------------------------------------------------------------------------------
    Guard(
        "a database that does not answer is not waited for",
        "transaction",
        "_closed_at(deadline, connection)",
        "suppress()",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
        (
            Cut(
                "pool._check",
                "_closed_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection)",
                "suppress()",
            ),
        ),
    ),
    Guard(
        "a connection is not waited for longer than a request",
        "Database.__init__",
        "PATIENCE_SECONDS - _CHECK_SECONDS",
        "30",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
    ),
    Guard(
        "a database that is away is a 503",
        "transaction",
        "raise DatabaseUnavailable(retry_after_seconds=5) from error",
        "raise",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
    ),
    Guard(
        "a restarted database costs nobody an error",
        "Database.__init__",
        ", check=_check, open",
        """,
            open""",
        (f"{_OUTAGE}::test_a_restarted_database_costs_nobody_an_error",),
    ),
    Guard(
        "a host that vanishes without a word is noticed",
        "transaction",
        "_closed_at(deadline, connection)",
        "suppress()",
        (
            "tests/integration/test_hosts.py::test_an_api_that_is_cut_off_from_the_database_says_so_in_time_and_recovers_by_itself",
        ),
        (
            Cut(
                "pool._check",
                "_closed_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection)",
                "suppress()",
            ),
        ),
    ),
    # --- figures -----------------------------------------------------------------------------------------------------
    Guard(
        "what anybody sends adds no series",
        "_route",
        'path if isinstance(path, str) else scope.get("root_path") or "none"',
        'str(scope["path"])',
        (f"{_API}/test_metrics.py::test_what_anybody_sends_adds_no_series",),
    ),
    # --- logs --------------------------------------------------------------------------------------------------------
    Guard(
        "a JSON line stays one line",
        "JsonFormatter.format",
        "default=str)",
        'default=str).replace("\\\\n", "\\n")',
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "no text passes for another line",
        "TextFormatter.format",
        "_printable(sentence)",
        "sentence",
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "a traceback passes for no other line",
        "TextFormatter.format",
        '"".join(f"\\n    {_printable(part)}" for part in traced.splitlines())',
        'f"\\n{traced}"',
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "the queue's engine logs no arguments",
        "configure",
        '. logging.getLogger("procrastinate").setLevel(logging.CRITICAL) #',
        """.
    #""",
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "a refused row is not quoted",
        "transaction",
        "cause.args = (cause.diag.message_primary,)",
        "pass",
        (f"{_PROCESS}::test_whatever_goes_wrong_the_log_is_one_json_object_a_line_and_holds_no_secret",),
    ),
    Guard(
        "a problem does not repeat what went wrong inside",
        "answer_unexpected",
        "InternalError()",
        "InternalError(str(error))",
        (f"{_PROCESS}::test_whatever_goes_wrong_the_log_is_one_json_object_a_line_and_holds_no_secret",),
    ),
)
