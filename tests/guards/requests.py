"""Guards of what the service reads: which requests, how large, how slow, over how many connections."""

from __future__ import annotations

from tests.guards.guard import Guard

_API = "tests/integration/api"
_BODIES = f"{_API}/test_bodies.py"
_GENERATE = f"{_API}/test_generate.py"
_HTTP = f"{_API}/test_http.py"
_SMUGGLING = f"{_API}/test_smuggling.py"
_CONNECTIONS = f"{_API}/test_connections.py"
_SLOW = f"{_API}/test_slow_readers.py"
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
        "len(others) < most",
        "True",
        (f"{_CONNECTIONS}::test_one_request_too_many_at_a_time_is_told_to_come_back",),
    ),
    Guard(
        "connections that send nothing keep nobody out",
        "_to_spare",
        "if ranked:",
        "if ranked and False:",
        (f"{_CONNECTIONS}::test_idle_connections_make_room_for_a_new_one",),
    ),
    Guard(
        "nobody has more than half of the places",
        "_to_spare",
        "count > most // 2",
        "False",
        (f"{_CONNECTIONS}::test_who_has_more_than_half_of_the_places_makes_room",),
    ),
    Guard(
        "who takes nothing of an answer is given up",
        "_sample_pace",
        "self.pace.patience <= 0",
        "False",
        (f"{_SLOW}::test_a_client_that_takes_nothing_of_its_answer_is_given_up",),
    ),
    Guard(
        "only the live style's pictures are given",
        "get_style_picture",
        "pack_id != await _live_pack(services)",
        "False",
        ("tests/integration/api/test_style_pictures.py::test_only_the_live_packs_four_pictures_are_there",),
    ),
    Guard(
        "a damaged picture of a style is not shown",
        "PackStore.pictures",
        "hashlib.sha256(webp).hexdigest() != checksums[picture.file]",
        "False",
        ("tests/integration/api/test_style_pictures.py",),
    ),
    Guard(
        "who reads slowly keeps nobody out",
        "_to_spare",
        "(rank := other.rank(now)) is not None",
        "(rank := other.rank(now)) is not None and other.is_quiet",
        (f"{_SLOW}::test_a_crowd_that_reads_slowly_keeps_nobody_out",),
    ),
    Guard(
        "who takes the least makes room",
        "Protocol.rank",
        "LEAST_RATE else 2), rate",
        "LEAST_RATE else 2), -rate",
        (f"{_SLOW}::test_who_reads_slower_than_the_others_makes_room",),
    ),
    Guard(
        "a visitor's answer costs a place for a limited time",
        "_sample_pace",
        "LEAST_RATE if self.owner is None else LEAST_RATE_OF_A_PERSON",
        "LEAST_RATE_OF_A_PERSON",
        (f"{_SLOW}::test_a_visitor_keeps_its_place_for_no_longer_than_a_usual_line_needs",),
    ),
    Guard(
        "who is being closed still has a place",
        "_holds_a_place",
        "or self.transport.get_write_buffer_size() > 0",
        "",
        (f"{_SLOW}::test_who_asks_to_be_closed_and_reads_nothing_keeps_its_place_no_longer",),
    ),
    # --- floods ------------------------------------------------------------------------------------------------------
    Guard(
        "a person makes only so many requests",
        "signed_in",
        "services.people.admit(identity.owner)",
        "pass",
        (f"{_API}/test_rates.py::test_a_person_who_makes_too_many_is_refused_and_others_are_not",),
    ),
    Guard(
        "who has no token makes only so many requests",
        "OuterMiddleware._count",
        "self._visitors is None",
        "True",
        (f"{_API}/test_rates.py::test_a_header_that_nobody_reads_does_not_excuse_a_flood",),
    ),
    Guard(
        "a header that nobody reads excuses no flood",
        "OuterMiddleware._count",
        "is_for_members and",
        "",
        (f"{_API}/test_rates.py::test_a_header_that_nobody_reads_does_not_excuse_a_flood",),
    ),
    Guard(
        "a flood's requests wait",
        "OuterMiddleware.__call__",
        "await asyncio.sleep(FLOOD_SECONDS)",
        "pass",
        (f"{_API}/test_rates.py::test_what_is_too_much_is_answered_later",),
    ),
    Guard(
        "a flood makes room",
        "Protocol.rank",
        "return 0, 0.0",
        "return None",
        (f"{_API}/test_rates.py::test_a_floods_requests_make_room_for_others",),
    ),
    Guard(
        "who operates the service is answered when it is full",
        "OuterMiddleware.__call__",
        "None if isinstance(refusal, Overloaded) else refusal",
        "refusal",
        (f"{_CONNECTIONS}::test_one_request_too_many_at_a_time_is_told_to_come_back",),
    ),
    Guard(
        "answers have an end",
        "answer_question",
        "services.answers.admit(identity.owner)",
        "pass",
        (f"{_API}/test_usage.py::test_answers_without_end_are_refused",),
    ),
    Guard(
        "readiness is looked at once for all who ask together",
        "ReadinessLook.look",
        "self._began_at < asked_at",
        "True",
        (f"{_API}/test_rates.py::test_a_flood_of_readiness_shares_looks_at_the_database",),
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
