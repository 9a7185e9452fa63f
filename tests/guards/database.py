"""Guards of the way into PostgreSQL: tokens of a managed identity, and the proof of the server's name."""

from __future__ import annotations

from tests.guards.guard import Guard

_ENTRA = "tests/integration/database/test_entra.py"
_TLS = "tests/integration/database/test_tls.py"
_CONFIG = "tests/unit/test_config.py"
_KEPT = f"{_ENTRA}::test_a_token_is_kept_until_shortly_before_its_end"
_UNVERIFIED = f"{_CONFIG}::test_production_refuses_a_database_whose_name_nobody_proves"
_IMPOSSIBLE = f"{_CONFIG}::test_a_sign_in_to_the_database_that_cannot_work_is_refused"

GUARDS = (
    # --- tokens ------------------------------------------------------------------------------------------------------
    Guard(
        "one caller asks for a token, and the others wait for it",
        "Tokens.get",
        "with self._lock:",
        "if True:",
        (f"{_ENTRA}::test_many_connections_at_once_ask_for_one_token",),
    ),
    Guard(
        "a token is kept",
        "Tokens.get",
        "self._token is not None and self._seconds_left() > EARLY_SECONDS",
        "False",
        (_KEPT,),
    ),
    Guard(
        "another token is fetched before the old one ends",
        "Tokens.get",
        "> EARLY_SECONDS",
        "> 0",
        (_KEPT,),
    ),
    Guard(
        "a token is good to its end while the endpoint is away",
        "Tokens.get",
        "self._token is not None and self._seconds_left() > 0",
        "False",
        (f"{_ENTRA}::test_an_endpoint_that_is_away_near_the_end_costs_nothing_while_the_token_is_good",),
    ),
    Guard(
        "a failure to get a token is told to all who waited for it",
        "Tokens._was_just_asked",
        "return self._steady() - self._asked_at < pause",
        "return False",
        (f"{_ENTRA}::test_callers_who_wait_for_a_request_that_fails_hear_of_that_failure",),
    ),
    Guard(
        "a token that has ended is none",
        "Tokens._fetch",
        "self._clock() < ends_at",
        "0 < ends_at",
        (f"{_ENTRA}::test_a_token_that_has_ended_when_it_comes_is_none",),
    ),
    Guard(
        "the pool replaces a token that the server refuses",
        "TokenConnection.connect",
        "tokens.forget(token)",
        "pass",
        (f"{_ENTRA}::test_a_rotation_is_survived_by_the_next_connection_and_open_ones_go_on",),
    ),
    Guard(
        "a command replaces a token that the server refuses",
        "database.address.connect",
        "address.tokens.forget(token)",
        "pass",
        (f"{_ENTRA}::test_a_command_that_meets_a_rotation_goes_on",),
    ),
    Guard(
        "refusals don't become a flood of requests for tokens",
        "Tokens.forget",
        "and self._steady() - known.fetched_at >= _PAUSE_SECONDS",
        "",
        (f"{_ENTRA}::test_a_token_that_the_server_refuses_is_asked_for_anew_but_not_without_end",),
    ),
    Guard(
        "a refusal of an older token leaves the newer one",
        "Tokens.forget",
        "and known.text == token",
        "",
        (f"{_ENTRA}::test_a_token_that_the_server_refuses_is_asked_for_anew_but_not_without_end",),
    ),
    Guard(
        "a command waits for the identity's endpoint to start",
        "migrations.connect",
        "patience_seconds=_TOKEN_SECONDS",
        "patience_seconds=0.0",
        (f"{_ENTRA}::test_a_command_waits_for_an_endpoint_that_starts_after_it",),
    ),
    Guard(
        "an identity that is refused is not asked for again",
        "database.address.connect",
        "not failure.may_pass or",
        "",
        (f"{_ENTRA}::test_a_wrong_client_id_is_named_at_once",),
    ),
    Guard(
        "the connection that listens signs in with a token, too",
        "Database.__init__",
        '"tokens": tokens',
        '"tokens": None',
        ("tests/integration/worker/test_tokens.py",),
    ),
    # --- the server's name -------------------------------------------------------------------------------------------
    Guard(
        "production wants the server's name proven",
        "Settings._database_problems",
        "if not postgres_address.is_verified(there) and not postgres_address.is_on_this_machine(there):",
        "if False:",
        (_UNVERIFIED,),
    ),
    Guard(
        "only verify-full proves a name",
        "is_verified",
        '== "verify-full"',
        'in ("verify-full", "verify-ca", "require")',
        (_UNVERIFIED,),
    ),
    Guard(
        "an address beside the name decides where the server is",
        "is_on_this_machine",
        'there.get("hostaddr") or',
        "",
        (_UNVERIFIED,),
    ),
    Guard(
        "each server of a list must be on this machine",
        "is_on_this_machine",
        "all(",
        "any(",
        (_UNVERIFIED,),
    ),
    Guard(
        "a service file may name any server",
        "is_on_this_machine",
        'if "service" in there:',
        "if False:",
        (_UNVERIFIED,),
    ),
    Guard(
        "a token goes to a proven server only, also outside production",
        "Settings._database_problems",
        "if not is_entra and not in_production:",
        "if not in_production:",
        (_IMPOSSIBLE,),
    ),
    Guard(
        "an address for tokens has no password",
        "Settings._database_problems",
        'if is_entra and given.get("password"):',
        "if False:",
        (_IMPOSSIBLE,),
    ),
    Guard(
        "commands know the system's authorities",
        "database.address.connect",
        "options |= arguments(address)",
        "pass",
        (f"{_TLS}::test_an_authority_that_the_system_trusts_is_enough",),
    ),
    Guard(
        "the pool knows the system's authorities",
        "Database.__init__",
        "| arguments(address)",
        "",
        (f"{_TLS}::test_the_pool_knows_the_systems_authorities_too",),
    ),
    Guard(
        "the word system means the system's authorities",
        "roots_to_name",
        '(None, "", "system")',
        '(None, "")',
        (f"{_TLS}::test_the_systems_authorities_are_found_where_python_does_not_say",),
    ),
)
