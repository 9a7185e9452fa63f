"""Guards of what the service reads: which requests, how large, how slow, over how many connections."""

from __future__ import annotations

from tests.guards.guard import Guard

_API = "tests/integration/api"
_BODIES = f"{_API}/test_bodies.py"
_GENERATE = f"{_API}/test_generate.py"
_HTTP = f"{_API}/test_http.py"
_SMUGGLING = f"{_API}/test_smuggling.py"
_CONNECTIONS = f"{_API}/test_connections.py"
_WRONG_BODY = f"{_GENERATE}::test_a_wrong_body_is_refused_by_name_and_never_repeated"
_AMBIGUOUS = f"{_SMUGGLING}::test_an_ambiguous_head_is_refused_and_what_follows_it_is_not_answered"

GUARDS = (
    # --- bodies ------------------------------------------------------------------------------------------------------
    Guard(
        "a long body is refused by its announcement",
        "body._read",
        "9 or int(length) > MAX_BYTES",
        "9",
        (f"{_BODIES}::test_a_long_body_is_refused_by_its_announcement",),
    ),
    Guard(
        "an endless body is not read to its end",
        "body._read",
        "chunk if len(body) > MAX_BYTES: raise BodyTooLarge except",
        """chunk
    except""",
        (f"{_BODIES}::test_an_endless_body_ends_with_the_connection",),
    ),
    Guard(
        "a slow body is given up",
        "body._read",
        "PATIENCE_SECONDS",
        "None",
        (f"{_BODIES}::test_a_body_that_is_shorter_than_it_says_is_not_waited_for",),
    ),
    Guard(
        "a key of a body occurs once",
        "strict_json._object",
        "len(fields) != len(pairs)",
        "False",
        (_WRONG_BODY,),
    ),
    Guard(
        "NaN and Infinity are no JSON",
        "strict_json.loads",
        "_refuse_constant",
        'lambda _name: "a teapot"',
        (_WRONG_BODY,),
    ),
    Guard(
        "a body has no other fields",
        "Body",
        'extra="forbid", strict',
        "strict",
        (_WRONG_BODY,),
    ),
    Guard(
        "a body is declared as JSON",
        "read_json",
        '"" _check_media_type(request) text',
        '""\n    text',
        (f"{_GENERATE}::test_only_json_in_utf8_is_taken",),
    ),
    Guard(
        "a body is declared as UTF-8",
        "_check_media_type",
        "_JSON_IN_UTF8.fullmatch(declared[0].strip(",
        're.match("application/json(;|$)", declared[0].strip(',
        (f"{_GENERATE}::test_only_json_in_utf8_is_taken",),
    ),
    Guard(
        "a compressed body is not unpacked",
        "_check_media_type",
        '1 or request.headers.get("content-encoding", "identity").lower() != "identity"',
        "1",
        (f"{_GENERATE}::test_a_compressed_body_is_not_unpacked",),
    ),
    # --- prompts -----------------------------------------------------------------------------------------------------
    Guard(
        "a prompt has no surrogates and no control characters",
        "normalise",
        'any(unicodedata.category(char) in ("Cc", "Cs") for char in text)',
        "False",
        ("tests/unit/test_prompt.py", _WRONG_BODY),
    ),
    Guard(
        "a prompt has an end",
        "normalise",
        "PromptBlank if len(text) > MAX_CODE_POINTS: raise PromptTooLong if",
        """PromptBlank
    if""",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "a prompt is more than invisible characters",
        "normalise",
        'any(unicodedata.category(char)[0] in "LNSP" for char in text)',
        "text",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "marks are not heaped on one character",
        "normalise",
        "PromptTooLong if _longest_run_of_marks(text) > MAX_MARKS_PER_BASE: raise PromptInvalid return",
        """PromptTooLong
    return""",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "an Idempotency-Key is short and visible",
        "_idempotency_key",
        "1 or not _IDEMPOTENCY_KEY.fullmatch(idempotency_key)",
        "1",
        (f"{_API}/test_idempotency.py::test_any_other_key_is_refused",),
    ),
    # --- heads -------------------------------------------------------------------------------------------------------
    Guard(
        "a length and chunks are not taken for one request",
        "_is_unambiguous",
        '(scope["http_version"] == "1.0" or _header(scope, b"content-length") is not None)',
        'scope["http_version"] == "1.0"',
        (_AMBIGUOUS,),
    ),
    Guard(
        "a length occurs once",
        "maybe_extract_lines",
        "len(lengths) > 1 or not",
        "not",
        (_AMBIGUOUS,),
    ),
    Guard(
        "a head is read without leniency",
        "connection_made",
        ") self.conn._receive_buffer = StrictLines() self",
        """)
        self""",
        (_AMBIGUOUS,),
    ),
    Guard(
        "headers have an end",
        "OuterMiddleware._refusal",
        "refusal if _head_bytes(scope) > MAX_HEAD_BYTES: return HeadersTooLarge() if",
        """refusal
        if""",
        (f"{_HTTP}::test_a_flood_of_headers_is_cut_off",),
    ),
    Guard(
        "one thing has one address",
        "OuterMiddleware._refusal",
        'b"%2f" in scope.get("raw_path", b"").lower()',
        "False",
        (f"{_API}/test_ownership.py::test_a_job_has_one_address",),
    ),
    Guard(
        "a job's id has one form",
        "_job_id",
        "if not _UUID.fullmatch(job_id): raise JobNotFound return UUID(job_id)",
        """try:
        return UUID(job_id)
    except ValueError:
        raise JobNotFound from None""",
        (f"{_API}/test_ownership.py::test_a_job_has_one_address",),
    ),
    Guard(
        "an image's number has one form",
        "_image_number",
        "if not _IMAGE_NUMBER.fullmatch(n): raise NotFound return int(n)",
        """try:
        return int(n)
    except ValueError:
        raise NotFound from None""",
        (f"{_API}/test_ownership.py::test_an_image_has_one_address",),
    ),
    Guard(
        "another name for this machine is refused",
        "OuterMiddleware._refusal",
        "self._for_this_machine and not (host and _HOST_OF_THIS_MACHINE.fullmatch(host))",
        "False",
        (f"{_API}/test_hosts.py",),
    ),
    # --- connections -------------------------------------------------------------------------------------------------
    Guard(
        "a slow head is given up",
        "_await_head",
        "HEAD_SECONDS",
        "100 * HEAD_SECONDS",
        (f"{_CONNECTIONS}::test_a_head_that_drips_in_is_given_up_however_steadily_it_drips",),
    ),
    Guard(
        "only so many connections are open",
        "_has_room",
        "len(others) < _most_connections()",
        "True",
        (f"{_CONNECTIONS}::test_one_request_too_many_at_a_time_is_told_to_come_back",),
    ),
    Guard(
        "connections that send nothing keep nobody out",
        "_has_room",
        "bool(waiting)",
        "False",
        (f"{_CONNECTIONS}::test_idle_connections_make_room_for_a_new_one",),
    ),
    Guard(
        "who takes nothing of an answer is given up",
        "_check_for_stall",
        "self.transport.abort() return",
        "return",
        (f"{_CONNECTIONS}::test_a_client_that_takes_nothing_of_its_answer_is_given_up",),
    ),
    Guard(
        "streams look at the database together",
        "get_job_events",
        "services.watch.follow(",
        "type(services.watch)(services.database).follow(",
        (f"{_API}/test_events.py::test_sixty_streams_of_a_job_look_at_it_together",),
    ),
    Guard(
        "streams that begin together look once",
        "first_view",
        "self._opening.get(key)",
        "None",
        (f"{_API}/test_events.py::test_sixty_streams_of_a_job_look_at_it_together",),
    ),
    Guard(
        "a stream ends with its token",
        "get_job_events",
        "identity.expires_at + LEEWAY_SECONDS - time.time()",
        "float(10**6)",
        (f"{_API}/test_events.py::test_a_stream_ends_when_its_token_does_and_a_fresh_one_takes_it_up",),
    ),
)
