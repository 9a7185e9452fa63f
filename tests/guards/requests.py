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
        "onbrand/api/body.py",
        "or len(length) > 9 or int(length) > MAX_BYTES:",
        "or len(length) > 9:",
        (f"{_BODIES}::test_a_long_body_is_refused_by_its_announcement",),
    ),
    Guard(
        "an endless body is not read to its end",
        "onbrand/api/body.py",
        "                if len(body) > MAX_BYTES:\n                    raise BodyTooLarge\n",
        "",
        (f"{_BODIES}::test_an_endless_body_ends_with_the_connection",),
    ),
    Guard(
        "a slow body is given up",
        "onbrand/api/body.py",
        "async with asyncio.timeout(PATIENCE_SECONDS):",
        "async with asyncio.timeout(None):",
        (f"{_BODIES}::test_a_body_that_is_shorter_than_it_says_is_not_waited_for",),
    ),
    Guard(
        "a key of a body occurs once",
        "onbrand/api/body.py",
        "    if len(fields) != len(pairs):\n",
        "    if False:\n",
        (_WRONG_BODY,),
    ),
    Guard(
        "NaN and Infinity are no JSON",
        "onbrand/api/body.py",
        ", parse_constant=_refuse_constant)",
        ', parse_constant=lambda _name: "a teapot")',
        (_WRONG_BODY,),
    ),
    Guard(
        "a body has no other fields",
        "onbrand/api/schemas.py",
        'model_config = ConfigDict(extra="forbid", strict=True)',
        "model_config = ConfigDict(strict=True)",
        (_WRONG_BODY,),
    ),
    Guard(
        "a body is declared as JSON",
        "onbrand/api/body.py",
        "    _check_media_type(request)\n",
        "",
        (f"{_GENERATE}::test_only_json_in_utf8_is_taken",),
    ),
    Guard(
        "a body is declared as UTF-8",
        "onbrand/api/body.py",
        ' or str(charset).lower() not in ("utf-8", "utf8"):',
        ":",
        (f"{_GENERATE}::test_only_json_in_utf8_is_taken",),
    ),
    Guard(
        "a compressed body is not unpacked",
        "onbrand/api/body.py",
        ' or request.headers.get("content-encoding", "identity").lower() != "identity":',
        ":",
        (f"{_GENERATE}::test_a_compressed_body_is_not_unpacked",),
    ),
    # --- prompts -----------------------------------------------------------------------------------------------------
    Guard(
        "a prompt has no surrogates and no control characters",
        "onbrand/prompt.py",
        'if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):',
        "if False:",
        ("tests/unit/test_prompt.py", _WRONG_BODY),
    ),
    Guard(
        "a prompt has an end",
        "onbrand/prompt.py",
        "    if len(text) > MAX_CODE_POINTS:\n        raise PromptTooLong\n",
        "",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "a prompt is more than invisible characters",
        "onbrand/prompt.py",
        '    if not any(unicodedata.category(char)[0] in "LNSP" for char in text):\n',
        "    if not text:\n",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "marks are not heaped on one character",
        "onbrand/prompt.py",
        "    if _longest_run_of_marks(text) > MAX_MARKS_PER_BASE:\n        raise PromptInvalid\n",
        "",
        ("tests/unit/test_prompt.py",),
    ),
    Guard(
        "an Idempotency-Key is short and visible",
        "onbrand/api/deps.py",
        " or not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):",
        ":",
        (f"{_API}/test_idempotency.py::test_any_other_key_is_refused",),
    ),
    # --- heads -------------------------------------------------------------------------------------------------------
    Guard(
        "a length and chunks are not taken for one request",
        "onbrand/api/edge.py",
        """if is_chunked and (scope["http_version"] == "1.0" or _header(scope, b"content-length") is not None):""",
        """if is_chunked and scope["http_version"] == "1.0":""",
        (_AMBIGUOUS,),
    ),
    Guard(
        "a length occurs once",
        "onbrand/api/lines.py",
        "if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):",
        "if not all(map(_LENGTH.fullmatch, lengths)):",
        (_AMBIGUOUS,),
    ),
    Guard(
        "a head is read without leniency",
        "onbrand/api/protocol.py",
        "        self.conn._receive_buffer = StrictLines()\n",
        "",
        (_AMBIGUOUS,),
    ),
    Guard(
        "headers have an end",
        "onbrand/api/edge.py",
        "        if _head_bytes(scope) > MAX_HEAD_BYTES:\n            return HeadersTooLarge()\n",
        "",
        (f"{_HTTP}::test_a_flood_of_headers_is_cut_off",),
    ),
    Guard(
        "one thing has one address",
        "onbrand/api/edge.py",
        '        if b"%2f" in scope.get("raw_path", b"").lower():\n',
        "        if False:\n",
        (f"{_API}/test_ownership.py::test_a_job_has_one_address",),
    ),
    Guard(
        "a job's id has one form",
        "onbrand/api/deps.py",
        "    if not _UUID.fullmatch(job_id):\n        raise JobNotFound\n    return UUID(job_id)",
        "    try:\n        return UUID(job_id)\n    except ValueError:\n        raise JobNotFound from None",
        (f"{_API}/test_ownership.py::test_a_job_has_one_address",),
    ),
    Guard(
        "an image's number has one form",
        "onbrand/api/deps.py",
        "    if not _IMAGE_NUMBER.fullmatch(n):\n        raise NotFound\n    return int(n)",
        "    try:\n        return int(n)\n    except ValueError:\n        raise NotFound from None",
        (f"{_API}/test_ownership.py::test_an_image_has_one_address",),
    ),
    Guard(
        "another name for this machine is refused",
        "onbrand/api/edge.py",
        "if self._for_this_machine and not (host and _HOST_OF_THIS_MACHINE.fullmatch(host)):",
        "if False:",
        (f"{_API}/test_hosts.py",),
    ),
    # --- connections -------------------------------------------------------------------------------------------------
    Guard(
        "a slow head is given up",
        "onbrand/api/protocol.py",
        "self._head_deadline = self.loop.call_later(HEAD_SECONDS, self._give_up_on_head)",
        "self._head_deadline = self.loop.call_later(100 * HEAD_SECONDS, self._give_up_on_head)",
        (f"{_CONNECTIONS}::test_a_head_that_drips_in_is_given_up_however_steadily_it_drips",),
    ),
    Guard(
        "only so many connections are open",
        "onbrand/api/protocol.py",
        "        if len(others) < _most_connections():\n",
        "        if True:\n",
        (f"{_CONNECTIONS}::test_one_request_too_many_at_a_time_is_told_to_come_back",),
    ),
    Guard(
        "connections that send nothing keep nobody out",
        "onbrand/api/protocol.py",
        "        return bool(waiting)\n",
        "        return False\n",
        (f"{_CONNECTIONS}::test_idle_connections_make_room_for_a_new_one",),
    ),
    Guard(
        "who takes nothing of an answer is given up",
        "onbrand/api/protocol.py",
        "            self.transport.abort()\n            return\n",
        "            return\n",
        (f"{_CONNECTIONS}::test_a_client_that_takes_nothing_of_its_answer_is_given_up",),
    ),
)
