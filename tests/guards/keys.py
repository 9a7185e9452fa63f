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
        "onbrand/signing_keys.py",
        "                if self._clock() - self._tried_at < pause:\n                    return\n",
        "",
        (f"{_KEYS}::test_s19_a_flood_of_unknown_key_ids_causes_one_fetch_in_thirty_seconds",),
    ),
    Guard(
        "keys outlast an outage of the provider",
        "onbrand/signing_keys.py",
        "USABLE_SECONDS = 24 * 3600.0",
        "USABLE_SECONDS = 3600.0",
        (f"{_KEYS}::test_s20_an_outage_of_a_day_locks_nobody_out",),
    ),
    Guard(
        "keys are of the configured tenant",
        "onbrand/signing_keys.py",
        'if not isinstance(issuer, str) or str(directory.tenant_id) not in urlsplit(issuer).path.split("/"):',
        "if not isinstance(issuer, str):",
        (f"{_KEYS}::test_metadata_that_is_not_the_configured_tenants_or_points_elsewhere_is_refused",),
    ),
    Guard(
        "an answer of the provider has an end",
        "onbrand/signing_keys.py",
        "    if len(body) > MAX_ANSWER_BYTES:\n",
        "    if False:\n",
        (f"{_KEYS}::test_s21_only_a_megabyte_is_read",),
    ),
    Guard(
        "an id that two keys share names neither",
        "onbrand/signing_keys.py",
        " for key_id, key in found if times[key_id] == 1}",
        " for key_id, key in found}",
        (f"{_KEYS}::test_s21_an_id_that_two_keys_share_names_neither",),
    ),
    # --- what production refuses -------------------------------------------------------------------------------------
    Guard(
        "production refuses the local sign-in",
        "onbrand/config.py",
        '            problems.append("ONBRAND_ENV=production refuses local sign-in; set ONBRAND_AUTH=entra")\n',
        "            pass\n",
        (_PRODUCTION,),
    ),
    Guard(
        "production refuses an issuer without TLS",
        "onbrand/config.py",
        "loopback = self.env is not Environment.PRODUCTION and url.hostname in LOOPBACK_HOSTS",
        "loopback = True",
        (_PRODUCTION,),
    ),
    Guard(
        "production refuses any origin",
        "onbrand/config.py",
        'if not (is_origin and "*" not in origin) and not (origin == "*" and not in_production):',
        'if not (is_origin and "*" not in origin) and origin != "*":',
        (_PRODUCTION,),
    ),
    Guard(
        "an empty group and role are refused",
        "onbrand/config.py",
        "if self.entra_group_id is None and not self.entra_role:",
        "if False:",
        (_PRODUCTION,),
    ),
    Guard(
        "the local sign-in stays on this machine",
        "onbrand/config.py",
        'if self.host not in ("127.0.0.1", "localhost"):',
        "if False:",
        (f"{_CONFIG}::test_the_local_sign_in_stays_on_this_machine",),
    ),
    Guard(
        "a wrong setting is not repeated",
        "onbrand/config.py",
        'message = _WORDS.get(str(problem["type"])) or str(problem["msg"])',
        'message = f"{problem.get(\'input\')}" + str(problem["msg"])',
        (f"{_CONFIG}::test_a_wrong_value_is_refused_by_its_name_and_not_repeated",),
    ),
    Guard(
        "production serves nothing of the local sign-in",
        "onbrand/api/app.py",
        "    if not production:\n",
        "    if True:\n",
        ("tests/integration/api/test_production.py",),
    ),
)
