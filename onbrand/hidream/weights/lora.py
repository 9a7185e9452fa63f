"""Read a LoRA file strictly: it must have exactly the matrices that the brand pack's manifest describes.

diffusers 0.42 ignores unknown keys. A LoRA with another trainer's key names loads without an error and changes nothing,
and a LoRA without an alpha loads at another strength. Therefore nothing is guessed here. Two kinds of key names are
read: diffusers', and those of ai-toolkit and ComfyUI. For everything else in a file the error names the key. `fuse.py`
checks whether the matrices fit the transformer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from onbrand.errors import LoraInvalid, LoraManifestMismatch, WeightsMissing
from onbrand.packs.manifest import Lora

_PREFIXES = ("transformer.", "diffusion_model.")  # diffusers; ai-toolkit and ComfyUI. peft itself writes no prefix
_KEY = re.compile(r"(?P<module>.+)\.((?P<down>lora_(A|down)\.weight)|(?P<up>lora_(B|up)\.weight)|(?P<alpha>alpha))")
_DTYPES = ("F32", "F16", "BF16")  # float32 represents all of them exactly
_SETTINGS = "lora_adapter_metadata"  # diffusers and peft write it, as JSON in the file's header
_UNLIKE = ("use_dora", "use_rslora", "use_qalora", "use_bdlora", "fan_in_fan_out", "rank_pattern", "alpha_pattern")
_PICKLES = (b"\x80", b"PK\x03\x04")  # torch.save without and with a zip archive
_HEADER_AT = 8  # the header begins after the 8 bytes of its length
_EXPORT = "export it as a plain LoRA in safetensors, with the key names of diffusers or ai-toolkit"
# Patterns of the keys of other adapters, and what the error says about them.
_UNSUPPORTED = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"^lora_(unet|transformer|te)\d*_",
            "has the key names of kohya's scripts, from which a module's name cannot be restored",
        ),
        (r"^base_model\.model\.", "has the key names of peft's save_pretrained, which are for a wrapped model"),
        (r"^(text_encoder|te)s?(_?\d)?\.", "adapts a text encoder, but only the transformer can be adapted"),
        (r"dora_scale$|lora_magnitude_vector", "is a DoRA, whose effect is not a sum of matrices"),
        (r"\.(lokr|hada|oft|boft)_", "is a LoKr, LoHa or another adapter of LyCORIS, not a LoRA"),
    )
)


@dataclass(frozen=True)
class Update:
    """The change of one module's weight `(out, in)`: `up @ down`, multiplied by the adapter's scaling."""

    down: Tensor  # (rank, in), float32
    up: Tensor  # (out, rank), float32


@dataclass(frozen=True)
class Adapter:
    """A LoRA to be fused. `scaling` is the manifest's scale * alpha / rank (arXiv 2106.09685, section 4.1)."""

    scaling: float
    updates: Mapping[str, Update]  # by the transformer's module names


@dataclass(frozen=True)
class Description:
    """What a LoRA file contains. `alpha` is None if the file does not have it, as those of ai-toolkit."""

    rank: int
    alpha: float | None
    modules: tuple[str, ...]  # sorted


def describe(path: Path) -> Description:
    """Describe a LoRA file as a brand pack's manifest must describe it.

    Raises:
        WeightsMissing: the file does not exist.
        LoraInvalid: it is not a LoRA that can be used; the message says why and what to do.
    """
    return _content(path)[0]


def read_adapter(path: Path, lora: Lora) -> Adapter:
    """Read the file's matrices. Modules, rank and alpha must be those of the manifest.

    If the file has no alpha, the manifest's is used. The checksum is not compared here, but in `BrandPack.verify`.

    Raises:
        WeightsMissing: the file does not exist.
        LoraInvalid: it is not a LoRA that can be used; the message says why and what to do.
        LoraManifestMismatch: it is not exactly the LoRA that the manifest describes.
    """
    found, updates = _content(path)
    for module in sorted({*found.modules} - {*lora.adapted_modules}):
        raise _mismatch(path, f"adapts {_shown(module)}, which the pack's manifest does not name")
    for module in sorted({*lora.adapted_modules} - {*found.modules}):
        raise _mismatch(path, f"does not adapt {_shown(module)}, which the pack's manifest names")
    if found.rank != lora.rank:
        raise _mismatch(path, f"has rank {found.rank}, but the pack's manifest says {lora.rank}")
    if found.alpha not in (None, lora.alpha):
        raise _mismatch(path, f"has alpha {found.alpha:g}, but the pack's manifest says {lora.alpha:g}")
    return Adapter(lora.scale * lora.alpha / lora.rank, updates)


def _mismatch(path: Path, what: str) -> LoraManifestMismatch:
    return LoraManifestMismatch(f"{path.name} {what}: restore the pack's own file, or build a new pack from this one.")


