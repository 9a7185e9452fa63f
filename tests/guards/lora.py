"""Guards of the brand: its LoRA is in effect as it was trained, or nothing is drawn."""

from __future__ import annotations

from tests.guards.guard import Guard

_LORA, _FUSE = "onbrand/hidream/lora.py", "onbrand/hidream/fuse.py"
_BUILD, _DERIVE = "onbrand/hidream/build.py", "onbrand/hidream/derive.py"
_OF_LORA, _OF_FUSE = "tests/integration/hidream/test_lora.py", "tests/integration/hidream/test_fuse.py"
_OF_BUILD, _OF_DERIVE = "tests/integration/hidream/test_build.py", "tests/integration/hidream/test_derive.py"

GUARDS = (
    Guard(
        "a LoRA without a module that the manifest names is refused",
        _LORA,
        "for module in sorted({*lora.adapted_modules} - {*found.modules}):",
        "for module in ():",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA with a module that the manifest doesn't name is refused",
        _LORA,
        "for module in sorted({*found.modules} - {*lora.adapted_modules}):",
        "for module in ():",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA of another strength is refused",
        _LORA,
        "if found.alpha not in (None, lora.alpha):",
        "if False:",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA of another rank is refused",
        _LORA,
        "if found.rank != lora.rank:",
        "if False:",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA with a number that is not finite is refused",
        _LORA,
        "if not torch.isfinite(update.down).all() or not torch.isfinite(update.up).all():",
        "if False:",
        (_OF_LORA,),
    ),
    Guard(
        "a LoRA that was trained in a way that changes the sum is refused",
        _LORA,
        "if settings.get(name):",
        "if False:",
        (f"{_OF_LORA}::test_settings_in_the_header_that_say_otherwise_are_refused",),
    ),
    Guard(
        "a LoRA for another base is refused",
        _FUSE,
        "    for module, _ in waiting.values():",
        "    for module, _ in ():",
        (f"{_OF_FUSE}::test_a_lora_for_a_deeper_base_is_refused",),
    ),
    Guard(
        "a LoRA that does nothing is refused",
        _FUSE,
        "if not change.count_nonzero():",
        "if False:",
        (f"{_OF_FUSE}::test_a_module_that_the_lora_leaves_as_it_is_is_refused",),
    ),
    Guard(
        "a LoRA is fused in float32",
        _FUSE,
        "change.mul_(scaling).add_(weight)",
        "change.mul_(scaling).to(weight.dtype).add_(weight)",
        (f"{_OF_FUSE}::test_the_sum_loses_nothing_of_a_gentle_update",),
    ),
    Guard(
        "prepared weights of one pack are not taken for another's",
        _DERIVE,
        "    if manifest.key != key:",
        "    if False:",
        (f"{_OF_DERIVE}::test_an_artefact_moved_to_another_key_is_refused",),
    ),
    Guard(
        "a pack names every file that it has",
        _BUILD,
        "for path in (CARD, LORA)",
        "for path in (LORA,)",
        (f"{_OF_BUILD}::test_a_pack_with_any_single_byte_changed_is_refused_or_is_another_pack",),
    ),
    Guard(
        "an alpha that nobody says is not guessed",
        _BUILD,
        "if found.alpha is None and given is None:",
        "if False:",
        (f"{_OF_BUILD}::test_an_alpha_that_nobody_says_is_asked_for",),
    ),
)
