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
        "onbrand/api/cors.py",
        "            allow_origins=origins,\n",
        '            allow_origins=["*"],\n',
        (f"{_HEADERS}::test_no_other_page_may_call",),
    ),
    Guard(
        "an origin that only ends like ours is another",
        "onbrand/api/cors.py",
        "            allow_origins=origins,\n",
        '            allow_origins=origins,\n            allow_origin_regex=r"https?://.*onbrand\\.example",\n',
        (f"{_HEADERS}::test_no_other_page_may_call",),
    ),
    Guard(
        "no page calls with cookies",
        "onbrand/api/cors.py",
        "allow_credentials=False",
        "allow_credentials=True",
        (f"{_HEADERS}::test_the_configured_page_may_call_and_read_what_it_needs",),
    ),
    Guard(
        "no page may use other methods",
        "onbrand/api/cors.py",
        'allow_methods=["GET", "POST", "PUT", "DELETE"]',
        'allow_methods=["*"]',
        (f"{_HEADERS}::test_the_configured_page_may_do_nothing_else",),
    ),
    Guard(
        "an answer is not taken for anything else",
        "onbrand/api/edge.py",
        '        headers["X-Content-Type-Options"] = "nosniff"\n',
        "",
        (f"{_HEADERS}::test_every_answer_has_the_headers_that_keep_it_what_it_is",),
    ),
    Guard(
        "what the API answers can be no page",
        "onbrand/api/edge.py",
        '        headers.setdefault("Content-Security-Policy", _API_POLICY)\n',
        "",
        (f"{_HEADERS}::test_what_the_api_answers_can_be_no_page_and_is_kept_nowhere",),
    ),
    Guard(
        "what the API answers is kept nowhere",
        "onbrand/api/edge.py",
        '        headers.setdefault("Cache-Control", "private, no-store")\n',
        "",
        (f"{_HEADERS}::test_what_the_api_answers_can_be_no_page_and_is_kept_nowhere",),
    ),
    Guard(
        "the page runs its own scripts only",
        "onbrand/api/page.py",
        "script-src 'self';",
        "script-src 'self' 'unsafe-inline';",
        (f"{_HEADERS}::test_the_page_may_only_run_its_own_scripts_and_not_be_framed",),
    ),
    Guard(
        "browsers insist on TLS",
        "onbrand/api/edge.py",
        '            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"\n',
        "            pass\n",
        (f"{_API}/test_production.py::test_browsers_are_told_to_insist_on_tls",),
    ),
    Guard(
        "an image says what it is",
        "onbrand/api/routes.py",
        'Response(png, media_type="image/png", headers=headers)',
        'Response(png, media_type="text/html", headers=headers)',
        (f"{_API}/test_images.py",),
    ),
    # --- what is away ------------------------------------------------------------------------------------------------
    Guard(
        "a database that does not answer is not waited for",
        "onbrand/postgres.py",
        "                with _hung_up_at(deadline, connection):\n                    async with",
        "                with suppress():\n                    async with",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
        (
            Cut(
                "onbrand/postgres.py",
                "    with _hung_up_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection):\n",
                "    with suppress():\n",
            ),
        ),
    ),
    Guard(
        "a connection is not waited for longer than a request",
        "onbrand/postgres.py",
        "timeout=PATIENCE_SECONDS - _CHECK_SECONDS,",
        "timeout=30,",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
    ),
    Guard(
        "a database that is away is a 503",
        "onbrand/postgres.py",
        "                raise DatabaseUnavailable(retry_after_seconds=5) from error\n",
        "                raise\n",
        (f"{_OUTAGE}::test_a_database_that_is_away_is_an_answer_within_seconds",),
    ),
    Guard(
        "a restarted database costs nobody an error",
        "onbrand/postgres.py",
        "            check=_check,\n",
        "",
        (f"{_OUTAGE}::test_a_restarted_database_costs_nobody_an_error",),
    ),
    Guard(
        "a host that vanishes without a word is noticed",
        "onbrand/postgres.py",
        "                with _hung_up_at(deadline, connection):\n                    async with",
        "                with suppress():\n                    async with",
        (
            "tests/integration/test_hosts.py::test_an_api_that_is_cut_off_from_the_database_says_so_in_time_and_recovers_by_itself",
        ),
        (
            Cut(
                "onbrand/postgres.py",
                "    with _hung_up_at(asyncio.get_running_loop().time() + _CHECK_SECONDS, connection):\n",
                "    with suppress():\n",
            ),
        ),
    ),
    # --- figures -----------------------------------------------------------------------------------------------------
    Guard(
        "what anybody sends adds no series",
        "onbrand/api/edge.py",
        """return path if isinstance(path, str) else scope.get("root_path") or "none\"""",
        """return str(scope["path"])""",
        (f"{_API}/test_metrics.py::test_what_anybody_sends_adds_no_series",),
    ),
    # --- logs --------------------------------------------------------------------------------------------------------
    Guard(
        "a JSON line stays one line",
        "onbrand/logs.py",
        "return json.dumps(line, default=str)",
        'return json.dumps(line, default=str).replace("\\\\n", "\\n")',
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "no text passes for another line",
        "onbrand/logs.py",
        "{_printable(sentence)}",
        "{sentence}",
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "a traceback passes for no other line",
        "onbrand/logs.py",
        '"".join(f"\\n    {_printable(part)}" for part in traced.splitlines())',
        'f"\\n{traced}"',
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "the queue's engine logs no arguments",
        "onbrand/logs.py",
        '    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)\n',
        "",
        ("tests/unit/test_logs.py",),
    ),
    Guard(
        "a refused row is not quoted",
        "onbrand/postgres.py",
        "met.args = (met.diag.message_primary,)",
        "pass",
        (f"{_PROCESS}::test_whatever_goes_wrong_the_log_is_one_json_object_a_line_and_holds_no_secret",),
    ),
    Guard(
        "a problem does not repeat what went wrong inside",
        "onbrand/api/problems.py",
        "    return problem_response(InternalError())\n",
        "    return problem_response(InternalError(str(error)))\n",
        (f"{_PROCESS}::test_whatever_goes_wrong_the_log_is_one_json_object_a_line_and_holds_no_secret",),
    ),
)