def _content(path: Path) -> tuple[Description, dict[str, Update]]:
    tensors, claims = _read(path)
    prefix = _prefix(path, tensors)
    parts: dict[str, dict[str, Tensor]] = {}
    for key in sorted(tensors):
        module, part = _parsed(path, key.removeprefix(prefix))
        if part in parts.setdefault(module, {}):
            raise LoraInvalid(f"{path.name} has the same matrix twice ({_shown(key)}): {_EXPORT}.")
        parts[module][part] = tensors[key]
    updates = {module: _update(path, module, parts[module]) for module in sorted(parts)}
    ranks = {module: float(len(update.down)) for module, update in updates.items()}
    alphas = {module: _alpha(path, module, part["alpha"]) for module, part in parts.items() if "alpha" in part}
    if alphas and len(alphas) < len(parts):
        raise LoraInvalid(f"{path.name} has an alpha for some modules, but not for all: {_EXPORT}.")
    rank = _same(path, "rank", ranks | claims.get("r", {}))
    alpha = _same(path, "alpha", alphas | claims.get("lora_alpha", {})) if alphas or "lora_alpha" in claims else None
    return Description(int(rank), alpha, tuple(updates)), updates


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, float]]]:
    """Read every tensor in float32, and the rank and alpha from the header. No code in the file is executed."""
    try:
        with path.open("rb") as stream:
            first = stream.read(_HEADER_AT + 1)
    except OSError as error:
        raise WeightsMissing(f"The LoRA {path} cannot be read ({error.strerror}): name a file that is there.") from None
    if not first:
        raise LoraInvalid(f"{path.name} is empty: copy the LoRA again.")
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - the file object is not iterable
                dtype = file.get_slice(key).get_dtype()
                if dtype not in _DTYPES:
                    raise LoraInvalid(
                        f"{path.name} has {_shown(key)} as {dtype}, not as 32-bit or 16-bit float: {_EXPORT}."
                    )
            # Copies, because safetensors maps the file into memory, and the file may be replaced.
            tensors = {key: file.get_tensor(key).to(torch.float32, copy=True) for key in file.keys()}  # noqa: SIM118
            return tensors, _claims(path, file.metadata() or {})
    except SafetensorError as error:
        if first.endswith(b"{"):
            raise LoraInvalid(f"{path.name} is cut short or damaged: copy the LoRA again.") from error
        if first.startswith(_PICKLES):
            raise LoraInvalid(f"{path.name} is a pickle, which can run code, so it is not read: {_EXPORT}.") from error
        raise LoraInvalid(f"{path.name} is not a safetensors file: {_EXPORT}.") from error


def _claims(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """The rank `r` and `lora_alpha` that diffusers or peft wrote into the header, each with its source for errors."""
    try:
        document = json.loads(metadata.get(_SETTINGS, "{}"))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise LoraInvalid(f"{path.name} has settings in its header that cannot be read ({_SETTINGS}): {_EXPORT}.")
    settings = {key.removeprefix(_PREFIXES[0]): value for key, value in document.items()}
    for name in _UNLIKE:
        if settings.get(name):
            raise LoraInvalid(f"{path.name} was trained with {name}, which changes the result: train it without.")
    claims = {name: settings[name] for name in ("r", "lora_alpha") if settings.get(name) is not None}
    for name, value in claims.items():
        if type(value) not in (int, float):
            raise LoraInvalid(f"{path.name} has {name} in its header that is not a number: {_EXPORT}.")
    return {name: {"its header": float(value)} for name, value in claims.items()}


def _prefix(path: Path, keys: Collection[str]) -> str:
    """The prefix of all keys: one of `_PREFIXES`, or none."""
    if not keys:
        raise LoraInvalid(f"{path.name} has no matrices: {_EXPORT}.")
    for key in sorted(keys):
        for pattern, reason in _UNSUPPORTED:
            if pattern.search(key):
                raise LoraInvalid(f"{path.name} {reason} ({_shown(key)}): {_EXPORT}.")
    for prefix in _PREFIXES:
        others = sorted(key for key in keys if not key.startswith(prefix))
        if not others:
            return prefix
        if len(others) < len(keys):
            raise LoraInvalid(f"{path.name} mixes {prefix}… with other names ({_shown(others[0])}): {_EXPORT}.")
    return ""


def _parsed(path: Path, key: str) -> tuple[str, str]:
    """Split a key into the module's name and the part of its update: down, up or alpha."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise LoraInvalid(f"{path.name} has {_shown(key)}, which is not part of a LoRA: {_EXPORT}.")
    return match["module"], next(part for part in ("down", "up", "alpha") if match[part])


def _update(path: Path, module: str, part: Mapping[str, Tensor]) -> Update:
    where = f"{path.name} has for {_shown(module)}"
    if not {"down", "up"} <= part.keys():
        raise LoraInvalid(f"{where} only one of the two matrices: copy the LoRA again, or export it again.")
    update = Update(part["down"], part["up"])
    if update.down.ndim != 2 or update.up.ndim != 2:
        raise LoraInvalid(f"{where} something that is not a matrix: only linear layers can be adapted.")
    if len(update.down) != update.up.shape[1] or not update.down.numel() or not update.up.numel():
        raise LoraInvalid(f"{where} two matrices that do not fit together: {_EXPORT}.")
    if not torch.isfinite(update.down).all() or not torch.isfinite(update.up).all():
        raise LoraInvalid(f"{where} a number that is not finite: its training failed; take an earlier checkpoint.")
    return update


def _alpha(path: Path, module: str, alpha: Tensor) -> float:
    if alpha.numel() != 1:
        raise LoraInvalid(f"{path.name} has for {_shown(module)} an alpha that is not one number: {_EXPORT}.")
    return alpha.item()


def _same(path: Path, what: str, values: Mapping[str, float]) -> float:
    """The value, which must be the same in all places of the file."""
    first, expected = next(iter(values.items()))
    for where, value in values.items():
        if not 0 < value < math.inf:
            raise LoraInvalid(f"{path.name} has {what} {value:g} in {_shown(where)}: {_EXPORT}.")
        if value != expected:
            raise LoraInvalid(
                f"{path.name} has {what} {expected:g} in {_shown(first)}, but {value:g} in {_shown(where)}:"
                f" train it with one {what}."
            )
    return expected


def _shown(name: str) -> str:
    """A name from the file, escaped and shortened so that it fits in one line of a log."""
    return ascii(name)[1:-1][:150]
