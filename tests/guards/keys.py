"""Guards of what tokens are checked with, and of settings that would let anybody in."""

from __future__ import annotations

from tests.guards.guard import Guard

_KEYS = "tests/integration/identity/test_keys.py"
_CONFIG = "tests/unit/test_config.py"
_PRODUCTION = f"{_CONFIG}::test_production_does_not_start_with_what_is_unsafe"

GUARDS = (
    # --- the provider's keys -----------------------------------------------------------------------------------------
    Guard(
        "a flood of unknown key ids causes one fetch",
        "_refresh",
        " and self._clock() - self._tried_at >= self._pause()",
        "",
        (f"{_KEYS}::test_s19_a_flood_of_unknown_key_ids_causes_one_fetch_in_five_seconds",),
    ),
    Guard(
        "a provider that hangs holds no threads",
        "_wait_for",
        "fetched.wait(max(0.0, left))",
        "fetched.wait(FETCH_SECONDS)",
        (f"{_KEYS}::test_nobody_waits_longer_than_a_moment_for_a_provider_that_hangs",),
    ),
    Guard(
        "unknown key ids hold few threads",
        "_wait_for",
        "not self._places.acquire(blocking=False)",
        "False",
        (f"{_KEYS}::test_while_the_provider_hesitates_few_wait_with_an_unknown_key_id",),
    ),
    Guard(
        "keys are fetched again although nobody calls",
        "_load_keys",
        "await asyncio.sleep(_KEYS_LOOK_SECONDS)",
        "return",
        ("tests/integration/api/test_key_refresh.py",),
    ),
    Guard(
        "keys outlast an outage of the provider",
        "jwks",
        "24 * 3600",
        "3600",
        (f"{_KEYS}::test_s20_an_outage_of_a_day_locks_nobody_out",),
    ),
    Guard(
        "keys are of the configured tenant",
        "fetch_keys",
        ') or str(directory.tenant_id) not in urlsplit(issuer).path.split("/")',
        ")",
        (f"{_KEYS}::test_metadata_that_is_not_the_configured_tenants_or_points_elsewhere_is_refused",),
    ),
    Guard(
        "an answer of the provider has an end",
        "_get_json",
        "len(body) > MAX_ANSWER_BYTES",
        "False",
        (f"{_KEYS}::test_s21_only_a_megabyte_is_read",),
    ),
    Guard(
        "an id that two keys share names neither",
        "_usable_keys",
        "found if times[key_id] == 1",
        "found",
        (f"{_KEYS}::test_s21_an_id_that_two_keys_share_names_neither",),
    ),
    # --- what production refuses -------------------------------------------------------------------------------------
    Guard(
        "production refuses the local sign-in",
        "_production_problems",
        'problems.append("ONBRAND_ENV=production refuses local sign-in; set ONBRAND_AUTH=entra")',
        "pass",
        (_PRODUCTION,),
    ),
    Guard(
        "production names its image store",
        "_production_problems",
        'problems.append("ONBRAND_ENV=production needs ONBRAND_STORAGE_URL")',
        "pass",
        (_PRODUCTION,),
    ),
    Guard(
        "production names its model",
        "_production_problems",
        '"model" not in self.model_fields_set',
        "False",
        (_PRODUCTION,),
    ),
    Guard(
        "pictures are for one user of the machine",
        "open_storage",
        "mode=0o700, ",
        "",
        ("tests/integration/storage/test_local_disk.py",),
    ),
    Guard(
        "production refuses an issuer without TLS",
        "_sign_in_problems",
        "self.env is not Environment.PRODUCTION and url.hostname in LOOPBACK_HOSTS",
        "True",
        (_PRODUCTION,),
    ),
    Guard(
        "production refuses any origin",
        "_origin_problems",
        'not (origin == "*" and not in_production)',
        'origin != "*"',
        (_PRODUCTION,),
    ),
    Guard(
        "an empty group and role are refused",
        "_sign_in_problems",
        "self.entra_group_id is None and not self.entra_role",
        "False",
        (_PRODUCTION,),
    ),
    Guard(
        "the local sign-in stays on this machine",
        "_sign_in_problems",
        'self.host in ("127.0.0.1", "localhost")',
        "True",
        (f"{_CONFIG}::test_the_local_sign_in_stays_on_this_machine",),
    ),
    Guard(
        "a wrong setting is not repeated",
        "_sentence",
        '_WORDS.get(str(problem["type"])) or',
        "f\"{problem.get('input')}\" +",
        (f"{_CONFIG}::test_a_wrong_value_is_refused_by_its_name_and_not_repeated",),
    ),
    Guard(
        "production serves nothing of the local sign-in",
        "create_app",
        "not production",
        "True",
        ("tests/integration/api/test_production.py",),
    ),
)
