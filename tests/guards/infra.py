"""Guards of the way to Azure: what the check finds, what the hooks refuse, and what they never show."""

from __future__ import annotations

from tests.guards.guard import Guard

_BICEP = "tests/infra/test_bicep.py"
_HOOKS = "tests/infra/test_hooks.py"
_SEED = f"{_BICEP}::test_a_defect_is_found_where_it_is"
_REFUSED = f"{_HOOKS}::test_bad_input_is_one_line_before_anything_is_made"

GUARDS = (
    # --- the check ---------------------------------------------------------------------------------------------------
    Guard(
        "a file that breaks the grammar is found",
        "syntax_errors",
        "if not root.has_error:",
        "if True:",
        (_SEED,),
    ),
    Guard(
        "an unknown property is found",
        "_check_object",
        "elif key is not None and key not in also:",
        "elif False:",
        (_SEED,),
    ),
    Guard(
        "a missing property is found",
        "_check_object",
        "if field.is_required and key not in there:",
        "if False:",
        (_SEED,),
    ),
    Guard(
        "a GPU that waits is found",
        "_app",
        '"minReplicas"), "0",',
        '"minReplicas"), "1",',
        (f"{_BICEP}::test_our_own_files_are_whole",),
    ),
    Guard(
        "a grace that is too short is found",
        "check.rules",
        "_LEAST_GRACE_SECONDS = 300",
        "_LEAST_GRACE_SECONDS = 0",
        (_SEED,),
    ),
    Guard(
        "a name that no setting has is found",
        "check_settings",
        "if setting not in known | COMING:",
        "if False:",
        (_SEED,),
    ),
    Guard(
        "a file that checkov can't parse is a failure",
        "with_checkov.problems",
        'for file in results.get("parsing_errors", []):',
        "for file in []:",
        ("tests/infra/test_checkov.py",),
    ),
    # --- the hooks ---------------------------------------------------------------------------------------------------
    Guard(
        "a budget below the fixed cost is refused",
        "read_wanted",
        "if wanted.budget_usd <= wanted.fixed_usd:",
        "if False:",
        (_REFUSED,),
    ),
    Guard(
        "a region without the GPU profile is refused before anything is made",
        "_check_profile",
        "if wanted.gpu_profile not in names:",
        "if False:",
        (_REFUSED,),
    ),
    Guard(
        "a quota that is used up is refused",
        "_check_quota",
        "< 1:",
        "< 0:",
        (_REFUSED,),
    ),
    Guard(
        "an assignment is made once",
        "_assign",
        "if not any(",
        "if True or not any(",
        (f"{_HOOKS}::test_a_second_run_changes_nothing_and_builds_nothing",),
    ),
    Guard(
        "other roles of the registration stay",
        "_shape_api",
        '"appRoles": [*others, *ours]',
        '"appRoles": ours',
        (f"{_HOOKS}::test_another_role_in_the_registration_stays",),
    ),
    Guard(
        "an image of the same source is built once",
        "build_images",
        "if tag not in tags:",
        "if True:",
        (f"{_HOOKS}::test_a_second_run_changes_nothing_and_builds_nothing",),
    ),
    Guard(
        "a failed command is shown without a secret value",
        "tools._shown",
        'words[:3] if words[:2] == ["env", "set"] else words',
        "words",
        (f"{_HOOKS}::test_the_password_is_in_no_line",),
    ),
    # --- the scaler --------------------------------------------------------------------------------------------------
    Guard(
        "the scaler's password must be long",
        "_long_password",
        "< 24:",
        "< 0:",
        ("tests/unit/test_config.py",),
    ),
    Guard(
        "doctor needs no package of the model",
        "doctor.server",
        "from onbrand.worker import MAX_CONNECTIONS",
        "from onbrand.worker.run import MAX_CONNECTIONS",
        ("tests/integration/cli/test_without_the_model.py",),
    ),
)
