"""Which modules of a base a LoRA leaves out, although it adapts modules of the same kind in other places.

A LoRA may be trained for some blocks only. But a module that got lost on the way looks the same, so people are told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from onbrand.packs.base import Base
from onbrand.packs.lora_settings import shown

_NAMED = 3  # in a sentence
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")
_WEIGHT = ".weight"


def left_out(modules: Collection[str], base: Base) -> tuple[str, ...]:
    """The base's modules that differ from an adapted one only in a number, such as the block's, sorted."""
    kinds = {_kind(module) for module in modules}
    present = (name.removesuffix(_WEIGHT) for name in base.shapes("transformer") if name.endswith(_WEIGHT))
    return tuple(sorted(module for module in present if _kind(module) in kinds and module not in modules))


def told(modules: Collection[str], missing: Iterable[str] | None) -> str:
    """How many modules a LoRA adapts, and which it leaves out; None if that is not known."""
    count = "1 module" if len(modules) == 1 else f"{len(modules)} modules"
    names = [shown(name) for name in missing or ()]
    if not names:
        return count
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{count}, and leaves out {len(names)} of the same kinds ({', '.join(names[:_NAMED])}{more})"


def _kind(module: str) -> str:
    return _NUMBER.sub("*", module)
