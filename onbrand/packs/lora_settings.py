"""The texts in the header of a LoRA file, in which trainers write how it was trained.

diffusers and peft write peft's `LoraConfig` as JSON; kohya's scripts write `ss_…`. Some settings change what the
matrices mean; a file with one of them, or with a setting that this version does not know, is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from onbrand.errors import LoraInvalid
from onbrand.storage import strict_json

EXPORT = "export it as a plain LoRA in safetensors, with the key names of diffusers or ai-toolkit"
PEFT_SETTINGS = "lora_adapter_metadata"
_COMPONENT = "transformer."
_CLAIMS = ("r", "lora_alpha")
# Settings of peft 0.21 that say only which modules were trained and how; the matrices mean the same.
_HARMLESS = frozenset(
    {"auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "exclude_modules", "inference_mode"}
    | {"layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core", "peft_version", "qalora_group_size"}
    | {"revision", "runtime_config", "target_modules", "task_type"}
)
# Values that leave the meaning as it is. PiSSA, OLoRA, CorDA and LoftQ change the base's weights as well.
_PLAIN: Mapping[str, tuple[object, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "init_lora_weights": (True, "gaussian", "orthogonal", "eva"),
}
_KOHYA = {"ss_network_dim": "rank", "ss_network_alpha": "alpha"}


@dataclass(frozen=True)
class Claims:
    """The rank and the alpha that the header says, each by its source, for errors."""

    rank: Mapping[str, float]
    alpha: Mapping[str, float]


def claims(name: str, metadata: Mapping[str, str]) -> Claims:
    """Read the header's texts of the file `name`.

    Raises:
        LoraInvalid: a setting changes the meaning of the matrices, is unknown, or cannot be read.
    """
    settings = _settings(name, metadata)
    for key, value in settings.items():
        _require_plain(name, key, value)
    rank, alpha = (
        {"its header": _number(name, key, settings[key])} if settings.get(key) is not None else {} for key in _CLAIMS
    )
    for key, what in _KOHYA.items():
        text = metadata.get(key, "None")
        if text != "None":
            (rank if what == "rank" else alpha)[key] = _number(name, key, _parsed(text))
    return Claims(rank, alpha)


def shown(text: str) -> str:
    """A name from a file or of a file, escaped and shortened so that it fits in one line of a log."""
    return ascii(text)[1:-1][:150]


def _settings(name: str, metadata: Mapping[str, str]) -> dict[str, object]:
    document = _parsed(metadata.get(PEFT_SETTINGS, "{}"))
    if not isinstance(document, dict):
        raise LoraInvalid(f"{name} has settings in its header that cannot be read ({PEFT_SETTINGS}): {EXPORT}.")
    settings = {key.removeprefix(_COMPONENT): value for key, value in document.items()}
    if len(settings) < len(document):
        raise LoraInvalid(f"{name} has a setting in its header twice ({PEFT_SETTINGS}): {EXPORT}.")
    return settings


def _parsed(text: str) -> object:
    try:
        return strict_json.loads(text)
    except (ValueError, RecursionError):
        return None


def _require_plain(name: str, key: str, value: object) -> None:
    if not value or key in _HARMLESS or key in _CLAIMS:
        return
    if any(value is plain or (isinstance(value, str) and value == plain) for plain in _PLAIN.get(key, ())):
        return
    told = f" {json.dumps(value)}" if isinstance(value, str) else ""
    raise LoraInvalid(
        f"{name} was trained with {shown(key)}{shown(told)}, which changes the result, or which this version does not"
        " know: train it without."
    )


def _number(name: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LoraInvalid(f"{name} has {key} in its header that is not a number: {EXPORT}.")
    try:
        return float(value)
    except OverflowError:
        raise LoraInvalid(f"{name} has {key} in its header that is too large: {EXPORT}.") from None
