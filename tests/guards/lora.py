"""Guards of the brand: its LoRA is in effect as it was trained, or nothing is drawn."""

from __future__ import annotations

from tests.guards.guard import Guard

_LORA, _FUSE = "onbrand/hidream/weights/lora.py", "onbrand/hidream/weights/fuse.py"
_BUILD, _PREPARED = "onbrand/hidream/packaging/build.py", "onbrand/hidream/weights/prepared.py"
_OF_LORA, _OF_FUSE = "tests/integration/hidream/test_lora.py", "tests/integration/hidream/test_fuse.py"
_OF_BUILD, _OF_PREPARED = "tests/integration/hidream/test_build.py", "tests/integration/hidream/test_prepared.py"

GUARDS = (
    Guard(
        "a LoRA without a module that the manifest names is refused",
        "require_described",
        "sorted({*lora.adapted_modules} - {*found.modules})",
        "()",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA with a module that the manifest doesn't name is refused",
        "require_described",
        "sorted({*found.modules} - {*lora.adapted_modules})",
        "()",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA of another strength is refused",
        "require_described",
        "found.alpha not in (None, lora.alpha)",
        "False",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA of another rank is refused",
        "require_described",
        "found.rank != lora.rank",
        "False",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA with a number that is not finite is refused",
        "_note_block",
        "numbers.is_finite and _is_finite(block, dtype, width)",
        "True",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA that was trained in a way that changes the sum is refused",
        "_require_plain",
        "if not value or key in _HARMLESS",
        "if True or key in _HARMLESS",
        (f"{_OF_LORA}::test_contradicting_settings_in_the_header_are_refused",),
    ),
    Guard(
        "a LoRA on a router is refused",
        "lora._parsed",
        '_ROUTER.search(match["module"])',
        "False",
        (f"{_OF_LORA}::test_a_lora_that_is_wrong_is_refused_with_the_reason",),
    ),
    Guard(
        "a LoRA for another base is refused",
        "fuse_lora",
        "waiting.values",
        "",
        (f"{_OF_FUSE}::test_a_lora_for_a_deeper_base_is_refused",),
    ),
    Guard(
        "a LoRA that does nothing is refused",
        "_sum",
        "not change.count_nonzero()",
        "False",
        (f"{_OF_FUSE}::test_a_module_that_the_lora_does_not_change_is_refused",),
    ),
    Guard(
        "a LoRA is fused in float32",
        "_sum",
        "(scaling).",
        "(scaling).to(weight.dtype).",
        (f"{_OF_FUSE}::test_the_sum_loses_nothing_of_a_small_update",),
    ),
    Guard(
        "prepared weights of one pack are not taken for another's",
        "load_prepared",
        "manifest.key != key",
        "False",
        (f"{_OF_PREPARED}::test_prepared_weights_moved_to_another_key_are_refused",),
    ),
    Guard(
        "a pack names every file that it has",
        "build._write",
        "CARD, LORA",
        "LORA",
        (f"{_OF_BUILD}::test_a_pack_with_any_single_byte_changed_is_refused_or_is_another_pack",),
    ),
    Guard(
        "what another build is writing is not deleted",
        "unfinished._delete_abandoned",
        "fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "",
        (f"{_OF_BUILD}::test_what_a_killed_build_left_behind_is_deleted_and_what_is_being_written_is_not",),
    ),
    Guard(
        "what a killed build left behind is deleted",
        "unfinished.unfinished_folder",
        "_delete_abandoned(destination)",
        "pass",
        (f"{_OF_BUILD}::test_what_a_killed_build_left_behind_is_deleted_and_what_is_being_written_is_not",),
    ),
    Guard(
        "a pack is on the disk before it has its name",
        "build.build_pack",
        "local_disk.sync(partial, path)",
        "pass",
        (f"{_OF_BUILD}::test_a_pack_is_on_the_disk_before_it_has_its_name",),
    ),
    Guard(
        "an alpha that nobody says is not guessed",
        "build._alpha",
        "found.alpha is None and given is None",
        "False",
        (f"{_OF_BUILD}::test_a_missing_alpha_must_be_given",),
    ),
)
